//! The Python library asyncssh, by way of `interop/peers/asyncssh_peer.py`.
//!
//! It can do everything that the matrix asks.

use super::{ClientAsk, Peer, ServerAsk, scripted};
use crate::missing::Missing;
use crate::process::Process;
use crate::scratch::Scratch;
use std::process::Command;

/// asyncssh, both roles.
pub struct Asyncssh;

impl Asyncssh {
    fn python() -> Command {
        let mut command = Command::new(scripted::python());
        command.arg(scripted::script("asyncssh_peer.py"));
        command
    }
}

impl Peer for Asyncssh {
    fn name(&self) -> &'static str {
        "asyncssh"
    }

    fn find(&self) -> Result<(), Missing> {
        scripted::find_module("asyncssh")
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
