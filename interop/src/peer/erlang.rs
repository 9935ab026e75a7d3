//! Erlang's ssh, by way of `interop/peers/erlang/peer.escript`.
//!
//! It cannot: forward unix sockets, say how it ends a channel (its own relay does that).

use super::scripted::{self, Library};
use crate::missing::{self, Missing};
use std::process::Command;

/// Erlang's ssh, both roles.
pub struct Erlang;

impl Library for Erlang {
    const NAME: &'static str = "erlang";

    fn find_library() -> Result<(), Missing> {
        missing::program("escript", "apt-get install erlang-ssh").map(drop)
    }

    fn program() -> Command {
        let mut command = Command::new("escript");
        command.arg(scripted::source("erlang/peer.escript"));
        command
    }
}
