//! adit and Dropbear, each in either role.

adit_interop::matrix! {
    adit_to_dropbear: Adit => Dropbear [login local remote bulk half_close];
    dropbear_to_aditd: Dropbear => Adit [login local remote bulk half_close];
}
