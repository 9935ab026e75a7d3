//! Guesses at what was meant, where the whole text is the resolver's and differs from machine to machine.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::process::{Command, Stdio};

#[test]
fn name_that_does_not_resolve_is_read_again_for_what_was_meant() {
    for (destination, hint) in [
        (
            "user@host.invalid:22",
            "hint: a port is an option: -p 22 host.invalid",
        ),
        (
            "list",
            "hint: 'list' is taken for the name of a host: is it one? adit --help ",
        ),
        (
            "host.invalid",
            "hint: is the name right, and is there a network?",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_adit"))
            .args(["-N", "-F", "none", "-L", "9:a:9", destination])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(255), "{said}");
        assert!(said.contains("Could not resolve hostname"), "{said}");
        assert!(said.contains(hint), "{said}");
    }
}
