//! The Python library paramiko, by way of `interop/peers/paramiko_peer.py`.
//!
//! It has no unix socket forwarding in its client and no SOCKS; our script adds neither.
//!
//! Our script has a CLOSE answered beside paramiko's reader. The reader itself (`Channel._handle_close`) would wait with its
//! answer for the end of a key exchange that only it could bring to an end: where a CLOSE crosses paramiko's KEXINIT, it
//! gives up after 30 s with "Key-exchange timed out waiting for key negotiation". Seen with 5.1.0 against OpenSSH's sshd
//! as against aditd, with 40 streams in some runs, and in 1 of 15 with the one stream of `bulk`.

use super::{ClientAsk, Peer, ServerAsk, scripted};
use crate::missing::Missing;
use crate::process::Process;
use crate::scratch::Scratch;
use std::process::Command;

/// paramiko, both roles.
pub struct Paramiko;

impl Paramiko {
    fn python() -> Command {
        let mut command = Command::new(scripted::python());
        command.arg(scripted::script("paramiko_peer.py"));
        command
    }
}

impl Peer for Paramiko {
    fn name(&self) -> &'static str {
        "paramiko"
    }

    fn find(&self) -> Result<(), Missing> {
        scripted::find_module("paramiko")
    }

    fn server(&self, scratch: &Scratch, port: u16, ask: &ServerAsk) -> Command {
        scripted::server(Self::python(), scratch, port, ask)
    }

    fn client(&self, scratch: &Scratch, port: u16, ask: &ClientAsk) -> Command {
        scripted::client(Self::python(), scratch, port, ask)
    }

    fn is_ready(&self, client: &Process) -> bool {
        scripted::is_ready(client)
    }

    fn key_exchanges(&self, log: &str) -> Option<usize> {
        Some(scripted::key_exchanges(log))
    }
}
