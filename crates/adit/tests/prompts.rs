//! adit at a terminal of its own: what shows there, and how it is left.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use adit_proto::key::SigningKey;
use adit_tunnel::identity::file::write_new_host_key;
use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tempfile::TempDir;

const ADIT: &str = env!("CARGO_BIN_EXE_adit");
const ADITD: &str = env!("CARGO_BIN_EXE_aditd");
/// Longer than any of these calls takes, in milliseconds.
const LIMIT: u16 = 20_000;
const PROMPT: &str = "Enter passphrase for key";

/// An aditd that knows a key which needs a passphrase.
struct Stand {
    folder: TempDir,
    aditd: Child,
    port: String,
}

impl Stand {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let host = SigningKey::generate_ed25519().unwrap();
        write_new_host_key(&path("host"), &host).unwrap();
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-a", "1", "-N", "sesame", "-f"]);
        assert!(keygen.arg(path("key")).status().unwrap().success());
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port().to_string()
        };
        let public = fs::read_to_string(path("host.pub")).unwrap();
        fs::write(path("known"), format!("[127.0.0.1]:{port} {public}")).unwrap();
        let mut command = Command::new(ADITD);
        command
            .args(["-D", "-e", "-p", &port, "-h"])
            .arg(path("host"));
        command.args(["-o", "ListenAddress=127.0.0.1", "-o", "PidFile=none"]);
        let keys = format!("AuthorizedKeysFile={}", path("key.pub").display());
        command.args(["-o", "StrictModes=no", "-o", &keys]);
        // Whoever is ended at a prompt has not logged in, over and over.
        command.args(["-o", "PerSourcePenalties=no"]);
        let mut aditd = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(aditd.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("istening on") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "aditd has ended");
        }
        // Whatever it says from now on must have somewhere to go.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self {
            folder,
            aditd,
            port,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The arguments of a login with that key.
    fn args(&self, known: &str) -> Vec<String> {
        let known = format!("UserKnownHostsFile={}", self.path(known).display());
        let key = self.path("key").display().to_string();
        let words = ["-v", "-N", "-F", "none", "-p", &self.port, "-i", &key, "-o"];
        let words = words.into_iter().chain([known.as_str(), "127.0.0.1"]);
        words.map(str::to_owned).collect()
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = self.aditd.kill();
        let _ = self.aditd.wait();
    }
}

/// adit with a terminal, the end of it where a person sits, and what has shown there.
struct Session {
    adit: Child,
    person: File,
    terminal: OwnedFd,
    /// Text that has not been looked at.
    seen: String,
    /// All of it.
    all: String,
}

impl Session {
    fn start(args: &[String]) -> Self {
        let pty = openpty(None, None).unwrap();
        let end = || pty.slave.try_clone().unwrap();
        let mut command = Command::new("setsid");
        command.args(["--ctty", ADIT]).args(args);
        for name in [
            "SSH_AUTH_SOCK",
            "DISPLAY",
            "WAYLAND_DISPLAY",
            "SSH_ASKPASS_REQUIRE",
        ] {
            command.env_remove(name);
        }
        command.stdin(end()).stdout(end()).stderr(end());
        Self {
            adit: command.spawn().unwrap(),
            person: pty.master.into(),
            terminal: pty.slave,
            seen: String::new(),
            all: String::new(),
        }
    }

    /// Waits for a text to show; what stood before it and with it is then no longer looked at.
    fn until(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            let mut waiting = [PollFd::new(
                std::os::fd::AsFd::as_fd(&self.person),
                PollFlags::POLLIN,
            )];
            let ready = poll(&mut waiting, LIMIT).unwrap();
            assert!(ready > 0, "{text:?} does not come: {:?}", self.seen);
            let read = self.person.read(&mut bytes).unwrap();
            let text = String::from_utf8_lossy(&bytes[..read]);
            self.seen.push_str(&text);
            self.all.push_str(&text);
        }
    }

    fn types(&mut self, text: &str) {
        self.person.write_all(text.as_bytes()).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.adit.id().cast_signed())
    }

    fn shows_what_is_typed(&self) -> bool {
        let flags = tcgetattr(&self.terminal).unwrap().local_flags;
        flags.contains(LocalFlags::ECHO)
    }

    fn end(mut self) -> Option<i32> {
        let limit = Instant::now() + Duration::from_millis(LIMIT.into());
        while self.adit.try_wait().unwrap().is_none() {
            assert!(Instant::now() < limit, "it goes on and on");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(self.shows_what_is_typed());
        self.adit.wait().unwrap().code()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.adit.kill();
        let _ = self.adit.wait();
    }
}

#[test]
fn answer_that_comes_at_once_never_shows() {
    let stand = Stand::new();
    for _ in 0..7 {
        let mut session = Session::start(&stand.args("known"));
        for round in 0..3 {
            session.until(PROMPT);
            session.types("not-the-word\n");
            let next = ["\n", "\n", "wrong passphrase"][round];
            session.until(": ");
            session.until(next);
        }
        session.until("Permission denied");
        assert!(!session.all.contains("not-the-word"), "{}", session.all);
        assert_eq!(session.end(), Some(255));
    }
}

#[test]
fn what_was_typed_before_the_prompt_is_no_answer() {
    let stand = Stand::new();
    let mut session = Session::start(&stand.args("unknown"));
    session.types("no\n");
    session.until("continue connecting (yes/no/[fingerprint])? ");
    assert!(session.shows_what_is_typed());
    session.types("yes\n");
    let added = format!("'[127.0.0.1]:{}' (ED25519) to the list", stand.port);
    session.until(&format!("Permanently added {added} of known hosts."));
    session.until(PROMPT);
    assert!(!session.shows_what_is_typed());
    session.types("sesame\n");
    session.until("Authenticated to");
    assert!(!session.all.contains("sesame"));
    session.signal(Signal::SIGTERM);
    assert_eq!(session.end(), Some(0));
}

#[test]
fn terminal_is_left_as_it_was_whatever_ends_the_question() {
    let stand = Stand::new();
    let table = [
        (Signal::SIGTERM, 143),
        (Signal::SIGINT, 255),
        (Signal::SIGHUP, 255),
        (Signal::SIGQUIT, 131),
    ];
    for (signal, code) in table {
        let mut session = Session::start(&stand.args("known"));
        session.until(PROMPT);
        session.until(": ");
        session.signal(signal);
        assert_eq!(session.end(), Some(code), "{signal}");
    }
    let mut session = Session::start(&stand.args("known"));
    session.until(PROMPT);
    session.until(": ");
    session.types("\x04");
    assert_eq!(session.end(), Some(255));
}

#[test]
fn stopped_program_shows_what_is_typed_and_asks_again_when_it_goes_on() {
    let stand = Stand::new();
    let mut session = Session::start(&stand.args("known"));
    session.until(PROMPT);
    session.until(": ");
    session.signal(Signal::SIGTSTP);
    let stopped = waitpid(session.pid(), Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
    assert!(session.shows_what_is_typed());
    session.signal(Signal::SIGCONT);
    session.until(PROMPT);
    assert!(!session.shows_what_is_typed());
    session.types("sesame\n");
    session.until("Authenticated to");
    session.signal(Signal::SIGTERM);
    assert_eq!(session.end(), Some(0));
}

#[test]
fn program_is_asked_where_there_is_no_terminal() {
    use std::os::unix::fs::PermissionsExt as _;
    let stand = Stand::new();
    let script = stand.path("askpass");
    fs::write(&script, "#!/bin/sh\necho sesame\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let table = [
        ("DISPLAY", ":0", true),
        ("SSH_ASKPASS_REQUIRE", "never", false),
    ];
    for (name, value, is_asked) in table {
        let mut command = Command::new("setsid");
        command.args(["--wait", ADIT]).args(stand.args("known"));
        command.env_remove("SSH_AUTH_SOCK").env_remove("DISPLAY");
        command.env("SSH_ASKPASS", &script).env(name, value);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut adit = command.spawn().unwrap();
        let mut said = BufReader::new(adit.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("Authenticated to") && !line.contains("Permission denied") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it has ended");
        }
        assert_eq!(line.contains("Authenticated to"), is_asked, "{line}");
        kill(Pid::from_raw(adit.id().cast_signed()), Signal::SIGTERM).unwrap();
        adit.wait().unwrap();
    }
}
