//! The Python library paramiko, by way of `interop/peers/paramiko_peer.py`.
//!
//! It has no unix socket forwarding in its client and no SOCKS; our script adds neither.
//!
//! Our script has a CLOSE answered beside paramiko's reader. The reader itself (`Channel._handle_close`) would wait with its
//! answer for the end of a key exchange that only it could bring to an end: where a CLOSE crosses paramiko's KEXINIT, it
//! gives up after 30 s with "Key-exchange timed out waiting for key negotiation". Seen with 5.1.0 against OpenSSH's sshd
//! as against aditd, with 40 streams in some runs, and in 1 of 15 with the one stream of `bulk`.

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
