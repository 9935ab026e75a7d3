//! adit and the library asyncssh, each in either role.

adit_interop::matrix! {
    adit_to_asyncssh: Adit => Asyncssh [login local remote bulk half_close];
    asyncssh_to_aditd: Asyncssh => Adit [login local remote bulk half_close];
}
