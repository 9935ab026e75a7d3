//! The Go library golang.org/x/crypto/ssh, by way of `interop/peers/go/peer.go`.

use super::scripted::{self, Library};
use crate::missing::Missing;
use std::process::Command;

/// Go's library, both roles.
pub struct Go;

const PROGRAM: &str = "interop-go/peer";

impl Library for Go {
    const NAME: &'static str = "go";

    fn find_library() -> Result<(), Missing> {
        scripted::built(PROGRAM).map(drop)
    }

    fn program() -> Command {
        Command::new(scripted::built(PROGRAM).expect("found before"))
    }
}
