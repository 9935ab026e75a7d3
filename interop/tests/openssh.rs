//! adit and OpenSSH, each in either role; and adit with itself.

adit_interop::matrix! {
    adit_to_aditd: Adit => Adit [login local remote bulk half_close];
    adit_to_openssh: Adit => OpenSsh [login local remote bulk half_close];
    openssh_to_aditd: OpenSsh => Adit [login local remote bulk half_close];
}
