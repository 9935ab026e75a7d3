//! Peers without strict key exchange: served with what is safe all the same, or refused with the reason.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use adit_interop::matrix::Pairing;
use adit_interop::missing;
use adit_interop::need;
use adit_interop::peer::{Adit, Client, ClientAsk, ServerAsk};
use adit_interop::ports::free_port;
use adit_interop::process;
use adit_interop::scratch::{self, Key, Scratch};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

adit_interop::matrix! {
    adit_to_asyncssh_2_13: Adit => AsyncsshOld [login local remote bulk];
    asyncssh_2_13_to_aditd: AsyncsshOld => Adit [login local remote bulk];
}

/// Ruby's net-ssh 7.0 prefers encrypt-then-MAC beside CTR, and has no GCM.
#[test]
fn net_ssh_is_served_with_a_plain_mac() {
    let ruby = need!(missing::program("ruby", "apt-get install ruby-net-ssh"));
    let pairing = need!(Pairing::new(&Adit, &Adit));
    let server = pairing.serve(&ServerAsk::default());
    let script = r#"
        require "net/ssh"
        port, key, user = ARGV
        options = { port: port.to_i, keys: [key], config: false, non_interactive: true, verify_host_key: :never }
        Net::SSH.start("127.0.0.1", user, **options) do |session|
          algorithms = session.transport.algorithms
          puts algorithms.encryption_client, algorithms.hmac_client
        end
    "#;
    let scratch = pairing.scratch();
    let mut command = Command::new(ruby);
    command
        .args(["-e", script, &server.port.to_string()])
        .arg(scratch.key(Key::User))
        .arg(scratch::user());
    let said = process::run("net-ssh", command, scratch.path());
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].ends_with("-ctr"), "{said}");
    assert!(!lines[1].contains("etm"), "{said}");
}

/// tinysshd has chacha20-poly1305 alone.
#[test]
fn tinysshd_is_refused_with_the_reason_unless_the_setting_allows_it() {
    let scratch = need!(Scratch::new());
    let port = need!(tinysshd(&scratch));
    let (code, log) = to_tinysshd(&scratch, port, &[]);
    assert_eq!(code, Some(255), "{log}");
    for words in [
        "the peer lacks strict key exchange, without which chacha20-poly1305@openssh.com is open to CVE-2023-48795",
        "the peer would have to offer aes256-gcm@openssh.com, or aes256-ctr with hmac-sha2-256",
        "the setting AllowTerrapin yes takes the risk",
    ] {
        assert!(log.contains(words), "{words:?} is not in: {log}");
    }
    // The right key is not known to it: the login comes after the key exchange that is looked at here.
    let (_, log) = to_tinysshd(&scratch, port, &["-o", "AllowTerrapin=yes"]);
    for words in [
        "AllowTerrapin: the peer (SSH-2.0-tinyssh_",
        "somebody on the way can remove messages",
        "Permission denied (publickey)",
    ] {
        assert!(log.contains(words), "{words:?} is not in: {log}");
    }
}

fn to_tinysshd(scratch: &Scratch, port: u16, args: &[&str]) -> (Option<i32>, String) {
    let mut ask = ClientAsk::args(args);
    ask.config = vec!["LogLevel VERBOSE".into()];
    ask.key = Key::Stranger;
    let known = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"];
    let ask = ask.with_args(&known.map(|option| ["-o", option]).concat());
    Client::launch(&Adit, scratch, port, &ask).end()
}

/// Serves every connection to a port with a tinysshd of its own, as inetd does, until the test's process ends.
fn tinysshd(scratch: &Scratch) -> Result<u16, missing::Missing> {
    let remedy = "apt-get install tinysshd";
    let program = missing::program("tinysshd", remedy)?;
    let keys: PathBuf = scratch.file("tinyssh");
    let mut make = Command::new(missing::program("tinysshd-makekey", remedy)?);
    make.arg(&keys);
    process::run("tinysshd-makekey", make, scratch.path());
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let socket = OwnedFd::from(stream.unwrap());
            let input = socket.try_clone().unwrap();
            let _ = Command::new(&program)
                .arg(&keys)
                .stdin(input)
                .stdout(socket)
                .stderr(Stdio::null())
                .status();
        }
    });
    Ok(port)
}
