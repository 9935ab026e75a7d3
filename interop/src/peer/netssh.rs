//! The Ruby library net-ssh, by way of `interop/peers/netssh/peer.rb`.
//!
//! It cannot: serve, forward unix sockets, say how it ends a channel (its own relay does that).

use super::scripted::{self, Library};
use crate::missing::{self, Missing};
use std::process::Command;

/// net-ssh, as a client.
pub struct NetSsh;

impl Library for NetSsh {
    const NAME: &'static str = "net-ssh";

    fn find_library() -> Result<(), Missing> {
        missing::program(
            "ruby",
            "apt-get install ruby-net-ssh ruby-ed25519 ruby-bcrypt-pbkdf",
        )
        .map(drop)
    }

    fn program() -> Command {
        let mut command = Command::new("ruby");
        command.arg(scripted::source("netssh/peer.rb"));
        command
    }
}
