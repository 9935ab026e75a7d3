//! The npm library ssh2, by way of `interop/peers/ssh2/peer.js`.

use super::scripted::{self, Library};
use crate::missing::{self, Missing};
use std::process::Command;

/// ssh2, both roles.
pub struct Ssh2;

const MODULES: &str = "interop-node/node_modules";

impl Library for Ssh2 {
    const NAME: &'static str = "ssh2";

    fn find_library() -> Result<(), Missing> {
        missing::program("node", "apt-get install nodejs")?;
        scripted::built(MODULES).map(drop)
    }

    fn program() -> Command {
        let mut command = Command::new("node");
        command
            .env("NODE_PATH", scripted::built(MODULES).expect("found before"))
            .arg(scripted::source("ssh2/peer.js"));
        command
    }
}
