//! adit and the library russh, each in either role.

adit_interop::matrix! {
    adit_to_russh: Adit => Russh [login local remote bulk half_close];
    russh_to_aditd: Russh => Adit [login local remote bulk half_close];
}
