//! ssh-audit against aditd as it comes: no failure but those that docs/adr/0008-ssh-audit.md accepts, and a rate of
//! connections that a stranger cannot drive up.

use adit_interop::missing::{self, Missing};
use adit_interop::need;
use adit_interop::peer::{Adit, Peer, Server, ServerAsk};
use adit_interop::process;
use adit_interop::scratch::Scratch;
use std::path::PathBuf;
use std::process::Command;

/// Algorithms that fail there and are offered all the same.
const ACCEPTED: [&str; 3] = [
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
];

#[test]
fn ssh_audit_finds_no_failure_that_nobody_accepted() {
    let report = need!(audit(&["--skip-rate-test"]));
    let failed: Vec<&str> = report
        .lines()
        .filter(|line| line.contains("[fail]"))
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter(|name| !ACCEPTED.contains(name))
        .collect();
    assert!(failed.is_empty(), "{failed:?} in:\n{report}");
    assert!(report.contains("(kex) mlkem768x25519-sha256"), "{report}");
}

#[test]
fn ssh_audit_cannot_drive_up_the_rate_of_connections() {
    let report = need!(audit(&[]));
    assert!(!report.contains("DHEat"), "{report}");
    assert!(report.contains("(fin) ssh-ed25519"), "{report}");
}

/// Report of ssh-audit about an aditd with its defaults.
fn audit(options: &[&str]) -> Result<String, Missing> {
    Adit.find()?;
    let program = find()?;
    let scratch = Scratch::new()?;
    let ask = ServerAsk::config(&["MaxStartups 10:30:100"]);
    let server = Server::start(&Adit, &scratch, &ask);
    let mut command = Command::new(program);
    command
        .args(["--no-colors", "--port", &server.port.to_string()])
        .args(options)
        .arg("127.0.0.1");
    // It ends with 2 or 3 where it warns or fails, which its report tells in detail.
    let (_, report, errors) = process::outcome("ssh-audit", command, scratch.path());
    assert!(!report.is_empty(), "no report: {errors}");
    Ok(report)
}

fn find() -> Result<PathBuf, Missing> {
    let program = missing::target_dir().join("interop-venv/bin/ssh-audit");
    if program.exists() {
        return Ok(program);
    }
    Err(Missing {
        what: "ssh-audit",
        remedy: "target/interop-venv/bin/pip install -r interop/peers/requirements.txt",
    })
}
