//! PuTTY's plink as a client of aditd.

adit_interop::matrix! {
    plink_to_aditd: Plink => Adit [login local remote bulk half_close];
}
