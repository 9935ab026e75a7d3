//! Peers with odd habits, and attackers: `interop/peers/raw`, an SSH connection in Python that says whatever it is told to.

use super::{ClientAsk, Peer, ServerAsk, scripted};
use crate::missing::Missing;
use crate::process::Process;
use crate::scratch::{self, Key, Scratch};
use std::process::Command;

/// A server with the habit of that name in `server.py`. It has no client: see [`attack`].
pub struct RawServer(pub &'static str);

/// The file of a scratch directory in which the habits that stop the client look for its process id.
pub const CLIENT_FILE: &str = "client.pid";

impl Peer for RawServer {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn find(&self) -> Result<(), Missing> {
        scripted::find_module("cryptography")
    }

    fn server(&self, scratch: &Scratch, port: u16, _ask: &ServerAsk) -> Command {
        let mut command = scripted::python_script("raw/server.py");
        command
            .args([self.0, "--port", &port.to_string(), "--host-key"])
            .arg(scratch.host_key())
            .arg("--client")
            .arg(scratch.file(CLIENT_FILE));
        command
    }

    fn client(&self, _scratch: &Scratch, _port: u16, _ask: &ClientAsk) -> Command {
        unreachable!("a raw client is an attack, which has no forwards");
    }

    fn key_exchanges(&self, _log: &str) -> Option<usize> {
        None
    }
}

/// Starts the attack of that name in `client.py` on the server at `port`, whose process is `server`.
///
/// # Panics
///
/// When it cannot be started.
pub fn attack(name: &str, scratch: &Scratch, port: u16, server: u32) -> Process {
    let mut command = scripted::python_script("raw/client.py");
    command
        .args([name, "--port", &port.to_string(), "--pid"])
        .arg(server.to_string())
        .args(["--user", &scratch::user(), "--key"])
        .arg(scratch.key(Key::User));
    Process::start(name, command, scratch.path())
        .unwrap_or_else(|error| panic!("cannot start {name}: {error}"))
}
