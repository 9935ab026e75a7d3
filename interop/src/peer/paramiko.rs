//! The Python library paramiko, by way of `interop/peers/paramiko_peer.py`.
//!
//! It has no unix socket forwarding in its client and no SOCKS; our script adds neither.

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
