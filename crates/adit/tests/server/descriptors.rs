//! An aditd with few descriptors: nobody can take those that others need.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ChildStderr;

use super::*;

/// Few enough to be taken up at once.
const FEW: &str = "256";
/// Lines of a kind in a minute.
const A_MINUTE: usize = 10;
/// More than there are.
const MORE: usize = 300;
/// The server's words where a login has all that it may.
const FULL: &str = "too many open connections: logins with this key hold ";

#[test]
fn login_that_takes_every_socket_it_can_leaves_others_room_to_log_in_and_forward() {
    for way in [Way::Listeners, Way::Channels] {
        let folder = Folder::new();
        folder.admit("other");
        let mut aditd = Aditd::start_within(&folder, FEW, &[]);
        let target = Target::start();
        let (greedy, _held) = way.take_all(&folder, &aditd, target.0);
        aditd.until(FULL);
        let said = BufReader::new(greedy.1).lines().map_while(Result::ok);
        let refused = said.into_iter().find(|line| line.contains(FULL)).unwrap();
        assert!(refused.contains(way.refusal()), "{refused}");

        let (port, _other) = forward(&folder, &aditd, "other", target.0);
        let mut answer = [0; 5];
        let mut app = connect(port);
        app.write_all(b"hello").unwrap();
        app.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        let lines = aditd.seen.iter().filter(|line| line.contains(FULL));
        assert!(lines.count() <= A_MINUTE, "{:#?}", aditd.seen);
    }
}

#[test]
fn connections_that_wait_when_the_server_dies_are_a_few_lines() {
    let folder = Folder::new();
    let mut aditd = Aditd::start(&folder, &[]);
    let port = free_port();
    let mut command = aditd.adit(&folder, "user");
    command.args(["-L", &format!("{port}:127.0.0.1:1")]);
    let (mut adit, said) = spawn(command);
    let first = connect(port);
    aditd.until("Accepted publickey for ");
    // It answers nobody any more.
    let pid = Pid::from_raw(aditd.process.0.id().try_into().unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    let _held: Vec<_> = (0..50).map(|_| connect(port)).collect();
    drop(aditd);
    adit.0.wait().unwrap();
    drop(first);
    let lines = BufReader::new(said).lines().map_while(Result::ok);
    let lines: Vec<_> = lines
        .filter(|line| line.contains("connection from"))
        .collect();
    assert!((1..=A_MINUTE).contains(&lines.len()), "{lines:#?}");
}

#[test]
fn aditd_without_descriptors_pauses_and_then_serves_again() {
    let folder = Folder::new();
    let unguarded = ["-o", "MaxStartups=1000", "-o", "PerSourcePenalties=no"];
    let mut aditd = Aditd::start_within(&folder, "48", &unguarded);
    let address = SocketAddr::from(([127, 0, 0, 1], aditd.port.parse().unwrap()));
    let held: Vec<_> = (0..64)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    aditd.until("cannot accept: Too many open files");
    let paused = Instant::now();
    aditd.until("cannot accept: Too many open files");
    assert!(paused.elapsed() > Duration::from_millis(500), "it spins");
    drop(held);
    aditd.log_in(&folder, &LocalAccount::own().unwrap().name);
    aditd.until("Accepted publickey for ");
}

#[test]
fn soft_limit_is_raised_to_the_hard_one() {
    let folder = Folder::new();
    let mut aditd = Aditd::spawn(in_shell("ulimit -Sn 64", &folder.aditd("host")).arg("-D"));
    let limits = format!("/proc/{}/limits", aditd.process.0.id());
    let limits = fs::read_to_string(limits).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let words: Vec<_> = files.unwrap().split_whitespace().collect();
    assert_eq!(words[3], words[4], "{limits}");
    assert_ne!(words[3], "64");
    aditd.log_in(&folder, &LocalAccount::own().unwrap().name);
    aditd.until("Accepted publickey for ");
}

/// Way in which a login takes its sockets.
#[derive(Debug, Clone, Copy)]
enum Way {
    Listeners,
    Channels,
}

impl Way {
    /// An adit that asks for more than it gets, and what makes it do so.
    fn take_all(
        self,
        folder: &Folder,
        aditd: &Aditd,
        target: u16,
    ) -> ((Ended, ChildStderr), Vec<TcpStream>) {
        match self {
            Way::Listeners => {
                let mut command = aditd.adit(folder, "user");
                // Each its own target: two that are the same are one.
                for target in 1..=MORE {
                    command.args(["-R", &format!("0:127.0.0.1:{target}")]);
                }
                (spawn(command), Vec::new())
            }
            Way::Channels => {
                let (port, adit) = forward(folder, aditd, "user", target);
                let held = (0..MORE).map(|_| connect(port)).collect();
                (adit, held)
            }
        }
    }

    fn refusal(self) -> &'static str {
        match self {
            Way::Listeners => "the server says: remote forward",
            Way::Channels => "resource shortage",
        }
    }
}

/// A login with a forward to a port of this machine.
fn forward(folder: &Folder, aditd: &Aditd, key: &str, target: u16) -> (u16, (Ended, ChildStderr)) {
    let port = free_port();
    let mut command = aditd.adit(folder, key);
    command.args(["-L", &format!("{port}:127.0.0.1:{target}")]);
    (port, spawn(command))
}

fn spawn(mut command: Command) -> (Ended, ChildStderr) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let said = child.stderr.take().unwrap();
    (Ended(child), said)
}

/// Connects once somebody listens.
fn connect(port: u16) -> TcpStream {
    let deadline = Instant::now() + LIMIT;
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        // Nobody says when a process begins to listen.
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A program that sends back what it is told, on a port.
struct Target(u16);

impl Target {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        });
        Self(port)
    }
}
