//! The session of one run: a shell, a command, a subsystem, or one connection to standard input and output (`-W`).

use std::future::pending;
use std::io::{self, IsTerminal};
use std::process::{Command, ExitCode};
use std::time::Duration;

use adit_tunnel::client::Client;
use adit_tunnel::config::ssh_config::ClientOptions;
use adit_tunnel::session::local::escapes::{self, Action};
use adit_tunnel::session::local::plan::{Ends, Fork, Plan, Purpose, Stdin};
use adit_tunnel::session::local::run::{self, Exit, SessionError, Wishes};
use adit_tunnel::session::local::stdio::Stdio;
use adit_tunnel::tunnel::Tunnel;
use log::{info, warn};
use tokio::sync::mpsc;

use super::args::Args;
use super::options::Meaning;
use super::with_hint;
use crate::background;
use crate::command_line::FAILURE;

/// Pause between two looks at the connections that a session's end waits for.
const LOOK: Duration = Duration::from_millis(100);

/// Things that the user asks of the client and that wait; more are passed over.
const ACTIONS: usize = 16;

/// Everything that the command line and the files say of the session.
#[derive(Debug)]
pub(super) struct SessionMeaning {
    plan: Plan,
    /// Host and port that standard input and output are connected to: `-W`.
    stdio_forward: Option<(String, u16)>,
    wishes: Wishes,
    /// `LocalCommand`, where `PermitLocalCommand` lets it run.
    local_command: Option<String>,
}

impl SessionMeaning {
    /// Reads it from the options, which are complete.
    ///
    /// # Errors
    /// A sentence for the user, perhaps with a hint.
    pub(super) fn read(args: &Args, options: &ClientOptions) -> Result<Self, String> {
        let session = &options.session;
        let may_run = session.permit_local_command == Some(true);
        let local_command = session.local_command.clone();
        let stdio_forward = args.stdio_forward.as_deref().map(stdio_target);
        Ok(Self {
            plan: plan(args, options)?,
            stdio_forward: stdio_forward.transpose()?,
            wishes: wishes(options),
            local_command: local_command.filter(|command| may_run && !command.is_empty()),
        })
    }
}

fn plan(args: &Args, options: &ClientOptions) -> Result<Plan, String> {
    let stdin = match io::stdin().is_terminal() {
        true => Stdin::Terminal,
        false => Stdin::Other,
    };
    let fork = match args.background || options.fork_after_authentication == Some(true) {
        true => Fork::Background,
        false => Fork::Stay,
    };
    let plan = Plan::new(&args.command, &options.session, stdin, fork);
    plan.map_err(|error| with_hint(error.to_string(), error.hint()))
}

/// Reads the target of `-W`.
fn stdio_target(text: &str) -> Result<(String, u16), String> {
    let target = text.rsplit_once(':').and_then(|(host, port)| {
        let host = host
            .strip_prefix('[')
            .map_or(Some(host), |h| h.strip_suffix(']'))?;
        let port = port.parse().ok().filter(|&port: &u16| port != 0)?;
        (!host.is_empty()).then(|| (host.to_owned(), port))
    });
    target.ok_or_else(|| {
        format!(
            "Bad stdio forwarding specification '{text}'\nhint: -W host:port, or -W [address]:port"
        )
    })
}

/// The variables that `SendEnv` and `SetEnv` name, and the terminal's kind.
fn wishes(options: &ClientOptions) -> Wishes {
    let set = options.connection.set_env.iter().flatten().cloned();
    let sent = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        options.session.sends(&name).then_some((name, value))
    });
    Wishes {
        term: std::env::var("TERM").unwrap_or_default(),
        environment: sent.chain(set).collect(),
    }
}

/// The session of a run, before it begins.
pub(super) struct Running<'a> {
    meaning: &'a Meaning,
    host: &'a str,
    client: &'a Client,
    tunnel: &'a Tunnel,
    /// The standard streams, where the session is for them.
    stdio: Option<Stdio>,
}

impl<'a> Running<'a> {
    /// Takes the standard streams for it, which stay what they are when the process goes to the background.
    ///
    /// # Errors
    /// A sentence about the one that cannot be used.
    pub(super) fn new(
        meaning: &'a Meaning,
        host: &'a str,
        client: &'a Client,
        tunnel: &'a Tunnel,
    ) -> Result<Self, String> {
        let session = &meaning.session;
        let is_needed = session.stdio_forward.is_some() || session.plan.purpose != Purpose::Nothing;
        let stdio = match is_needed {
            true => Some(take_stdio(&session.plan)?),
            false => None,
        };
        Ok(Self {
            meaning,
            host,
            client,
            tunnel,
            stdio,
        })
    }

    /// Runs the session, and waits for forwarded connections behind it. With forwards alone it goes on for ever.
    ///
    /// # Errors
    /// A sentence about why there was no program, or no end of it.
    pub(super) async fn outcome(mut self) -> Result<ExitCode, String> {
        self.run_local_command();
        let Some(stdio) = self.stdio.take() else {
            return pending().await;
        };
        match &self.meaning.session.stdio_forward {
            Some((host, port)) => self.connect_stdio(stdio, host, *port).await,
            None => self.run(stdio).await,
        }
    }

    async fn run(&self, stdio: Stdio) -> Result<ExitCode, String> {
        let SessionMeaning { plan, wishes, .. } = &self.meaning.session;
        if let Some(notice) = plan.notice {
            info!("{notice}");
        }
        let (actions, asked) = mpsc::channel(ACTIONS);
        let session = run::run(self.client.handle(), plan, wishes, stdio, &actions);
        let ended = tokio::select! {
            ended = session => ended,
            never = self.follow(asked) => match never {},
        };
        let code = match ended {
            Ok(Exit::Status(status)) => ExitCode::from((status & 0xff) as u8),
            Ok(Exit::Signal(_) | Exit::Unknown) | Err(SessionError::LeftByUser) => {
                ExitCode::from(FAILURE)
            }
            // The tunnel says how the connection ended.
            Err(SessionError::Ended(_)) => return pending().await,
            Err(error) => return Err(error.to_string()),
        };
        if !matches!(ended, Err(SessionError::LeftByUser)) {
            self.wait_for_connections().await;
        }
        if plan.ends == Ends::Terminal {
            info!("Connection to {} closed.", self.host);
        }
        self.client.end();
        Ok(code)
    }

    /// The connection of standard input and output to a host as the server sees it.
    async fn connect_stdio(&self, stdio: Stdio, host: &str, port: u16) -> Result<ExitCode, String> {
        let connected = run::connect(self.client.handle(), host, port, stdio).await;
        connected.map_err(|error| format!("stdio forwarding failed: {error}"))?;
        self.client.end();
        Ok(ExitCode::SUCCESS)
    }

    /// Runs `LocalCommand` in the user's shell.
    fn run_local_command(&self) {
        let Some(command) = &self.meaning.session.local_command else {
            return;
        };
        let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
        let mut shell = Command::new(shell.unwrap_or_else(|| "/bin/sh".into()));
        // The user waits for it, and so does the session: it prepares something.
        let ran = background::unmark(&mut shell)
            .arg("-c")
            .arg(command)
            .status();
        if let Err(error) = ran {
            warn!("LocalCommand {command:?}: {error}");
        }
    }

    /// Does what the user asks of the client by escape sequences.
    async fn follow(&self, mut asked: mpsc::Receiver<Action>) -> std::convert::Infallible {
        while let Some(action) = asked.recv().await {
            let text = match action {
                Action::Help => escapes::help(self.meaning.session.plan.escapes),
                Action::List => self.open_connections(),
                Action::CommandLine => "commandline disabled\r\n".into(),
                _ => "not supported by adit yet\r\n".into(),
            };
            // The terminal is raw: it wants both line ends.
            eprint!("{text}");
        }
        pending().await
    }

    fn open_connections(&self) -> String {
        let mut text = "The following connections are open:\r\n".to_owned();
        for forward in self.tunnel.status().forwards {
            let open = forward.carried.open;
            text.push_str(&format!("  {}: {open} open\r\n", forward.label));
        }
        text
    }

    /// As in ssh, forwarded connections outlive the session, and the listeners do as long as one is open.
    async fn wait_for_connections(&self) {
        let open = || -> u64 {
            let forwards = self.tunnel.status().forwards;
            forwards.iter().map(|forward| forward.carried.open).sum()
        };
        let waiting = open();
        if waiting > 0 {
            info!("waiting for {waiting} forwarded connections to end (Ctrl-C ends them)");
        }
        while open() > 0 {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The standard streams, which are the session's from now on: whoever reads its output sees the end with the session, and not
/// only with a forwarded connection that outlives it.
fn take_stdio(plan: &Plan) -> Result<Stdio, String> {
    let stdio = Stdio::of_process(plan);
    let left = background::leave_stdin_and_stdout();
    let both = stdio.and_then(|stdio| left.map(|()| stdio));
    both.map_err(|error| SessionError::Local(error).to_string())
}
