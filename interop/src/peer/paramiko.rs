//! The Python library paramiko, by way of `interop/peers/paramiko_peer.py`.
//!
//! It has no unix socket forwarding in its client and no SOCKS; our script adds neither.

use super::scripted::{self, Library};
use crate::missing::Missing;
use std::process::Command;

/// paramiko, both roles.
pub struct Paramiko;

impl Library for Paramiko {
    const NAME: &'static str = "paramiko";

    fn find_library() -> Result<(), Missing> {
        scripted::find_module(Self::NAME)
    }

    fn program() -> Command {
        scripted::python(Self::NAME)
    }
}
