//! The Java library JSch, by way of `interop/peers/jsch/Peer.java`.
//!
//! It cannot: serve, read Ed25519 keys or OpenSSH's own key format, forward unix sockets.

use super::scripted::{self, Library};
use crate::missing::{self, Missing};
use crate::scratch::{Key, Scratch};
use std::path::{Path, PathBuf};
use std::process::Command;

/// JSch, as a client.
pub struct Jsch;

const CLASSES: &str = "interop-jsch";
const JAR: &str = "/usr/share/java/jsch.jar";

impl Library for Jsch {
    const NAME: &'static str = "jsch";

    fn find_library() -> Result<(), Missing> {
        missing::program("java", "apt-get install default-jdk-headless")?;
        if !Path::new(JAR).exists() {
            return Err(Missing {
                what: JAR,
                remedy: "apt-get install libjsch-java",
            });
        }
        scripted::built(CLASSES).map(drop)
    }

    fn program() -> Command {
        let classes = scripted::built(CLASSES).expect("found before");
        let mut command = Command::new("java");
        // Without the second compiler: the process lives for a moment, on what may be two cores.
        command
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
            .arg(format!("{}:{JAR}", classes.display()))
            .arg("Peer");
        command
    }

    fn prepare_keys(scratch: &Scratch) {
        scratch.add_ecdsa_keys();
    }

    fn key(scratch: &Scratch, which: Key) -> PathBuf {
        scratch.ecdsa_key(which)
    }

    fn known_hosts(scratch: &Scratch, port: u16) -> PathBuf {
        scratch.known_hosts_of("host-ecdsa.pub", &format!("[127.0.0.1]:{port}"))
    }
}
