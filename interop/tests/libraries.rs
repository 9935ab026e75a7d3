//! adit and the libraries of other languages, each in the roles it has: Go's, Erlang's, ssh2, JSch, net-ssh.
//!
//! Erlang's, JSch's and net-ssh's own relays end a connection when one direction ends, so theirs are the cells in which
//! none does before all has come.

adit_interop::matrix! {
    adit_to_go: Adit => Go [login local remote half_close streams];
    go_to_aditd: Go => Adit [login local remote half_close streams];
    adit_to_ssh2: Adit => Ssh2 [login local remote half_close streams];
    ssh2_to_aditd: Ssh2 => Adit [login local remote half_close streams];
    adit_to_erlang: Adit => Erlang [local_talk remote_talk];
    erlang_to_aditd: Erlang => Adit [local_talk remote_talk];
    jsch_to_aditd: Jsch => Adit [login local_talk remote_talk];
    net_ssh_to_aditd: NetSsh => Adit [local_talk remote_talk];
}
