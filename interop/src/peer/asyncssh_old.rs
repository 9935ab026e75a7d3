//! asyncssh 2.13, the last series without strict key exchange, by way of the same script as the newest: a peer with
//! which adit must settle on ciphers that are safe all the same.

use super::scripted::{self, Library};
use crate::missing::{self, Missing};
use std::path::PathBuf;
use std::process::Command;

/// asyncssh 2.13, both roles.
pub struct AsyncsshOld;

/// The folder that `./check` installs it into, beside the newest.
fn folder() -> PathBuf {
    missing::target_dir().join("interop-venv/asyncssh-2.13")
}

impl Library for AsyncsshOld {
    const NAME: &'static str = "asyncssh-2.13";

    fn find_library() -> Result<(), Missing> {
        scripted::find_module("asyncssh")?;
        if folder().join("asyncssh").is_dir() {
            return Ok(());
        }
        Err(Missing {
            what: Self::NAME,
            remedy: "target/interop-venv/bin/pip install --no-deps \
                     --target target/interop-venv/asyncssh-2.13 asyncssh==2.13.2",
        })
    }

    fn program() -> Command {
        let mut command = scripted::python("asyncssh");
        command.env("PYTHONPATH", folder());
        command
    }
}
