//! The command line that all peers share which are libraries, not programs: the scripts in `interop/peers` and the
//! `russh-peer` binary.

use super::{ClientAsk, Rekey, ServerAsk};
use crate::missing::{self, Missing};
use crate::process::Process;
use crate::scratch::{self, Scratch};
use std::path::PathBuf;
use std::process::Command;

const REKEY_BYTES: &str = "1048576";

/// The Python of the environment that `./check` makes.
pub(super) fn python() -> PathBuf {
    missing::target_dir().join("interop-venv/bin/python")
}

/// A script in `interop/peers`.
pub(super) fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name)
}

/// Whether the environment has `module`.
pub(super) fn find_module(module: &'static str) -> Result<(), Missing> {
    let found = Command::new(python())
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
pub(super) fn server(
    mut command: Command,
    scratch: &Scratch,
    port: u16,
    ask: &ServerAsk,
) -> Command {
    command
        .args(["server", "--port", &port.to_string(), "--host-key"])
        .arg(scratch.host_key())
        .arg("--authorized-keys")
        .arg(scratch.authorized_keys());
    with_rekey(command, ask.rekey)
}

/// Completes a command that connects.
pub(super) fn client(
    mut command: Command,
    scratch: &Scratch,
    port: u16,
    ask: &ClientAsk,
) -> Command {
    command
        .args([
            "client",
            "--port",
            &port.to_string(),
            "--user",
            &scratch::user(),
            "--key",
        ])
        .arg(scratch.key(ask.key))
        .arg("--known-hosts")
        .arg(scratch.known_hosts(port))
        .args(ask.forwards.iter().flat_map(|forward| forward.args()));
    with_rekey(command, ask.rekey)
}

/// The scripts' clients write this word when all their forwards are there.
pub(super) fn is_ready(client: &Process) -> bool {
    client.output().contains("ready")
}

/// The scripts write this line once for each key exchange that they see.
pub(super) fn key_exchanges(log: &str) -> usize {
    log.lines()
        .filter(|line| line.contains("key exchange done"))
        .count()
}

fn with_rekey(mut command: Command, rekey: Rekey) -> Command {
    if rekey == Rekey::EveryMib {
        command.args(["--rekey-bytes", REKEY_BYTES]);
    }
    command
}
