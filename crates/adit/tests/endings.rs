//! Nothing that stands in a file's place makes a program wait, and whatever adit waits for, a signal ends it.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use adit_proto::key::SigningKey;
use adit_tunnel::identity::file::write_new_host_key;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use tempfile::TempDir;

const ADIT: &str = env!("CARGO_BIN_EXE_adit");
const ADITD: &str = env!("CARGO_BIN_EXE_aditd");
/// Longer than any of these calls takes.
const LIMIT: Duration = Duration::from_secs(20);

struct Folder(TempDir);

impl Folder {
    /// A pipe that nobody writes to, and a key.
    fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        mkfifo(&folder.path("pipe"), Mode::S_IRWXU).unwrap();
        let key = SigningKey::generate_ed25519().unwrap();
        write_new_host_key(&folder.path("key"), &key).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn word(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

/// A program that is killed if the test ends before it.
struct Running(Child);

impl Running {
    fn start(program: &str, args: &[&str]) -> Self {
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP,INT", program]);
        command.args(args).env_remove("SSH_AUTH_SOCK");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        Self(command.stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Its exit code and what it said, once it has ended by itself.
    fn end(&mut self) -> (Option<i32>, String) {
        let limit = Instant::now() + LIMIT;
        while self.0.try_wait().unwrap().is_none() {
            assert!(Instant::now() < limit, "it goes on and on");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut said = String::new();
        let mut errors = self.0.stderr.take().unwrap();
        errors.read_to_string(&mut said).unwrap();
        (self.0.wait().unwrap().code(), said)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn pipe_in_the_place_of_a_file_is_an_error_that_names_it() {
    let folder = Folder::new();
    let pipe = folder.word("pipe");
    let including = folder.word("including");
    fs::write(&including, format!("Include {pipe}\n")).unwrap();
    let known_hosts = format!("UserKnownHostsFile={pipe}");
    let key = folder.word("key");
    let client: [&[&str]; 3] = [
        &["-N", "-F", &pipe, "h"],
        &["-N", "-F", &including, "h"],
        &["-N", "-F", "none", "-o", &known_hosts, "h"],
    ];
    let server: [&[&str]; 3] = [
        &["-t", "-h", &pipe],
        &["-t", "-h", &key, "-f", &pipe],
        &["-D", "-h", &key, "-E", &pipe],
    ];
    let client = client.map(|args| (ADIT, args));
    for (program, args) in client.into_iter().chain(server.map(|args| (ADITD, args))) {
        let (code, said) = Running::start(program, args).end();
        assert_eq!(code, Some(255), "{args:?}: {said}");
        assert!(said.contains("it is a named pipe"), "{args:?}: {said}");
    }
}

#[test]
fn configuration_and_known_hosts_may_come_through_descriptors_and_from_nowhere() {
    let port = free_port().to_string();
    let known_hosts = "UserKnownHostsFile=/dev/null";
    let args = ["-N", "-F", "/dev/stdin", "-o", known_hosts, "-p", &port];
    let mut adit = Running::start(ADIT, &[&args[..], &["h"]].concat());
    let mut input = adit.0.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"HostName 127.0.0.1\n").unwrap();
    drop(input);
    let (_, said) = adit.end();
    assert!(said.contains("connect to host 127.0.0.1 port"), "{said}");
}

/// Starts adit, waits until it has come to the peer that never answers, and sends a signal.
fn is_ended(args: &[&str], arrived: impl FnOnce(), signal: Signal) -> Option<i32> {
    let mut adit = Running::start(ADIT, args);
    arrived();
    adit.signal(signal);
    adit.end().0
}

#[test]
fn signal_ends_what_waits_for_a_server_or_an_agent() {
    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let args = ["-N", "-F", "none", "-p", &port, "127.0.0.1"];
    let mut held: Option<TcpStream> = None;
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 255)] {
        let arrived = || held = Some(listener.accept().unwrap().0);
        assert_eq!(is_ended(&args, arrived, signal), Some(code), "{signal}");
    }
    let agent = UnixListener::bind(folder.path("agent")).unwrap();
    let mut aditd = serve(&folder);
    let port = aditd.port().to_string();
    let agent_option = format!("IdentityAgent={}", folder.word("agent"));
    let args = [
        "-N",
        "-F",
        "none",
        "-p",
        &port,
        "-o",
        &agent_option,
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "127.0.0.1",
    ];
    let mut held: Option<UnixStream> = None;
    let arrived = || held = Some(agent.accept().unwrap().0);
    assert_eq!(is_ended(&args, arrived, Signal::SIGTERM), Some(143));
}

#[test]
fn signal_ends_what_waits_for_a_key_that_does_not_come() {
    let folder = Folder::new();
    let mut aditd = serve(&folder);
    let port = aditd.port().to_string();
    let args = [
        "-v",
        "-N",
        "-F",
        "none",
        "-p",
        &port,
        "-i",
        "/dev/stdin",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "127.0.0.1",
    ];
    let mut adit = Running::start(ADIT, &args);
    let mut errors = std::io::BufReader::new(adit.0.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("Authentications that can continue") {
        line.clear();
        let read = std::io::BufRead::read_line(&mut errors, &mut line).unwrap();
        assert!(read > 0, "it ended by itself");
    }
    adit.0.stderr = Some(errors.into_inner());
    adit.signal(Signal::SIGTERM);
    assert_eq!(adit.end().0, Some(143));
}

#[test]
fn signal_to_what_waits_for_the_background_ends_both() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let args = ["-f", "-N", "-F", "none", "-p", &port, "127.0.0.1"];
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 255)] {
        let mut held: Option<TcpStream> = None;
        let arrived = || held = Some(listener.accept().unwrap().0);
        assert_eq!(is_ended(&args, arrived, signal), Some(code), "{signal}");
        // Whoever held the other end has gone, too.
        let mut held = held.unwrap();
        held.set_read_timeout(Some(LIMIT)).unwrap();
        held.read_to_end(&mut Vec::new()).unwrap();
    }
}

#[test]
fn match_exec_runs_once_on_the_way_to_the_background_and_is_not_marked() {
    let folder = Folder::new();
    let (config, trace) = (folder.word("config"), folder.word("trace"));
    let text = format!("Match exec \"echo ${{ADIT_BACKGROUND-no}} >> {trace}\"\n");
    fs::write(&config, text).unwrap();
    let port = free_port().to_string();
    for flags in [&["-f"][..], &["-o", "forkafterauthentication yes"]] {
        let args = ["-N", "-F", &config, "-p", &port, "127.0.0.1"];
        let (code, said) = Running::start(ADIT, &[flags, &args].concat()).end();
        assert_eq!(code, Some(255), "{said}");
        assert_eq!(fs::read_to_string(&trace).unwrap(), "no\n", "{flags:?}");
        fs::remove_file(&trace).unwrap();
    }
}

#[test]
fn programs_have_the_limit_of_descriptors_that_adit_came_with() {
    let folder = Folder::new();
    let (config, trace) = (folder.word("config"), folder.word("trace"));
    let text = format!("Match exec \"ulimit -S -n >> {trace}\"\n");
    fs::write(&config, text).unwrap();
    let port = free_port().to_string();
    let shell = ["-c", "ulimit -S -n 200; exec \"$0\" \"$@\"", ADIT];
    for flag in ["-N", "-fN"] {
        let args = [flag, "-F", &config, "-p", &port, "127.0.0.1"];
        let (code, said) = Running::start("sh", &[&shell[..], &args].concat()).end();
        assert_eq!(code, Some(255), "{said}");
        assert_eq!(fs::read_to_string(&trace).unwrap(), "200\n", "{flag}");
        fs::remove_file(&trace).unwrap();
    }
}

/// Messages of adit about a configuration that comes through a pipe.
fn told_through_a_pipe(args: &[&str], config: &str) -> String {
    let mut adit = Running::start(ADIT, args);
    let mut input = adit.0.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, config.as_bytes()).unwrap();
    drop(input);
    adit.end().1
}

#[test]
fn configuration_from_a_pipe_counts_in_the_background_and_at_every_hop() {
    let port = free_port();
    let config = format!("Host h\nProxyJump gw\nHost gw\nHostName 127.0.0.1\nPort {port}\n");
    let words = ["-N", "-F", "/dev/stdin", "h"];
    let expected = format!("connect to host 127.0.0.1 port {port}");
    for args in [&words[..], &[&["-f"], &words[..]].concat()] {
        let said = told_through_a_pipe(args, &config);
        assert!(said.contains(&expected), "{args:?}: {said}");
        let again = format!("Match final\n{config}");
        let said = told_through_a_pipe(args, &again);
        assert!(said.contains(&expected), "{args:?}: {said}");
    }
    let asking = format!("ForkAfterAuthentication yes\n{config}");
    let said = told_through_a_pipe(&words, &asking);
    assert!(said.contains("use -f instead"), "{said}");
}

#[test]
fn server_keeps_what_it_read_from_a_pipe() {
    let folder = Folder::new();
    let (key, port) = (folder.word("key"), free_port());
    let args = ["-D", "-h", &key, "-f", "/dev/stdin"];
    let mut running = Running::start(ADITD, &args);
    let config = format!("Port {port}\nListenAddress 127.0.0.1\nPidFile none\n");
    let mut input = running.0.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, config.as_bytes()).unwrap();
    drop(input);
    let errors = std::io::BufReader::new(running.0.stderr.take().unwrap());
    let mut aditd = Aditd { running, errors };
    assert_eq!(aditd.port(), port);
    aditd.running.signal(Signal::SIGHUP);
    let mut line = String::new();
    while !line.contains("SIGHUP") {
        line.clear();
        let read = std::io::BufRead::read_line(&mut aditd.errors, &mut line).unwrap();
        assert!(read > 0, "aditd has ended");
    }
    assert!(line.contains("can be read only once"), "{line}");
}

#[test]
fn level_error_tells_why_a_key_is_of_no_use() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let mut aditd = serve(&folder);
    let (port, pipe) = (aditd.port().to_string(), folder.word("pipe"));
    let open = folder.word("open");
    fs::copy(folder.path("key"), &open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let words = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"];
    let options = ["LogLevel=ERROR", "IdentitiesOnly=yes"]
        .into_iter()
        .chain(words);
    let options = options.flat_map(|word| ["-o", word]);
    let args = ["-N", "-F", "none", "-p", &port, "-i", &open, "-i", &pipe];
    let args: Vec<&str> = args
        .into_iter()
        .chain(options)
        .chain(["127.0.0.1"])
        .collect();
    let (code, said) = Running::start(ADIT, &args).end();
    assert_eq!(code, Some(255), "{said}");
    for text in ["UNPROTECTED PRIVATE KEY FILE", "it is a named pipe"] {
        assert!(said.contains(text), "{text}: {said}");
    }
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// An aditd that lets nobody in.
struct Aditd {
    running: Running,
    errors: std::io::BufReader<std::process::ChildStderr>,
}

fn serve(folder: &Folder) -> Aditd {
    let (key, keys) = (folder.word("key"), "AuthorizedKeysFile=none");
    let port = free_port().to_string();
    let args = [
        "-D",
        "-e",
        "-h",
        &key,
        "-p",
        &port,
        "-o",
        "ListenAddress=127.0.0.1",
        "-o",
        keys,
        "-o",
        "PidFile=none",
    ];
    let mut running = Running::start(ADITD, &args);
    let errors = running.0.stderr.take().unwrap();
    Aditd {
        running,
        errors: std::io::BufReader::new(errors),
    }
}

impl Aditd {
    /// The port that it says it listens on.
    fn port(&mut self) -> u16 {
        let mut line = String::new();
        while !line.contains("istening on") {
            line.clear();
            let read = std::io::BufRead::read_line(&mut self.errors, &mut line).unwrap();
            assert!(read > 0, "aditd has ended");
        }
        let digits = line.trim_end().trim_end_matches('.');
        let digits = digits.rsplit(|c: char| !c.is_ascii_digit()).next();
        digits.unwrap().parse().unwrap()
    }
}
