//! The Rust library russh, by way of the `russh-peer` binary of this crate.
//!
//! It cannot pass the stalled reader: it credits a channel's window on arrival and then waits for that channel's reader
//! inside its connection loop, so one reader that stops stops its neighbours.

use super::{ClientAsk, Peer, ServerAsk, scripted};
use crate::missing::{self, Missing};
use crate::process::Process;
use crate::scratch::Scratch;
use std::process::Command;

/// russh, both roles.
pub struct Russh;

impl Russh {
    fn program() -> Command {
        Command::new(missing::binaries().join("russh-peer"))
    }
}

impl Peer for Russh {
    fn name(&self) -> &'static str {
        "russh"
    }

    fn find(&self) -> Result<(), Missing> {
        if missing::binaries().join("russh-peer").is_file() {
            return Ok(());
        }
        Err(Missing {
            what: "russh-peer",
            remedy: "cargo build -p adit-interop",
        })
    }

    fn server(&self, scratch: &Scratch, port: u16, ask: &ServerAsk) -> Command {
        scripted::server(Self::program(), scratch, port, ask)
    }

    fn client(&self, scratch: &Scratch, port: u16, ask: &ClientAsk) -> Command {
        scripted::client(Self::program(), scratch, port, ask)
    }

    fn is_ready(&self, client: &Process) -> bool {
        scripted::is_ready(client)
    }

    fn key_exchanges(&self, log: &str) -> Option<usize> {
        Some(scripted::key_exchanges(log))
    }
}
