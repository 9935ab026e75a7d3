//! The command lines and the configuration that OpenSSH has and adit must understand.

use super::{ClientAsk, Purpose, Rekey, ServerAsk};
use crate::scratch::{self, Scratch};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// `ssh` or `adit`, with forwards alone or with a session.
pub(super) fn client(program: &Path, scratch: &Scratch, port: u16, ask: &ClientAsk) -> Command {
    let mut command = Command::new(program);
    command
        .env("HOME", scratch.home())
        .env_remove("SSH_AUTH_SOCK");
    let text = client_configuration(scratch, port, ask);
    let config = scratch.write(&format!("ssh_config.{port}"), &text);
    match &ask.purpose {
        Purpose::Forwards => command.args(["-N", "-T", "-v"]),
        Purpose::Session(_) => command.args(["-o", "LogLevel=ERROR"]),
    };
    command.args(["-p", &port.to_string(), "-F"]).arg(config);
    // As an argument, too: it tells this test's clients from all others.
    command.arg("-i").arg(scratch.key(ask.key)).args(&ask.args);
    command.args(ask.forwards.iter().flat_map(|forward| forward.args()));
    let user = ask.user.clone().unwrap_or_else(scratch::user);
    command.arg(format!("{user}@127.0.0.1"));
    if let Purpose::Session(words) = &ask.purpose {
        command.args(words);
    }
    command
}

/// `sshd` or `aditd`, in the foreground with its log on standard error.
pub(super) fn server(program: &Path, scratch: &Scratch, port: u16, ask: &ServerAsk) -> Command {
    let config = scratch.write(
        &format!("sshd_config.{port}"),
        &server_configuration(scratch, ask),
    );
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

fn client_configuration(scratch: &Scratch, port: u16, ask: &ClientAsk) -> String {
    let mut text = format!(
        "ExitOnForwardFailure yes\n\
         IdentityFile {key}\n\
         IdentitiesOnly yes\n\
         BatchMode yes\n\
         StrictHostKeyChecking yes\n\
         GlobalKnownHostsFile /dev/null\n\
         UserKnownHostsFile {known_hosts}\n",
        key = scratch.key(ask.key).display(),
        known_hosts = scratch.known_hosts(port).display(),
    );
    if ask.rekey == Rekey::EveryMib {
        text.push_str("RekeyLimit 1M\n");
    }
    for line in &ask.config {
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn server_configuration(scratch: &Scratch, ask: &ServerAsk) -> String {
    let mut text = String::new();
    for line in &ask.config {
        text.push_str(line);
        text.push('\n');
    }
    if ask.rekey == Rekey::EveryMib {
        text.push_str("RekeyLimit 1M\n");
    }
    for key in scratch.host_keys() {
        let _ = writeln!(text, "HostKey {}", key.display());
    }
    let _ = write!(
        text,
        "ListenAddress 127.0.0.1\n\
         AuthorizedKeysFile {authorized}\n\
         PidFile none\n\
         StrictModes no\n\
         UsePAM no\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         PermitRootLogin yes\n\
         MaxStartups 100\n\
         LogLevel DEBUG1\n",
        authorized = scratch.authorized_keys().display(),
    );
    text
}
