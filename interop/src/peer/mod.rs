//! The peers: one file each, which knows how to start its server and its client and what it cannot do.
//!
//! A peer that cannot do something has no such cell in the matrix; its file says why.

mod adit;
mod asyncssh;
mod asyncssh_old;
mod command_line;
mod dropbear;
mod erlang;
mod go;
mod jsch;
mod netssh;
mod openssh;
mod paramiko;
mod plink;
mod raw;
mod russh;
mod scripted;
mod ssh2;
mod tinyssh;

pub use adit::{Adit, Wording};
pub use asyncssh::Asyncssh;
pub use asyncssh_old::AsyncsshOld;
pub use dropbear::Dropbear;
pub use erlang::Erlang;
pub use go::Go;
pub use jsch::Jsch;
pub use netssh::NetSsh;
pub use openssh::OpenSsh;
pub use paramiko::Paramiko;
pub use plink::Plink;
pub use raw::{CLIENT_FILE, RawServer, attack};
pub use russh::Russh;
pub use ssh2::Ssh2;
pub use tinyssh::TinySsh;

use crate::forward::{Address, Forward};
use crate::missing::Missing;
use crate::ports::free_port;
use crate::process::Process;
use crate::scratch::{Key, Scratch};
use crate::traffic::Conn;
use crate::wait::{self, Pending};
use std::io;
use std::process::Command;

/// Number of ports on which a server is tried, because somebody else may take one first.
const TRIES: usize = 5;

/// Occasion on which a peer renews its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rekey {
    /// At the peer's own choice.
    #[default]
    Seldom,
    /// After every MiB, where it has a setting for that.
    EveryMib,
}

/// The way in which a peer ends a channel whose socket has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// EOF first, and CLOSE when both directions have ended.
    #[default]
    EachDirection,
    /// CLOSE alone, at once: what a library does whose program calls `close()`. Only for peers that are libraries.
    CloseAlone,
}

/// Task of a server.
#[derive(Debug, Clone, Default)]
pub struct ServerAsk {
    /// Renewing keys.
    pub rekey: Rekey,
    /// Ending channels.
    pub ending: Ending,
    /// Lines of sshd_config, before all others so that they win; only for peers that read it.
    pub config: Vec<String>,
}

impl ServerAsk {
    /// A server with these lines of sshd_config.
    pub fn config(lines: &[&str]) -> Self {
        Self {
            config: lines.iter().map(ToString::to_string).collect(),
            ..Self::default()
        }
    }
}

/// Task of a client.
#[derive(Debug, Clone)]
pub struct ClientAsk {
    /// Its forwards.
    pub forwards: Vec<Forward>,
    /// Renewing keys.
    pub rekey: Rekey,
    /// Ending channels.
    pub ending: Ending,
    /// The key it shows.
    pub key: Key,
    /// The user it logs in as; without one, the user that runs the tests.
    pub user: Option<String>,
    /// Lines of ssh_config, after our own; only for peers that read it.
    pub config: Vec<String>,
    /// More arguments, as they are; only for peers with OpenSSH's command line.
    pub args: Vec<String>,
    /// Purpose of the connection; only for peers with OpenSSH's command line.
    pub purpose: Purpose,
}

/// Purpose of a client's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Forwards alone, with what it does in its log.
    Forwards,
    /// A session, with these words behind the host, and nothing in its log but errors.
    Session(Vec<String>),
}

impl ClientAsk {
    /// A client with these forwards.
    pub fn forwards(forwards: impl IntoIterator<Item = Forward>) -> Self {
        Self {
            forwards: forwards.into_iter().collect(),
            rekey: Rekey::Seldom,
            ending: Ending::EachDirection,
            key: Key::User,
            user: None,
            config: Vec::new(),
            args: Vec::new(),
            purpose: Purpose::Forwards,
        }
    }

    /// A client with a session: these words behind the host.
    pub fn session(words: &[&str]) -> Self {
        Self {
            purpose: Purpose::Session(words.iter().map(ToString::to_string).collect()),
            ..Self::forwards([])
        }
    }

    /// A client with these arguments.
    pub fn args(args: &[&str]) -> Self {
        Self::forwards([]).with_args(args)
    }

    /// The same with more arguments.
    #[must_use]
    pub fn with_args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(ToString::to_string));
        self
    }
}

/// An SSH implementation that can play a part.
pub trait Peer {
    /// Its name in file names and messages.
    fn name(&self) -> &'static str;

    /// Looks for it on this machine.
    ///
    /// # Errors
    ///
    /// What is missing and how to get it.
    fn find(&self) -> Result<(), Missing>;

    /// Adds the keys that its client needs and other peers don't; before its server is started.
    fn prepare(&self, _scratch: &Scratch) {}

    /// The command that serves on 127.0.0.1:`port` in the foreground.
    fn server(&self, scratch: &Scratch, port: u16, ask: &ServerAsk) -> Command;

    /// The command that connects to 127.0.0.1:`port` and holds the forwards until it is ended.
    fn client(&self, scratch: &Scratch, port: u16, ask: &ClientAsk) -> Command;

    /// True if a client whose listeners are there will also serve them. A server may listen for a client that has not
    /// yet read its answer, and turns the first connections away.
    fn is_ready(&self, _client: &Process) -> bool {
        true
    }

    /// Number of key exchanges that a log of this peer shows; `None` if it does not log them.
    fn key_exchanges(&self, log: &str) -> Option<usize>;
}

/// A server that accepts connections.
pub struct Server {
    /// Its process.
    pub process: Process,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// Starts `peer`'s server and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start(peer: &dyn Peer, scratch: &Scratch, ask: &ServerAsk) -> Self {
        let mut last = String::new();
        for _ in 0..TRIES {
            let port = free_port();
            let name = format!("{}-server", peer.name());
            let mut process = spawn(&name, peer.server(scratch, port, ask), scratch);
            match listening(&mut process, &Address::loopback(port)) {
                Ok(()) => return Self { process, port },
                Err(reason) if process.errors().contains("in use") => last = reason,
                Err(reason) => panic!("{} as a server: {reason}", peer.name()),
            }
        }
        panic!(
            "{} as a server found no port in {TRIES} tries: {last}",
            peer.name()
        );
    }
}

/// A client whose forwards are up.
pub struct Client {
    /// Its process.
    pub process: Process,
}

impl Client {
    /// Starts `peer`'s client and waits until every forward listens, at whichever end.
    ///
    /// # Panics
    ///
    /// When one does not.
    pub fn start(peer: &dyn Peer, scratch: &Scratch, port: u16, ask: &ClientAsk) -> Self {
        let mut client = Self::launch(peer, scratch, port, ask);
        for forward in &ask.forwards {
            client.wait_for_listener(forward.listen());
        }
        let ready = wait::until("the client is ready", || {
            if peer.is_ready(&client.process) {
                return Ok(());
            }
            Err(client
                .process
                .gone()
                .unwrap_or_else(|| Pending::NotYet("it says nothing".into())))
        });
        ready.unwrap_or_else(|late| panic!("{late}"));
        client
    }

    /// Starts `peer`'s client and waits for nothing.
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    pub fn launch(peer: &dyn Peer, scratch: &Scratch, port: u16, ask: &ClientAsk) -> Self {
        let name = format!("{}-client", peer.name());
        Self {
            process: spawn(&name, peer.client(scratch, port, ask), scratch),
        }
    }

    /// Waits until something listens at `address`.
    ///
    /// # Panics
    ///
    /// When nothing does.
    pub fn wait_for_listener(&mut self, address: &Address) {
        listening(&mut self.process, address).unwrap_or_else(|reason| panic!("client: {reason}"));
    }

    /// Waits for the client to end by itself: its exit code and what it wrote to standard error.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn end(mut self) -> (Option<i32>, String) {
        let status = self
            .process
            .wait_for_end()
            .unwrap_or_else(|late| panic!("{late}"));
        (status.code(), self.process.errors())
    }
}

/// Succeeds if something accepts connections at `address` now.
pub fn accepts(address: &Address) -> io::Result<()> {
    Conn::connect(address).map(drop)
}

fn spawn(name: &str, command: Command, scratch: &Scratch) -> Process {
    Process::start(name, command, scratch.path())
        .unwrap_or_else(|error| panic!("cannot start {name}: {error}"))
}

fn listening(process: &mut Process, address: &Address) -> Result<(), String> {
    wait::until(&format!("a listener at {address}"), || {
        match accepts(address) {
            Ok(()) => Ok(()),
            Err(error) => Err(process
                .gone()
                .unwrap_or_else(|| Pending::NotYet(error.to_string()))),
        }
    })
}
