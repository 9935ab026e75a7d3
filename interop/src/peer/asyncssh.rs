//! The Python library asyncssh, by way of `interop/peers/asyncssh_peer.py`.
//!
//! It can do everything that the matrix asks.

use super::scripted::{self, Library};
use crate::missing::Missing;
use std::process::Command;

/// asyncssh, both roles.
pub struct Asyncssh;

impl Library for Asyncssh {
    const NAME: &'static str = "asyncssh";

    fn find_library() -> Result<(), Missing> {
        scripted::find_module(Self::NAME)
    }

    fn program() -> Command {
        scripted::python(Self::NAME)
    }
}
