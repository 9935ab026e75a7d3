//! Our own `adit` and `aditd`: OpenSSH's command line and configuration, our own words where OpenSSH's name nothing.

use super::{ClientAsk, Peer, ServerAsk, command_line, openssh};
use crate::missing::{self, Missing};
use crate::scratch::Scratch;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The binaries under test.
pub struct Adit;

/// Program whose words a client uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wording {
    /// `channel 2: open failed: connect failed: Connection refused`
    OpenSsh,
    /// `forward -L 9000 → db:5432: …`
    Adit,
}

impl Adit {
    /// Words to expect of the client under test: OpenSSH's if `ADIT_BIN` lets ssh stand in for it.
    pub fn wording(&self) -> Wording {
        let stands_in = self
            .client_program()
            .file_name()
            .is_some_and(|name| name == "ssh");
        if stands_in {
            Wording::OpenSsh
        } else {
            Wording::Adit
        }
    }

    /// The client's binary, for tests of command lines that make no connection.
    pub fn client_program(&self) -> PathBuf {
        Self::program("ADIT_BIN", "adit")
    }

    fn program(variable: &str, name: &str) -> PathBuf {
        env::var_os(variable).map_or_else(|| missing::binaries().join(name), PathBuf::from)
    }
}

impl Peer for Adit {
    fn name(&self) -> &'static str {
        "adit"
    }

    fn find(&self) -> Result<(), Missing> {
        openssh::prepare_sshd();
        for (variable, name) in [("ADIT_BIN", "adit"), ("ADITD_BIN", "aditd")] {
            if !Path::new(&Self::program(variable, name)).is_file() {
                return Err(Missing {
                    what: name,
                    remedy: "cargo build -p adit",
                });
            }
        }
        Ok(())
    }

    fn server(&self, scratch: &Scratch, port: u16, ask: &ServerAsk) -> Command {
        command_line::server(&Self::program("ADITD_BIN", "aditd"), scratch, port, ask)
    }

    fn client(&self, scratch: &Scratch, port: u16, ask: &ClientAsk) -> Command {
        command_line::client(&Self::program("ADIT_BIN", "adit"), scratch, port, ask)
    }

    fn key_exchanges(&self, log: &str) -> Option<usize> {
        Some(command_line::key_exchanges(log))
    }
}
