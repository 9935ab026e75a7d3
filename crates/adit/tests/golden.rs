//! Everything a person sees of the commonest calls and failures, word for word, against the files in `tests/golden`.
//!
//! Text that differs from run to run has a name in them: DIR, USER, SERVER (the server's port), BUSY and CLOSED
//! (ports), VERSION, FINGERPRINT. `ADIT_REWRITE_GOLDEN=1 cargo test -p adit --test golden` writes them anew; look at
//! the diff.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod stand;

use std::fs;
use std::path::{Path, PathBuf};

use adit_tunnel::server::LocalAccount;
use stand::{Errors, Program, Stand};

#[test]
fn help_and_version() {
    let stand = Stand::new();
    stand.check("adit-help", Program::Adit, &["--help"]);
    stand.check("demo-help", Program::Adit, &["demo", "--help"]);
    stand.check("adit-version", Program::Adit, &["-V"]);
    stand.check("aditd-help", Program::Aditd, &["--help"]);
    stand.check("aditd-version", Program::Aditd, &["-V"]);
}

#[test]
fn command_lines_that_mean_nothing() {
    let stand = Stand::new();
    let table: [(&str, &[&str]); 10] = [
        ("no-destination", &[]),
        ("unknown-flag", &["-N", "-z", "127.0.0.1"]),
        ("flag-not-supported", &["-N", "-w", "0:1", "127.0.0.1"]),
        ("bad-spec", &["-N", "-L", "x:y:z", "127.0.0.1"]),
        ("spec-without-space", &["-NL9000:a:80:user@host"]),
        ("spec-without-port", &["-N", "-L", "9000:youtube.com", "h"]),
        ("like-a-command", &["-F", "none", "help"]),
        ("bad-stdio-forward", &["-W", "nowhere", "127.0.0.1"]),
        ("no-subsystem", &["-F", "none", "-s", "127.0.0.1"]),
        ("background-nothing", &["-F", "none", "-f", "127.0.0.1"]),
    ];
    for (name, args) in table {
        stand.check(name, Program::Adit, args);
    }
    let args = ["demo", "--once", "--port", "8080"];
    stand.check("demo-unknown-option", Program::Adit, &args);
}

#[test]
fn configurations_with_mistakes() {
    let stand = Stand::new();
    let ssh = stand.write("ssh_config", "Host *\n  Frobnicate yes\n  Port x\n");
    stand.check(
        "ssh-config",
        Program::Adit,
        &["-N", "-F", &ssh, "127.0.0.1"],
    );
    let sshd = stand.write("sshd_config", "Port 2222\nFrobnicate yes\nDenyGroups eve\n");
    stand.check("sshd-config", Program::Aditd, &["-t", "-f", &sshd]);
    let key = stand.path("host");
    let foreign = stand.write(
        "foreign",
        "PasswordAuthentication yes\nSubsystem sftp internal-sftp\n",
    );
    let args = ["-t", "-h", &key, "-f", &foreign];
    stand.check("sshd-config-foreign", Program::Aditd, &args);
    let missing = stand.path("missing");
    let args = ["-t", "-h", &missing, "-h", &key];
    stand.check("host-key-missing", Program::Aditd, &args);
    let args = ["-t", "-h", &missing];
    stand.check("host-keys-all-missing", Program::Aditd, &args);
}

#[test]
fn servers_that_cannot_be_reached_or_trusted() {
    let stand = Stand::new();
    let closed = stand.closed.to_string();
    let unreachable = ["-N", "-F", "none", "-p", &closed, "127.0.0.1"];
    stand.check("unreachable", Program::Adit, &unreachable);
    let foreign = [&["-XAe", "none"], &unreachable[..]].concat();
    stand.check("flags-passed-over", Program::Adit, &foreign);
    let log = stand.path("log");
    let logged = [&["-E", &log], &unreachable[..]].concat();
    stand.check("unreachable-logged", Program::Adit, &logged);
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.starts_with("adit: connect to host"), "{said}");
    stand.check_login("wrong-key", "stranger", "known_hosts", &[]);
    stand.check_login("public-key", "stranger.pub", "known_hosts", &[]);
    stand.check_login("changed-host-key", "user", "changed_hosts", &[]);
    stand.check_login(
        "unknown-host-key",
        "user",
        "no_hosts",
        &["-o", "BatchMode=yes"],
    );
    stand.check_login("unknown-host-key-no-terminal", "user", "no_hosts", &[]);
    let strictly = ["-o", "StrictHostKeyChecking=yes"];
    stand.check_login("unknown-host-key-strict", "user", "no_hosts", &strictly);
}

/// The first forward is up, the second ends it all.
#[test]
fn a_forward_that_is_up_says_so_to_a_person_only() {
    let mut stand = Stand::new();
    let here = format!("127.0.0.1:{}", stand.closed);
    let args = ["-D", &here, "-L", "/nonexistent/s:h:1"];
    let args = [&args[..], &["-o", "ExitOnForwardFailure=yes"]].concat();
    let quietly = [&["-q"], &args[..]].concat();
    stand.check_login("forward-up-piped", "user", "known_hosts", &args);
    stand.errors_to = Errors::Terminal;
    stand.check_login("forward-up-terminal", "user", "known_hosts", &args);
    stand.check_login("forward-up-quiet", "user", "known_hosts", &quietly);
}

#[test]
fn nothing_goes_to_the_background_without_a_forward() {
    let stand = Stand::new();
    let busy = format!("127.0.0.1:{}", stand.busy_port());
    let ask = |name, flags| {
        stand.check_login(name, "user", "known_hosts", &[flags, "-D", &busy]);
    };
    ask("background-in-vain", "-f");
    ask("background-in-vain-quiet", "-fCq");
}

#[test]
fn jump_host_whose_key_changed() {
    let stand = Stand::new();
    let config = format!(
        "Host hop\nHostName 127.0.0.1\nHost *\nStrictHostKeyChecking no\nIdentityFile {}\nUserKnownHostsFile {}\nGlobalKnownHostsFile none\n",
        stand.path("user"),
        stand.path("changed_hosts")
    );
    let config = stand.write("ssh_config", &config);
    let port = stand.server_port().to_string();
    let hop = format!("hop:{port}");
    let args = ["-N", "-F", &config, "-J", &hop, "-p", &port, "127.0.0.1"];
    stand.check("changed-host-key-of-a-jump-host", Program::Adit, &args);
}

#[test]
fn forwards_that_cannot_be_had() {
    let stand = Stand::new();
    let busy = stand.busy_port();
    let listen = format!("127.0.0.1:{busy}:127.0.0.1:9");
    let strictly = ["-o", "ExitOnForwardFailure=yes"];
    let ask = |name, flag, spec: &str| {
        let args = [flag, spec, strictly[0], strictly[1]];
        stand.check_login(name, "user", "known_hosts", &args);
    };
    ask("local-port-in-use", "-L", &listen);
    ask("remote-port-in-use", "-R", &listen);
    // 192.0.2.0/24 is for documentation: no machine has it.
    ask("address-not-here", "-L", "192.0.2.1:9:127.0.0.1:9");
    let key = stand.path("host");
    let port = busy.to_string();
    let args = [
        "-D",
        "-h",
        &key,
        "-p",
        &port,
        "-o",
        "ListenAddress=127.0.0.1",
    ];
    stand.check("server-port-in-use", Program::Aditd, &args);
    let log = stand.path("log");
    let logged = [&["-E", &log], &args[..]].concat();
    stand.check("server-port-in-use-logged", Program::Aditd, &logged);
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("error: cannot listen"), "{said}");
}

#[test]
fn remote_forwards_that_the_servers_rules_forbid() {
    let stand = Stand::with_rules("PermitListen=none");
    let args = ["-R", "9:127.0.0.1:9", "-o", "ExitOnForwardFailure=yes"];
    stand.check_login("remote-refused", "user", "known_hosts", &args);
}

#[test]
fn privileged_ports_as_an_ordinary_user() {
    if first_unprivileged_port() <= 81 {
        println!("not tested: port 81 is open to everybody on this system");
        return;
    }
    let stand = Stand::new().without_privileges();
    let args = [
        "-L",
        "127.0.0.1:81:127.0.0.1:9",
        "-o",
        "ExitOnForwardFailure=yes",
    ];
    stand.check_login("local-port-privileged", "user", "known_hosts", &args);
    let key = stand.path("host");
    let args = [
        "-D",
        "-h",
        &key,
        "-p",
        "81",
        "-o",
        "ListenAddress=127.0.0.1",
    ];
    stand.check("server-port-privileged", Program::Aditd, &args);
}

fn first_unprivileged_port() -> u16 {
    LocalAccount::own().unwrap().first_unprivileged_port
}

/// Panics with what differs, unless `found` is what the file says, or the file is to be written anew.
fn compare(name: &str, found: &str) {
    let file = golden().join(format!("{name}.txt"));
    if std::env::var_os("ADIT_REWRITE_GOLDEN").is_some() {
        fs::write(&file, found).unwrap();
        return;
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        expected == found,
        "\n{name}.txt: lines with - are expected, lines with + were found\n{}",
        difference(&expected, found)
    );
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Both texts, what they share at the start and the end once.
fn difference(expected: &str, found: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let alike = |(a, b): &(&&str, &&str)| a == b;
    let head = old.iter().zip(&new).take_while(alike).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev());
    let tail = tail.take_while(alike).count();
    let marked = |mark: &str, lines: &[&str]| -> String {
        let line = |line: &&str| format!("{mark} {line}\n");
        lines.iter().map(line).collect()
    };
    marked(" ", &old[..head])
        + &marked("-", &old_rest[..old_rest.len() - tail])
        + &marked("+", &new_rest[..new_rest.len() - tail])
        + &marked(" ", &old_rest[old_rest.len() - tail..])
}

#[test]
fn a_difference_shows_both_sides_and_what_they_share() {
    let shown = difference("a\nb\nc\n", "a\nx\ny\nc\n");
    assert_eq!(shown, "  a\n- b\n+ x\n+ y\n  c\n");
    assert_eq!(difference("", "a\n"), "+ a\n");
}

#[test]
fn no_golden_file_is_without_its_test() {
    let sources = [include_str!("golden.rs")].concat();
    for entry in fs::read_dir(golden()).unwrap() {
        let name = entry.unwrap().file_name();
        let stem = Path::new(&name).file_stem().unwrap().to_string_lossy();
        assert!(sources.contains(&format!("\"{stem}\"")), "{stem}");
    }
}
