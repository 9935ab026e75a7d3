//! An aditd that runs: what it lets in, what it says, and what signals do.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use adit_proto::key::SigningKey;
use adit_tunnel::identity::file::write_new_host_key;
use adit_tunnel::server::LocalAccount;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

#[path = "server/descriptors.rs"]
mod descriptors;
#[path = "server/sources.rs"]
mod sources;

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

#[test]
fn daemon_says_before_it_leaves_what_it_serves_where_it_logs_and_how_it_ends() {
    let folder = Folder::new();
    let log = folder.word("log");
    let to_file = format!("aditd: messages go to {log}\n");
    let by_default = match UnixDatagram::unbound().unwrap().connect("/dev/log") {
        Ok(()) => "aditd: messages go to syslog, facility LOCAL3\n",
        Err(_) => "aditd: nothing will be logged, as this system has no syslog: use -E FILE, ",
    };
    let table: [(&[&str], &str); 3] = [
        (&["-o", "SyslogFacility=LOCAL3"], by_default),
        (&["-E", &log], &to_file),
        (&["-q"], ""),
    ];
    for (index, (args, said)) in table.into_iter().enumerate() {
        // One each: a daemon that ends removes its own.
        let pid_file = folder.word(&format!("pid{index}"));
        let mut command = folder.aditd("host");
        command
            .args(args)
            .args(["-o", &format!("PidFile={pid_file}")]);
        let output = command.output().unwrap();
        let pid = fs::read_to_string(&pid_file).unwrap();
        let pid = pid.trim();
        terminate(pid.parse().unwrap());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let errors = String::from_utf8(output.stderr).unwrap();
        let user = LocalAccount::own().unwrap().name;
        let serves = format!("aditd: serves tunnels for {user} on 127.0.0.1 port ");
        let ends = format!("\naditd: kill {pid} ends it\n");
        let speaks = !said.is_empty();
        for words in [said, &serves, &ends] {
            assert_eq!(
                speaks,
                speaks && errors.contains(words),
                "{words}: {errors}"
            );
        }
        assert!(speaks || errors.is_empty(), "{errors}");
    }
}

/// In a mount namespace of its own, where `/dev/log` is a socket of the test.
#[test]
fn daemon_logs_to_syslog_under_its_facility() {
    let unshare = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.arg("--mount").args(args);
        command
    };
    if !unshare(&["true"]).status().is_ok_and(|s| s.success()) {
        println!("not tested: this user may not make a mount namespace");
        return;
    }
    let folder = Folder::new();
    let syslog = UnixDatagram::bind(folder.path("log")).unwrap();
    syslog.set_read_timeout(Some(LIMIT)).unwrap();
    let pid_file = folder.word("pid");
    let aditd = folder.aditd("host");
    let script = "set -e; dev=$1/dev; shift; mkdir $dev; mount -t tmpfs none $dev
        for name in null urandom; do touch $dev/$name; mount --bind /dev/$name $dev/$name; done
        ln -s ${dev%dev}log $dev/log; mount --rbind $dev /dev; exec \"$@\"";
    let root = folder.word("");
    let mut command = unshare(&["sh", "-c", script, "sh", root.trim_end_matches('/')]);
    command
        .arg(aditd.get_program())
        .args(aditd.get_args())
        .args(["-o", &format!("PidFile={pid_file}")])
        .args(["-o", "SyslogFacility=LOCAL3"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let pid = fs::read_to_string(&pid_file).unwrap();
    let mut room = [0; 400];
    let len = syslog.recv(&mut room).unwrap();
    let said = String::from_utf8_lossy(&room[..len]);
    terminate(pid.trim().parse().unwrap());
    // LOCAL3 is 19, an informational message 6 (RFC 3164 §4.1.1).
    let begin = format!(
        "<{}>aditd[{}]: Server listening on ",
        19 * 8 + 6,
        pid.trim()
    );
    assert!(said.starts_with(&begin), "{said}");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("messages go to syslog, facility LOCAL3"),
        "{errors}"
    );
}

#[test]
fn failures_behind_a_dynamic_forward_are_ten_lines_a_minute() {
    let folder = Folder::new();
    let aditd = Aditd::start(&folder, &[]);
    let (proxy, closed) = (free_port(), free_port());
    let mut command = aditd.adit(&folder, "user");
    command.args(["-D", &proxy.to_string()]);
    let mut client = Ended(command.stderr(Stdio::piped()).spawn().unwrap());
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", proxy)).is_err() {
        assert!(begun.elapsed() < LIMIT, "the proxy does not come up");
        std::thread::sleep(Duration::from_millis(5));
    }
    let [high, low] = closed.to_be_bytes();
    for _ in 0..30 {
        let mut stream = TcpStream::connect(("127.0.0.1", proxy)).unwrap();
        let request = [4, 1, high, low, 127, 0, 0, 1, 0];
        stream.write_all(&request).unwrap();
        let mut reply = [0; 8];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply[1], 91, "refused");
    }
    terminate(client.0.id().try_into().unwrap());
    let mut said = String::new();
    let mut errors = client.0.stderr.take().unwrap();
    errors.read_to_string(&mut said).unwrap();
    let refused = format!(": 127.0.0.1:{closed} refused (from server 127.0.0.1)");
    // The connection that found the proxy up is a failure, too, and may be one of the ten.
    assert!((9..=10).contains(&said.matches(&refused).count()), "{said}");
}

#[test]
fn hangup_opens_the_log_file_anew() {
    let folder = Folder::new();
    let log = folder.path("log");
    let mut command = folder.aditd("host");
    let running = command.args(["-D", "-E"]).arg(&log).spawn().unwrap();
    let running = Ended(running);
    appears(&log, "Server listening on ");
    let rotated = folder.path("log.1");
    fs::rename(&log, &rotated).unwrap();
    hang_up(&running.0);
    appears(&log, "Received SIGHUP; configuration read anew.");
    let old = fs::read_to_string(&rotated).unwrap();
    assert!(!old.contains("SIGHUP"), "{old}");
}

#[test]
fn hangup_says_that_other_ports_need_a_restart() {
    let folder = Folder::new();
    let config = folder.path("config");
    fs::write(&config, "MaxAuthTries 3\n").unwrap();
    let mut aditd = Aditd::start(&folder, &["-f", &folder.word("config")]);
    let hint = "Port and ListenAddress need a restart";
    for (text, said) in [
        ("MaxAuthTries 4\n", false),
        ("ListenAddress 127.0.0.2\n", true),
    ] {
        fs::write(&config, text).unwrap();
        hang_up(&aditd.process.0);
        let before = aditd.seen.len();
        aditd.until("configuration read anew");
        let hints = aditd.seen[before..]
            .iter()
            .filter(|line| line.contains(hint));
        assert_eq!(
            hints.count(),
            usize::from(said),
            "{text}: {:#?}",
            aditd.seen
        );
    }
}

/// Whole lines, as fail2ban's expressions for sshd want them; the peer's port is any.
#[test]
fn refused_logins_are_logged_in_opensshs_words() {
    let folder = Folder::new();
    fs::write(folder.path("user.pub"), "").unwrap();
    let account = LocalAccount::own().unwrap().name;
    let one_try = ["-o", "MaxAuthTries=1"];
    let table: [(&str, &[&str], &[&str]); 2] = [
        (
            "eve\u{202e}",
            &[],
            &[
                "Invalid user eve\\u{202e} from 127.0.0.1 port N",
                "Failed publickey for invalid user eve\\u{202e} from 127.0.0.1 port N ssh2",
            ],
        ),
        (
            &account,
            &one_try,
            &[
                &format!("Failed publickey for {account} from 127.0.0.1 port N ssh2"),
                &format!(
                    "error: maximum authentication attempts exceeded for {account} from 127.0.0.1 port N ssh2"
                ),
            ],
        ),
    ];
    for (user, args, said) in table {
        let mut aditd = Aditd::start(&folder, args);
        aditd.log_in(&folder, user);
        for line in said {
            aditd.find(line, |found| without_port(found) == *line);
        }
    }
}

/// A stranger who says good-bye at length before any key exchange, again and again.
#[test]
fn strangers_fill_no_log() {
    let folder = Folder::new();
    let mut aditd = Aditd::start(&folder, &["-o", "PerSourcePenalties=no"]);
    let description = "\u{202e}ssh\n".repeat(30_000);
    let mut payload = vec![1, 0, 0, 0, 11];
    for text in [description.as_bytes(), b""] {
        payload.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        payload.extend(text);
    }
    let padding = 16 - (payload.len() + 5) % 8;
    let length = u32::try_from(payload.len() + padding + 1).unwrap();
    let mut said = b"SSH-2.0-stranger\r\n".to_vec();
    said.extend(length.to_be_bytes());
    said.push(padding.try_into().unwrap());
    said.extend(&payload);
    said.extend(vec![0; padding]);
    for _ in 0..100 {
        let mut socket = TcpStream::connect(format!("127.0.0.1:{}", aditd.port)).unwrap();
        socket.write_all(&said).unwrap();
        // Until aditd has closed it; it does not read what it does not need.
        let _ = socket.read_to_end(&mut Vec::new());
    }
    aditd.log_in(&folder, &LocalAccount::own().unwrap().name);
    aditd.until("Accepted publickey for ");
    let of_strangers: Vec<_> = aditd
        .seen
        .iter()
        .filter(|l| l.contains("[preauth]"))
        .collect();
    assert_eq!(of_strangers.len(), 10, "{of_strangers:#?}");
    for line in of_strangers {
        assert!(line.chars().count() < 500, "{line}");
        assert!(
            line.contains(": \\u{202e}ssh\\u{a}") && line.contains('…'),
            "{line}"
        );
    }
}

/// The line with N for the number of the port.
fn without_port(line: &str) -> String {
    match line.split_once(" port ") {
        Some((head, tail)) => {
            let rest = tail.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{head} port N{rest}")
        }
        None => line.to_owned(),
    }
}

/// Waits until the file has these words in it.
fn appears(file: &Path, words: &str) {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        let text = fs::read_to_string(file).unwrap_or_default();
        if text.contains(words) {
            return;
        }
        // A file that grows is no event that can be awaited.
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{words:?} is not in {}", file.display());
}

fn hang_up(process: &Child) {
    let pid = Pid::from_raw(process.id().try_into().unwrap());
    kill(pid, Signal::SIGHUP).unwrap();
}

fn terminate(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
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

    /// Makes another key that is authorized.
    fn admit(&self, name: &str) {
        let key = SigningKey::generate_ed25519().unwrap();
        write_new_host_key(&self.path(name), &key).unwrap();
        let public = |name: &str| fs::read_to_string(self.path(name)).unwrap();
        let both = public("user.pub") + &public(&format!("{name}.pub"));
        fs::write(self.path("user.pub"), both).unwrap();
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
    process: Ended,
    lines: Receiver<String>,
    seen: Vec<String>,
    port: String,
}

impl Aditd {
    fn start(folder: &Folder, args: &[&str]) -> Self {
        Self::spawn(folder.aditd("host").arg("-D").args(args))
    }

    /// One that may have so many descriptors.
    fn start_within(folder: &Folder, descriptors: &str, args: &[&str]) -> Self {
        let limit = format!("ulimit -n {descriptors}");
        Self::spawn(in_shell(&limit, &folder.aditd("host")).arg("-D").args(args))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let errors = BufReader::new(process.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = errors.lines().map_while(Result::ok);
            lines.map(|line| sender.send(line)).all(|sent| sent.is_ok())
        });
        let mut aditd = Self {
            process: Ended(process),
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
        self.find(words, |line| line.contains(words))
    }

    fn find(&mut self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(LIMIT) else {
                panic!("{what:?} is not in {:#?}", self.seen);
            };
            self.seen.push(line.clone());
            if is_it(&line) {
                return line;
            }
        }
    }

    /// A login as `user` that asks for a forward that cannot be had, so that it ends.
    fn log_in(&self, folder: &Folder, user: &str) -> Output {
        self.adit(folder, "user")
            .args(["-l", user, "-L", "/nonexistent/s:h:1"])
            .args(["-o", "ExitOnForwardFailure=yes"])
            .output()
            .unwrap()
    }

    /// An adit that logs in here with this key.
    fn adit(&self, folder: &Folder, key: &str) -> Command {
        let known = format!("UserKnownHostsFile={}", folder.word("known_hosts"));
        let host = fs::read_to_string(folder.path("host.pub")).unwrap();
        let line = format!("[127.0.0.1]:{} {host}", self.port);
        fs::write(folder.path("known_hosts"), line).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command
            .args(["-N", "-F", "none", "-p", &self.port, "127.0.0.1"])
            .args(["-i", &folder.word(key), "-o", &known])
            .args(["-o", "GlobalKnownHostsFile=none"])
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null());
        command
    }
}

/// The same command, started by a shell once that has done something else.
fn in_shell(before: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{before}; exec \"$0\" \"$@\"")])
        .arg(command.get_program())
        .args(command.get_args())
        .env_remove("TZ")
        .stdin(Stdio::null());
    shell
}

/// A process that does not outlive the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
