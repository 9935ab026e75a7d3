//! Dropbear 2022 and later: `dropbear` and `dbclient`.
//!
//! It cannot: re-key on request (its limits are compiled in; the other side does it), forward unix sockets, `-D`.
//! Its server looks for authorized_keys only in the user's home as the passwd database gives it, so it gets a passwd
//! database of its own, by `libnss_wrapper`.

use super::{ClientAsk, Peer, ServerAsk};
use crate::missing::{self, Missing};
use crate::process;
use crate::scratch::{self, Scratch};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Dropbear.
pub struct Dropbear;

const REMEDY: &str = "apt-get install dropbear-bin libnss-wrapper";

impl Dropbear {
    /// A key in Dropbear's own format; its client of 2022 reads no other.
    fn converted(scratch: &Scratch, key: &Path) -> PathBuf {
        let out = key.with_extension("dropbear");
        if !out.exists() {
            let mut command = Command::new("dropbearconvert");
            command.args(["openssh", "dropbear"]).arg(key).arg(&out);
            process::run("dropbearconvert", command, scratch.path());
        }
        out
    }

    fn nss_wrapper() -> Result<PathBuf, Missing> {
        let machine = format!(
            "/usr/lib/{}-linux-gnu/libnss_wrapper.so",
            std::env::consts::ARCH
        );
        [
            machine.as_str(),
            "/usr/lib/libnss_wrapper.so",
            "/usr/lib64/libnss_wrapper.so",
        ]
        .map(PathBuf::from)
        .into_iter()
        .find(|file| file.is_file())
        .ok_or(Missing {
            what: "libnss_wrapper",
            remedy: REMEDY,
        })
    }
}

impl Peer for Dropbear {
    fn name(&self) -> &'static str {
        "dropbear"
    }

    fn find(&self) -> Result<(), Missing> {
        missing::program("dropbear", REMEDY)?;
        missing::program("dbclient", REMEDY)?;
        missing::program("dropbearconvert", REMEDY)?;
        Self::nss_wrapper().map(drop)
    }

    fn server(&self, scratch: &Scratch, port: u16, _ask: &ServerAsk) -> Command {
        let id = |flag| {
            let said = Command::new("id")
                .arg(flag)
                .output()
                .expect("id is everywhere");
            String::from_utf8_lossy(&said.stdout).trim().to_owned()
        };
        let (user, uid, gid) = (scratch::user(), id("-u"), id("-g"));
        let home = scratch.home();
        let passwd = format!("{user}:x:{uid}:{gid}:test:{}:/bin/sh\n", home.display());
        let mut command = Command::new(missing::program("dropbear", REMEDY).expect("found before"));
        command
            .env("LD_PRELOAD", Self::nss_wrapper().expect("found before"))
            .env("NSS_WRAPPER_PASSWD", scratch.write("passwd", &passwd))
            .env(
                "NSS_WRAPPER_GROUP",
                scratch.write("group", &format!("{user}:x:{gid}:\n")),
            )
            .args(["-F", "-E", "-s", "-p", &format!("127.0.0.1:{port}"), "-r"])
            .arg(Self::converted(scratch, &scratch.host_key()))
            .arg("-P")
            .arg(scratch.file(&format!("dropbear.{port}.pid")));
        command
    }

    fn client(&self, scratch: &Scratch, port: u16, ask: &ClientAsk) -> Command {
        // It knows one place for known hosts, and no option for another, and no ports in it.
        scratch.known_hosts_with("127.0.0.1");
        let mut command = Command::new("dbclient");
        command
            .env("HOME", scratch.home())
            .args([
                "-N",
                "-T",
                "-p",
                &port.to_string(),
                "-o",
                "ExitOnForwardFailure=yes",
                "-i",
            ])
            .arg(Self::converted(scratch, &scratch.key(ask.key)))
            .args(ask.forwards.iter().flat_map(|forward| forward.args()))
            .arg(format!("{}@127.0.0.1", scratch::user()));
        command
    }

    fn key_exchanges(&self, _log: &str) -> Option<usize> {
        None
    }
}
