//! PuTTY's command-line client `plink`.
//!
//! It is no server, and it cannot forward unix sockets. It loses the first bytes of some channels that it opens while keys
//! are renewed (seen with 0.78 and 40 channels, against the servers of OpenSSH and asyncssh alike, whichever side begins),
//! so that its streams are open before the first renewal.

use super::{ClientAsk, Peer, Rekey, ServerAsk};
use crate::missing::{self, Missing};
use crate::process;
use crate::scratch::{self, Scratch};
use std::fs;
use std::process::Command;

/// plink.
pub struct Plink;

const REMEDY: &str = "apt-get install putty-tools";

impl Peer for Plink {
    fn name(&self) -> &'static str {
        "plink"
    }

    fn find(&self) -> Result<(), Missing> {
        missing::program("puttygen", REMEDY)?;
        missing::program("plink", REMEDY).map(drop)
    }

    fn server(&self, _scratch: &Scratch, _port: u16, _ask: &ServerAsk) -> Command {
        unreachable!("plink is only a client")
    }

    fn client(&self, scratch: &Scratch, port: u16, ask: &ClientAsk) -> Command {
        let key = scratch.key(ask.key);
        let ppk = key.with_extension("ppk");
        if !ppk.exists() {
            let mut convert = Command::new("puttygen");
            convert.env("HOME", scratch.home());
            convert.arg(&key).args(["-O", "private", "-o"]).arg(&ppk);
            process::run("puttygen", convert, scratch.path());
        }
        // Its re-key limit is a setting of a saved session only.
        let sessions = scratch.home().join(".putty/sessions");
        fs::create_dir_all(&sessions).expect("PuTTY's directory");
        let bytes = if ask.rekey == Rekey::EveryMib {
            "1M"
        } else {
            "1G"
        };
        fs::write(sessions.join("interop"), format!("RekeyBytes={bytes}\n")).expect("a session");

        let mut command = Command::new("plink");
        command
            .env("HOME", scratch.home())
            .env_remove("SSH_AUTH_SOCK")
            .args([
                "-load", "interop", "-ssh", "-N", "-T", "-v", "-batch", "-noagent",
            ])
            .args([
                "-P",
                &port.to_string(),
                "-hostkey",
                &scratch.host_fingerprint(),
                "-i",
            ])
            .arg(ppk)
            .args(ask.forwards.iter().flat_map(|forward| forward.args()))
            .arg(format!("{}@127.0.0.1", scratch::user()));
        command
    }

    fn key_exchanges(&self, log: &str) -> Option<usize> {
        Some(
            log.lines()
                .filter(|line| line.contains("Initialised") && line.contains("outbound encryption"))
                .count(),
        )
    }
}
