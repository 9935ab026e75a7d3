//! The command lines and the configuration that OpenSSH has and adit must understand.

use super::{ClientAsk, Rekey, ServerAsk};
use crate::scratch::{self, Scratch};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// `ssh` or `adit`, holding forwards without a command.
pub(super) fn client(program: &Path, scratch: &Scratch, port: u16, ask: &ClientAsk) -> Command {
    let mut command = Command::new(program);
    command
        .env("HOME", scratch.home())
        .env_remove("SSH_AUTH_SOCK");
    command.args([
        "-N",
        "-T",
        "-v",
        "-F",
        "none",
        "-p",
        &port.to_string(),
        "-i",
    ]);
    command.arg(scratch.key(ask.key));
    let known_hosts = scratch.known_hosts(port);
    // First value wins, so the test's own arguments come before ours.
    command.args(&ask.args);
    for option in [
        "ExitOnForwardFailure=yes",
        "IdentitiesOnly=yes",
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "GlobalKnownHostsFile=/dev/null",
        &format!("UserKnownHostsFile={}", known_hosts.display()),
    ] {
        command.args(["-o", option]);
    }
    if ask.rekey == Rekey::EveryMib {
        command.args(["-o", "RekeyLimit=1M"]);
    }
    command.args(ask.forwards.iter().flat_map(|forward| forward.args()));
    let user = ask.user.clone().unwrap_or_else(scratch::user);
    command.arg(format!("{user}@127.0.0.1"));
    command
}

/// `sshd` or `aditd`, in the foreground with its log on standard error.
pub(super) fn server(program: &Path, scratch: &Scratch, port: u16, ask: &ServerAsk) -> Command {
    let config = scratch.write(&format!("sshd_config.{port}"), &configuration(scratch, ask));
    let mut command = Command::new(program);
    command
        .args(["-D", "-e", "-f"])
        .arg(config)
        .args(["-p", &port.to_string()]);
    command
}

/// Key exchanges in a log at debug1: both sides write this line once for each.
pub(super) fn key_exchanges(log: &str) -> usize {
    log.lines()
        .filter(|line| line.contains("NEWKEYS sent"))
        .count()
}

fn configuration(scratch: &Scratch, ask: &ServerAsk) -> String {
    let mut text = String::new();
    for line in &ask.config {
        text.push_str(line);
        text.push('\n');
    }
    if ask.rekey == Rekey::EveryMib {
        text.push_str("RekeyLimit 1M\n");
    }
    let _ = write!(
        text,
        "ListenAddress 127.0.0.1\n\
         HostKey {host}\n\
         AuthorizedKeysFile {authorized}\n\
         PidFile none\n\
         StrictModes no\n\
         UsePAM no\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         PermitRootLogin yes\n\
         MaxStartups 100\n\
         LogLevel DEBUG1\n",
        host = scratch.host_key().display(),
        authorized = scratch.authorized_keys().display(),
    );
    text
}
