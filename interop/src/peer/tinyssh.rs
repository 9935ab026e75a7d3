//! tinysshd, by way of `interop/peers/inetd.py`.
//!
//! It cannot: forward anything, be a client. It has chacha20-poly1305 alone and no strict key exchange. Its host key is one
//! that it makes. Nobody gets in: it wants authorized_keys below directories of which none is writable by others, which a
//! scratch directory is not.

use super::{ClientAsk, Peer, ServerAsk, scripted};
use crate::missing::{self, Missing};
use crate::process;
use crate::scratch::Scratch;
use std::path::PathBuf;
use std::process::Command;

/// tinysshd, as a server.
pub struct TinySsh;

const REMEDY: &str = "apt-get install tinysshd";
const KEYS: &str = "tinyssh";

impl TinySsh {
    fn tool(name: &'static str) -> Command {
        Command::new(missing::program(name, REMEDY).expect("found before"))
    }
}

impl Peer for TinySsh {
    fn name(&self) -> &'static str {
        "tinysshd"
    }

    fn find(&self) -> Result<(), Missing> {
        for name in ["tinysshd", "tinysshd-makekey", "tinysshd-printkey"] {
            missing::program(name, REMEDY)?;
        }
        Ok(())
    }

    fn server(&self, scratch: &Scratch, port: u16, _ask: &ServerAsk) -> Command {
        let keys: PathBuf = scratch.file(KEYS);
        if !keys.exists() {
            let mut make = Self::tool("tinysshd-makekey");
            make.arg("-q").arg(&keys);
            process::run("tinysshd-makekey", make, scratch.path());
            let mut print = Self::tool("tinysshd-printkey");
            print.arg(&keys);
            let line = process::run("tinysshd-printkey", print, scratch.path());
            scratch.write("tinyssh.pub", &line);
        }
        scratch.known_hosts_of("tinyssh.pub", &format!("[127.0.0.1]:{port}"));
        let mut command = scripted::python_script("inetd.py");
        command.arg(port.to_string());
        command.args(["tinysshd", "-v"]).arg(keys);
        command
    }

    fn client(&self, _scratch: &Scratch, _port: u16, _ask: &ClientAsk) -> Command {
        unreachable!("it has no client");
    }

    fn key_exchanges(&self, _log: &str) -> Option<usize> {
        None
    }
}
