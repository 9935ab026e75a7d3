//! adit and the library paramiko, each in either role.

adit_interop::matrix! {
    adit_to_paramiko: Adit => Paramiko [login local remote bulk half_close];
    paramiko_to_aditd: Paramiko => Adit [login local remote bulk half_close];
}
