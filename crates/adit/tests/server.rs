//! An aditd that runs: what it lets in, what it says, and what signals do.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use adit_proto::key::SigningKey;
use adit_tunnel::identity::file::write_new_host_key;
use adit_tunnel::server::LocalAccount;
use tempfile::TempDir;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn key_that_pubkey_accepted_algorithms_does_not_name_is_refused() {
    let folder = Folder::new();
    let refused = "signature algorithm ssh-ed25519 not in PubkeyAcceptedAlgorithms";
    let table = [
        ("PubkeyAcceptedAlgorithms=-rsa*", "Accepted publickey for "),
        ("PubkeyAcceptedAlgorithms=rsa-sha2-512", refused),
    ];
    for (line, said) in table {
        let mut aditd = Aditd::start(&folder, &["-o", line]);
        aditd.log_in(&folder, &LocalAccount::own().unwrap().name);
        aditd.until(said);
        let let_in = aditd
            .seen
            .iter()
            .any(|line| line.contains("Accepted publickey"));
        assert_eq!(let_in, said != refused, "{:#?}", aditd.seen);
    }
}

#[test]
fn server_serves_without_a_pid_file_that_cannot_be_written() {
    let folder = Folder::new();
    let mut aditd = Aditd::start(&folder, &["-o", "PidFile=/nonexistent/pid"]);
    aditd.until("error: cannot write the pid file /nonexistent/pid: ");
    aditd.log_in(&folder, &LocalAccount::own().unwrap().name);
    aditd.until("Accepted publickey for ");
}

/// Keys: `host`, and `user`, who is authorized.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        for name in ["host", "user"] {
            let key = SigningKey::generate_ed25519().unwrap();
            write_new_host_key(&folder.path(name), &key).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file in it, as an argument.
    fn word(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// aditd for `user`, on a free port of loopback, with this host key.
    fn aditd(&self, host_key: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aditd"));
        let keys = format!("AuthorizedKeysFile={}", self.word("user.pub"));
        command
            .args(["-h", &self.word(host_key), "-o", &keys])
            .args(["-o", "StrictModes=no", "-o", "ListenAddress=127.0.0.1"])
            .args(["-p", &free_port().to_string()])
            .env_remove("TZ")
            .stdin(Stdio::null());
        command
    }
}

/// One in the foreground; it ends with the test.
struct Aditd {
    process: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    port: String,
}

impl Aditd {
    fn start(folder: &Folder, args: &[&str]) -> Self {
        let mut command = folder.aditd("host");
        command.arg("-D").args(args).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let errors = BufReader::new(process.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = errors.lines().map_while(Result::ok);
            lines.map(|line| sender.send(line)).all(|sent| sent.is_ok())
        });
        let mut aditd = Self {
            process,
            lines,
            seen: Vec::new(),
            port: String::new(),
        };
        let listening = aditd.until("Server listening on 127.0.0.1 port ");
        let number = listening.rsplit(' ').next().unwrap();
        aditd.port = number.trim_end_matches('.').to_owned();
        aditd
    }

    /// The first line from now on that has these words in it.
    fn until(&mut self, words: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(LIMIT) else {
                panic!("{words:?} is not in {:#?}", self.seen);
            };
            self.seen.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    /// A login as `user` that asks for a forward that cannot be had, so that it ends.
    fn log_in(&self, folder: &Folder, user: &str) -> Output {
        let known = format!("UserKnownHostsFile={}", folder.word("known_hosts"));
        let host = fs::read_to_string(folder.path("host.pub")).unwrap();
        let line = format!("[127.0.0.1]:{} {host}", self.port);
        fs::write(folder.path("known_hosts"), line).unwrap();
        Command::new(env!("CARGO_BIN_EXE_adit"))
            .args(["-N", "-F", "none", "-p", &self.port, "-l", user])
            .args(["-i", &folder.word("user"), "-o", &known, "127.0.0.1"])
            .args([
                "-o",
                "GlobalKnownHostsFile=none",
                "-L",
                "/nonexistent/s:h:1",
            ])
            .args(["-o", "ExitOnForwardFailure=yes"])
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

impl Drop for Aditd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
