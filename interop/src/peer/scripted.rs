//! The command line that all peers share which are libraries, not programs: the scripts in `interop/peers` and the
//! `russh-peer` binary.

use super::{ClientAsk, Ending, Peer, Rekey, ServerAsk};
use crate::missing::{self, Missing};
use crate::process::Process;
use crate::scratch::{self, Key, Scratch};
use std::path::PathBuf;
use std::process::Command;

const REKEY_BYTES: &str = "1048576";

/// An SSH library behind that command line.
pub(super) trait Library {
    /// Its name.
    const NAME: &'static str;

    /// Looks for the library on this machine.
    fn find_library() -> Result<(), Missing>;

    /// Command that plays its part; the arguments are still to come.
    fn program() -> Command;

    /// Adds the keys that its client needs and other peers don't.
    fn prepare_keys(_scratch: &Scratch) {}

    /// The key that its client shows.
    fn key(scratch: &Scratch, which: Key) -> PathBuf {
        scratch.key(which)
    }

    /// The host keys that its client knows.
    fn known_hosts(scratch: &Scratch, port: u16) -> PathBuf {
        scratch.known_hosts(port)
    }
}

impl<L: Library> Peer for L {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn find(&self) -> Result<(), Missing> {
        L::find_library()
    }

    fn prepare(&self, scratch: &Scratch) {
        L::prepare_keys(scratch);
    }

    fn server(&self, scratch: &Scratch, port: u16, ask: &ServerAsk) -> Command {
        server(L::program(), scratch, port, ask)
    }

    fn client(&self, scratch: &Scratch, port: u16, ask: &ClientAsk) -> Command {
        client::<L>(scratch, port, ask)
    }

    /// The clients write this word when all their forwards are there.
    fn is_ready(&self, client: &Process) -> bool {
        client.output().contains("ready")
    }

    /// Both roles write this line once for each key exchange that they see.
    fn key_exchanges(&self, log: &str) -> Option<usize> {
        let lines = log.lines();
        Some(
            lines
                .filter(|line| line.contains("key exchange done"))
                .count(),
        )
    }
}

/// The script in `interop/peers` that plays the part of a Python library.
pub(super) fn python(library: &str) -> Command {
    python_script(&format!("{library}_peer.py"))
}

/// A Python script in `interop/peers`.
pub(super) fn python_script(name: &str) -> Command {
    let mut command = Command::new(interpreter());
    command.arg(source(name));
    command
}

/// A file in `interop/peers`.
pub(super) fn source(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name)
}

/// Program that `./check` has built from a peer's source, in a directory of the target directory.
pub(super) fn built(name: &'static str) -> Result<PathBuf, Missing> {
    let path = missing::target_dir().join(name);
    if path.exists() {
        return Ok(path);
    }
    Err(Missing {
        what: name,
        remedy: "./check, which builds it",
    })
}

/// The Python of the environment that `./check` makes.
fn interpreter() -> PathBuf {
    missing::target_dir().join("interop-venv/bin/python")
}

/// Looks for `module` in the environment.
pub(super) fn find_module(module: &'static str) -> Result<(), Missing> {
    let found = Command::new(interpreter())
        .args(["-c", &format!("import {module}")])
        .output()
        .is_ok_and(|said| said.status.success());
    if found {
        return Ok(());
    }
    Err(Missing {
        what: module,
        remedy: "python3 -m venv target/interop-venv && \
                 target/interop-venv/bin/pip install -r interop/peers/requirements.txt",
    })
}

/// Completes a command that serves.
fn server(mut command: Command, scratch: &Scratch, port: u16, ask: &ServerAsk) -> Command {
    command
        .args(["server", "--port", &port.to_string(), "--host-key"])
        .arg(scratch.host_key())
        .arg("--authorized-keys")
        .arg(scratch.authorized_keys());
    with_habits(command, ask.rekey, ask.ending)
}

/// Completes a command that connects.
fn client<L: Library>(scratch: &Scratch, port: u16, ask: &ClientAsk) -> Command {
    let mut command = L::program();
    command
        .args([
            "client",
            "--port",
            &port.to_string(),
            "--user",
            &scratch::user(),
            "--key",
        ])
        .arg(L::key(scratch, ask.key))
        .arg("--known-hosts")
        .arg(L::known_hosts(scratch, port))
        .args(ask.forwards.iter().flat_map(|forward| forward.args()));
    with_habits(command, ask.rekey, ask.ending)
}

fn with_habits(mut command: Command, rekey: Rekey, ending: Ending) -> Command {
    if ending == Ending::CloseAlone {
        command.arg("--close-alone");
    }
    if rekey == Rekey::EveryMib {
        command.args(["--rekey-bytes", REKEY_BYTES]);
    }
    command
}
