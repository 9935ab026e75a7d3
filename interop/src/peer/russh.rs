//! The Rust library russh, by way of the `russh-peer` binary of this crate.
//!
//! It cannot pass the stalled reader: it credits a channel's window on arrival and then waits for that channel's reader
//! inside its connection loop, so one reader that stops stops its neighbours.

use super::scripted::Library;
use crate::missing::{self, Missing};
use std::path::PathBuf;
use std::process::Command;

/// russh, both roles.
pub struct Russh;

impl Russh {
    fn path() -> PathBuf {
        missing::binaries().join("russh-peer")
    }
}

impl Library for Russh {
    const NAME: &'static str = "russh";

    fn find_library() -> Result<(), Missing> {
        if Self::path().is_file() {
            return Ok(());
        }
        Err(Missing {
            what: "russh-peer",
            remedy: "cargo build -p adit-interop",
        })
    }

    fn program() -> Command {
        Command::new(Self::path())
    }
}
