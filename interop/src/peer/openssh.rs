//! OpenSSH's `ssh` and `sshd`: they can do everything that this crate asks.

use super::{ClientAsk, Peer, ServerAsk, command_line};
use crate::missing::{self, Missing};
use crate::scratch::Scratch;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The stock OpenSSH of this machine.
pub struct OpenSsh;

impl OpenSsh {
    fn ssh() -> Result<PathBuf, Missing> {
        missing::program("ssh", "apt-get install openssh-client")
    }

    fn sshd() -> Result<PathBuf, Missing> {
        missing::program("sshd", "apt-get install openssh-server")
    }
}

impl Peer for OpenSsh {
    fn name(&self) -> &'static str {
        "openssh"
    }

    fn find(&self) -> Result<(), Missing> {
        prepare_sshd();
        Self::ssh().and(Self::sshd()).map(drop)
    }

    fn server(&self, scratch: &Scratch, port: u16, ask: &ServerAsk) -> Command {
        let program = Self::sshd().expect("found before it is started");
        command_line::server(&program, scratch, port, ask)
    }

    fn client(&self, scratch: &Scratch, port: u16, ask: &ClientAsk) -> Command {
        let program = Self::ssh().expect("found before it is started");
        command_line::client(&program, scratch, port, ask)
    }

    fn key_exchanges(&self, log: &str) -> Option<usize> {
        Some(command_line::key_exchanges(log))
    }
}

/// Started as root, sshd wants this directory, which Debian makes only when the service starts.
pub(super) fn prepare_sshd() {
    // Without the right to, sshd does not need it either.
    let _ = fs::create_dir_all("/run/sshd");
}
