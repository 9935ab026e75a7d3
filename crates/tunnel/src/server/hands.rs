//! Hands: the acts of a session that are the user's own. They open terminals, read the user's files, start programs.
//!
//! Today they are those of the server's own process, which is the user's. Whatever needs the user's rights goes through
//! here, so that a process of the user's own can do it one day.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use adit_proto::message::session::{TerminalModes, TerminalSize};
use log::{debug, error};

use super::account::LocalAccount;
use super::readers::Readers;
use crate::net::listener::describe;
use crate::session::remote::environment::{self, Environment, Facts};
use crate::session::remote::policy::{Asked, Decision, Run, SessionGrant};
use crate::session::remote::process::{Ends, Process, Starter};
use crate::session::remote::pty::Pty;
use crate::session::remote::start::{Greeting, Program, Recipe, Terminal};
use crate::small_file;

/// The message of the day.
const MOTD: &str = "/etc/motd";
/// The user's variables, in a home.
const ENVIRONMENT: &str = ".ssh/environment";
/// The longest file of variables, in bytes.
const MAX_ENVIRONMENT: u64 = 64 << 10;
/// The shell of a program that has none of its own.
const SHELL: &str = "/bin/sh";
/// Said to whoever asks for more than SFTP where there is nothing else.
const SFTP_ONLY: &str = "echo 'This service allows sftp connections only.'; exit 1";
/// Places of the system's SFTP server: Debian, Fedora, FreeBSD, Arch, Gentoo, a build of one's own.
const SFTP_SERVERS: [&str; 6] = [
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/libexec/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/lib/misc/sftp-server",
    "/usr/local/libexec/sftp-server",
];

/// Acts of one login.
#[derive(Debug)]
pub(super) enum Hands {
    /// This process does them, being the user's.
    Own(OwnHands),
}

/// A server's own process, as the hands of a login.
#[derive(Debug)]
pub(super) struct OwnHands {
    pub(super) account: Arc<LocalAccount>,
    pub(super) grant: SessionGrant,
    pub(super) starter: Starter,
    pub(super) readers: Arc<Readers>,
    /// The two ends of the connection, where they are known.
    pub(super) ends: Option<environment::Ends>,
}

/// A terminal for a program that has not started.
#[derive(Debug)]
pub(super) struct OpenTerminal {
    /// Our end.
    pub(super) pty: Pty,
    theirs: OwnedFd,
    /// Kind of the client's terminal; empty where it did not say.
    kind: String,
}

/// A program that has started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) process: Process,
    pub(super) ends: Ends,
    pub(super) decision: Decision,
}

/// Reason why an act was not done.
#[derive(Debug)]
pub(super) enum NotDone {
    /// The login does not permit it.
    NotPermitted(&'static str),
    /// There is no such subsystem, or not its program.
    NoSubsystem,
    /// The system refused.
    System(&'static str, io::Error),
}

impl fmt::Display for NotDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotDone::NotPermitted(what) => write!(f, "{what} is not permitted"),
            NotDone::NoSubsystem => f.write_str("subsystem not found"),
            NotDone::System(what, error) => write!(f, "cannot {what}: {}", describe(error)),
        }
    }
}

impl Hands {
    /// The login's permissions.
    pub(super) fn grant(&self) -> &SessionGrant {
        let Hands::Own(own) = self;
        &own.grant
    }

    /// Opens a terminal.
    pub(super) fn open_terminal(
        &self,
        kind: String,
        size: TerminalSize,
        modes: &TerminalModes,
    ) -> Result<OpenTerminal, NotDone> {
        let Hands::Own(own) = self;
        if !own.grant.terminal().is_granted() {
            return Err(NotDone::NotPermitted("a terminal"));
        }
        let opened = Pty::open(size, &modes.0);
        let (pty, theirs) = opened.map_err(|error| NotDone::System("open a terminal", error))?;
        Ok(OpenTerminal { pty, theirs, kind })
    }

    /// Decides what runs for a client that asks for this.
    pub(super) fn decide(&self, asked: Asked) -> Result<Decision, NotDone> {
        self.grant().decide(asked).ok_or(NotDone::NoSubsystem)
    }

    /// Starts the program of a decision, with what the client sent of variables.
    pub(super) async fn start(
        &self,
        decision: Decision,
        variables: Environment,
        terminal: Option<OpenTerminal>,
    ) -> Result<Started, NotDone> {
        let Hands::Own(own) = self;
        let environment = own
            .environment(&decision, variables, terminal.as_ref())
            .await;
        let recipe = own.recipe(&decision, terminal.as_ref())?;
        let started = match terminal {
            Some(OpenTerminal { pty, theirs, .. }) => {
                Process::on_terminal(&own.starter, &recipe, &environment, theirs)
                    .map(|process| (process, Ends::Terminal(pty)))
            }
            None => Process::on_streams(&own.starter, &recipe, &environment),
        };
        let (process, ends) =
            started.map_err(|error| NotDone::System("start the program", error))?;
        Ok(Started {
            process,
            ends,
            decision,
        })
    }
}

impl OwnHands {
    async fn environment(
        &self,
        decision: &Decision,
        variables: Environment,
        terminal: Option<&OpenTerminal>,
    ) -> Environment {
        let (account, rules) = (&self.account, self.grant.rules());
        let mut environment = variables;
        environment.set_account(&environment::Account {
            name: &account.name,
            home: &account.home,
            shell: &account.shell,
            uid: account.uid,
        });
        if let Some(zone) = std::env::var_os("TZ") {
            environment.set("TZ", zone);
        }
        if let Some(terminal) = terminal
            && !terminal.kind.is_empty()
        {
            environment.set("TERM", &terminal.kind);
        }
        let permitted = &rules.user_environment;
        for (name, value) in self.grant.key_environment() {
            environment.set_of_user(name.as_ref(), value.as_ref(), permitted);
        }
        if let Some(text) = self.environment_file().await {
            for line in environment.set_lines(&text, permitted) {
                debug!("{}'s {ENVIRONMENT}:{line}: no NAME=value", account.name);
            }
        }
        for (name, value) in &rules.set_env {
            environment.set(name, value);
        }
        environment.set_facts(&Facts {
            ends: self.ends,
            terminal: terminal.map(|terminal| terminal.pty.path()),
            original_command: decision.original_command.as_deref(),
            agent: None,
        });
        environment
    }

    /// The user's file of variables, where such are permitted and there is one.
    async fn environment_file(&self) -> Option<Vec<u8>> {
        if !self.grant.rules().permits_user_environment() {
            return None;
        }
        let path = self.account.home.join(ENVIRONMENT);
        let named = path.clone();
        let read = self
            .readers
            .run(move || small_file::read(&named, MAX_ENVIRONMENT));
        match read.await.and_then(|read| read) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                error!("cannot read {}: {}", path.display(), describe(&error));
                None
            }
        }
    }

    fn recipe(
        &self,
        decision: &Decision,
        terminal: Option<&OpenTerminal>,
    ) -> Result<Recipe, NotDone> {
        let account = &self.account;
        let greets = terminal.is_some()
            && decision.run == Run::Shell
            && self.grant.rules().print_motd.is_granted();
        Ok(Recipe {
            terminal: match terminal {
                Some(_) => Terminal::Controlling,
                None => Terminal::Nothing,
            },
            limits: self.starter.limits(),
            home: account.home.clone(),
            shell: account.shell.clone(),
            greeting: match greets {
                true => Greeting::From(MOTD.into()),
                false => Greeting::Silent,
            },
            startup: decision.startup,
            program: self.program(&decision.run)?,
        })
    }

    fn program(&self, run: &Run) -> Result<Program, NotDone> {
        let shell = &self.account.shell;
        Ok(match run {
            Run::Shell => Program {
                path: shell.clone().into(),
                name: login_name(shell),
                arguments: Vec::new(),
            },
            Run::Command(command) => shell_program(shell, command),
            Run::SftpOnly => shell_program(Path::new(SHELL), OsStr::new(SFTP_ONLY)),
            Run::Sftp(arguments) => {
                let mut servers = SFTP_SERVERS.iter();
                let Some(server) = servers.find(|server| Path::new(server).is_file()) else {
                    error!("internal-sftp: this system has no sftp-server in the usual places");
                    return Err(NotDone::NoSubsystem);
                };
                Program {
                    path: server.into(),
                    name: "sftp-server".into(),
                    arguments: arguments.clone(),
                }
            }
        })
    }
}

/// A line for a shell.
fn shell_program(shell: &Path, line: &OsStr) -> Program {
    Program {
        path: shell.into(),
        name: base_name(shell).to_owned(),
        arguments: vec!["-c".into(), line.to_owned()],
    }
}

/// The name of a login shell: `-bash`.
fn login_name(shell: &Path) -> OsString {
    let mut name = OsString::from("-");
    name.push(base_name(shell));
    name
}

fn base_name(path: &Path) -> &OsStr {
    let bytes = path.as_os_str().as_bytes();
    let name = bytes.rsplit(|&byte| byte == b'/').next();
    OsStr::from_bytes(name.unwrap_or(bytes))
}
