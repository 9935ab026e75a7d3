//! Many streams over one connection, and readers that have stopped beside them, in every pairing.

adit_interop::matrix! {
    adit_to_aditd: Adit => Adit [streams remote_streams streams_rekey stalled remote_stalled];
    adit_to_openssh: Adit => OpenSsh [streams remote_streams streams_rekey stalled remote_stalled];
    openssh_to_aditd: OpenSsh => Adit [streams remote_streams streams_rekey stalled remote_stalled];
    adit_to_dropbear: Adit => Dropbear [streams remote_streams streams_rekey stalled];
    dropbear_to_aditd: Dropbear => Adit [streams remote_streams streams_rekey stalled];
    // plink's own streams are open before data flows: peer/plink.rs says what it does with the bytes otherwise.
    plink_to_aditd: Plink => Adit [streams_once_open remote_streams streams_rekey_once_open stalled];
    adit_to_asyncssh: Adit => Asyncssh [streams remote_streams streams_rekey stalled];
    asyncssh_to_aditd: Asyncssh => Adit [streams remote_streams streams_rekey stalled];
    adit_to_paramiko: Adit => Paramiko [streams remote_streams streams_rekey stalled];
    paramiko_to_aditd: Paramiko => Adit [streams remote_streams streams_rekey stalled];
    adit_to_russh: Adit => Russh [streams remote_streams streams_rekey];
    // russh bears two of its windows between its KEXINIT and ours, over all channels, and then ends the connection with
    // "Pending buffer limit reached" although it granted a window to each: with sshd, too, where russh alone asks for new
    // keys (20 runs of 20). Here aditd's own RekeyLimit bounds what can lie between.
    russh_to_aditd: Russh => Adit [streams remote_streams streams_rekey];
}
