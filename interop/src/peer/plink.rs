//! PuTTY's command-line client `plink`.
//!
//! It is no server, and it cannot forward unix sockets.
//!
//! It throws away what applications say on `-L` channels that are not confirmed yet, so its cells open all streams
//! before data flows. plink holds back the application's socket until the confirmation, but `ssh2_throttle_all_channels`
//! (ssh/connection2.c) releases the sockets of all channels, unconfirmed ones too, whenever the backlog towards the
//! server falls below 32 KiB again, and `pfd_receive` (ssh/portfwd.c) drops what it reads before the confirmation. Seen
//! with 0.78, 40 streams at once and no re-keying: bytes were missing at the head of some channels in some runs, with
//! OpenSSH's sshd as with aditd; in plink's own packet log (`-sshlog`) they were not sent either, and on every channel
//! as many bytes reached the target as that log shows.

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
