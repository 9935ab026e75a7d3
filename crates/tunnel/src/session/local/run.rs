//! A session from the client's end: the channel is opened, the program asked for, the streams carried until it has ended.
//!
//! ```text
//!   open ─▶ pty-req, env…, shell | exec | subsystem   (one flight: answers are awaited behind all of them)
//!        ─▶ input ─────▶ channel      escape sequences taken out
//!           output ◀──── data         ┐
//!           errors ◀──── stderr       ├ to the end of each
//!           exit   ◀──── requests     ┘
//! ```

use std::fmt;
use std::io;
use std::sync::Arc;

use adit_proto::channels::RequestOutcome;
use adit_proto::message::connection::{ChannelType, TcpAddresses};
use adit_proto::message::session::{SessionRequest, TerminalModes};
use adit_proto::peer_text;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc};

use super::escapes::{Action, Escapes};
use super::job;
use super::plan::{Plan, Purpose};
use super::stdio::Stdio;
use super::terminal::Terminal;
use crate::config::ssh_config::EscapeChar;
use crate::net::channel::{Channel, Received};
use crate::net::connection::Handle;
use crate::net::outcome::{Ended, OpenError};
use crate::net::pump::{PumpedIn, PumpedOut, pump_into, pump_out};
use crate::net::stream::Stream;
use crate::net::stream_end::StreamEnd;
use crate::status::ForwardCounters;

/// End of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Status(u32),
    /// By a signal of this name.
    Signal(String),
    /// The server does not say.
    Unknown,
}

/// Reason why a session failed.
#[derive(Debug)]
pub enum SessionError {
    /// The server gives no channel.
    NoChannel(OpenError),
    /// The server does not start the program: the type of the request that it refused.
    Refused(&'static str),
    /// The connection ended.
    Ended(Ended),
    /// The user ended it (`~.`).
    LeftByUser,
    /// The user's terminal or a stream of this process failed.
    Local(io::Error),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionError::NoChannel(OpenError::Refused(refusal)) => {
                let failure = &refusal.failure;
                let why = peer_text::description(&failure.description);
                write!(f, "channel 0: open failed: {}: {why}", failure.reason)
            }
            SessionError::NoChannel(OpenError::Ended(ended)) => write!(f, "{ended}"),
            // OpenSSH's words, which scripts look for.
            SessionError::Refused(what) => write!(f, "{what} request failed on channel 0"),
            SessionError::Ended(ended) => write!(f, "{ended}"),
            SessionError::LeftByUser => write!(f, "ended by the user"),
            SessionError::Local(error) => write!(f, "cannot use the standard streams: {error}"),
        }
    }
}

impl std::error::Error for SessionError {}

/// Settings of the program's surroundings, beside its streams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Kind of the user's terminal: `TERM`.
    pub term: String,
    /// Variables, which the server takes as it likes.
    pub environment: Vec<(String, String)>,
}

/// Opens a session, asks for what `plan` says, and carries its streams until the program has ended and all that it said
/// is written. What the user asks of the client meanwhile goes to `actions`, as far as it is not done here.
///
/// # Errors
/// Why there was no program, or no end of it.
pub async fn run(
    handle: &Handle,
    plan: &Plan,
    wishes: &Wishes,
    stdio: Stdio,
    actions: &mpsc::Sender<Action>,
) -> Result<Exit, SessionError> {
    let channel = handle
        .open(ChannelType::Session)
        .await
        .map_err(SessionError::NoChannel)?;
    let session = Session {
        channel: &channel,
        counters: Arc::default(),
        enough: Notify::new(),
        actions,
    };
    session.start(plan, wishes, stdio.terminal.as_ref()).await?;
    let _raw = match &stdio.terminal {
        Some(terminal) => Some(terminal.enter_raw_mode().map_err(SessionError::Local)?),
        None => None,
    };
    let input = async {
        match (&stdio.input, plan.escapes) {
            (None, _) => {
                channel.send_eof();
                Ok(())
            }
            (Some(input), EscapeChar::Nothing) => session.pass_input(input).await,
            (Some(input), EscapeChar::Key(_)) => {
                let escapes = Escapes::new(plan.escapes);
                session
                    .pass_keys(input, escapes, stdio.terminal.as_ref())
                    .await
            }
        }
    };
    let ended = async {
        let (output, errors, exit) = tokio::join!(
            session.pass_output(channel.data(), stdio.output.clone()),
            session.pass_output(channel.stderr(), stdio.errors.clone()),
            session.exit(),
        );
        // A reader that went away is no fault of the program's: its status tells what it made of that.
        drop((output, errors));
        exit
    };
    tokio::select! {
        biased;
        exit = ended => match exit {
            Exit::Unknown if handle.is_ended() => Err(SessionError::Ended(handle.why_ended())),
            exit => Ok(exit),
        },
        Err(error) = input_then_nothing(input) => Err(error),
        never = session.follow_signals(stdio.terminal.as_ref()) => match never? {},
    }
}

/// Connects the standard streams to a host as the server sees it (`-W`), until it closes.
///
/// # Errors
/// Why there was no connection, or that this process's output failed.
pub async fn connect(
    handle: &Handle,
    host: &str,
    port: u16,
    stdio: Stdio,
) -> Result<(), SessionError> {
    let target = ChannelType::DirectTcpip(TcpAddresses {
        host: host.to_owned(),
        port,
        originator_address: "127.0.0.1".into(),
        originator_port: 65535,
    });
    let channel = handle.open(target).await.map_err(SessionError::NoChannel)?;
    let counters = Arc::default();
    let input = async {
        if let Some(input) = &stdio.input {
            pump_out(&channel.data(), input, &counters).await?;
        }
        channel.send_eof();
        std::future::pending::<io::Result<std::convert::Infallible>>().await
    };
    let output = async {
        let mut end = pump_into(&channel.data(), stdio.output.clone(), &counters).await?;
        while end == PumpedIn::Eof {
            // Its own direction is over; it may still listen.
            match channel.receive().await? {
                Received::Closed(close) => end = PumpedIn::Closed(close),
                Received::Ended(ended) => end = PumpedIn::Ended(Box::new(ended)),
                Received::Data(_) | Received::Eof => {}
            }
        }
        Ok(())
    };
    tokio::select! {
        biased;
        ended = output => ended,
        never = input => never.map(|never| match never {}),
    }
    .map_err(SessionError::Local)
}

/// Input that has ended ends nothing else.
async fn input_then_nothing(
    input: impl Future<Output = Result<(), SessionError>>,
) -> Result<std::convert::Infallible, SessionError> {
    input.await?;
    std::future::pending().await
}

/// One session that runs.
struct Session<'a> {
    channel: &'a Channel,
    counters: Arc<ForwardCounters>,
    /// The program reads no more.
    enough: Notify,
    actions: &'a mpsc::Sender<Action>,
}

impl Session<'_> {
    /// Asks for the terminal, the variables and the program, all at once.
    async fn start(
        &self,
        plan: &Plan,
        wishes: &Wishes,
        terminal: Option<&Terminal>,
    ) -> Result<(), SessionError> {
        let lost = |_| SessionError::Ended(Ended::ClosedByPeer);
        let pty = terminal.map(|terminal| SessionRequest::Pty {
            term: wishes.term.clone(),
            size: terminal.size(),
            modes: TerminalModes(terminal.modes()),
        });
        let pty = pty.map(|pty| self.channel.ask(&pty)).transpose();
        let pty = pty.map_err(lost)?;
        for (name, value) in &wishes.environment {
            let request = SessionRequest::Env {
                name: name.clone(),
                value: value.clone().into_bytes(),
            };
            self.channel.tell(&request).map_err(lost)?;
        }
        let Some(program) = request(&plan.purpose) else {
            return Ok(());
        };
        let started = self.channel.ask(&program).map_err(lost)?;
        if let Some(pty) = pty
            && pty.given().await.map_err(lost)? == RequestOutcome::Failure
        {
            log::error!("PTY allocation request failed on channel 0");
        }
        match started.given().await.map_err(lost)? {
            RequestOutcome::Success => Ok(()),
            RequestOutcome::Failure => Err(SessionError::Refused(program.request_type())),
        }
    }

    /// Carries input as it is, until it ends or the program reads no more.
    async fn pass_input(&self, input: &Stream) -> Result<(), SessionError> {
        let data = self.channel.data();
        tokio::select! {
            passed = pump_out(&data, input, &self.counters) => match passed {
                Ok(PumpedOut::SourceEnded) => self.channel.send_eof(),
                Ok(PumpedOut::ChannelClosed) => {}
                // The program sees the end of its input, and we say why.
                Err(error) => {
                    log::error!("cannot read standard input: {error}");
                    self.channel.send_eof();
                }
            },
            () = self.enough.notified() => {}
        }
        Ok(())
    }

    /// Carries keys, and does what the user asks of the client.
    async fn pass_keys(
        &self,
        input: &Stream,
        mut escapes: Escapes,
        terminal: Option<&Terminal>,
    ) -> Result<(), SessionError> {
        let mut data = Vec::new();
        loop {
            let typed = tokio::select! {
                typed = input.read_some() => typed.map_err(SessionError::Local)?,
                () = self.enough.notified() => return Ok(()),
            };
            if typed.is_empty() {
                self.channel.send_eof();
                return Ok(());
            }
            let mut rest = &typed[..];
            while !rest.is_empty() {
                let filtered = escapes.filter(rest, &mut data);
                rest = &rest[filtered.consumed..];
                // A channel that takes no more ends the session from the other side.
                let _ = self.channel.send(&data).await;
                data.clear();
                if let Some(action) = filtered.action {
                    self.act(action, terminal)?;
                }
            }
        }
    }

    fn act(&self, action: Action, terminal: Option<&Terminal>) -> Result<(), SessionError> {
        match action {
            Action::Disconnect => return Err(SessionError::LeftByUser),
            Action::Suspend => self.suspend(terminal)?,
            Action::Break => {
                // A channel that has closed needs no break.
                let _ = self
                    .channel
                    .tell(&SessionRequest::Break { milliseconds: 1000 });
            }
            // Nobody to show it to, or too many at once: a key that does nothing.
            action => drop(self.actions.try_send(action)),
        }
        Ok(())
    }

    /// Stops this process, with the terminal as it was before, until it is continued. The terminal may have another size
    /// by then.
    fn suspend(&self, terminal: Option<&Terminal>) -> Result<(), SessionError> {
        let Some(terminal) = terminal else {
            return Ok(());
        };
        let stopped = terminal.while_cooked(job::stop);
        stopped.map_err(SessionError::Local)?;
        self.tell_size(terminal);
        Ok(())
    }

    /// Writes one stream of the program to the end. Where nobody reads it any more, the server is told, so that the
    /// program gets SIGPIPE.
    async fn pass_output(&self, from: StreamEnd<'_>, sink: Arc<Stream>) -> io::Result<()> {
        let passed = pump_into(&from, sink, &self.counters).await;
        let Err(error) = passed else {
            return Ok(());
        };
        // A server that does not know it answers nothing; a channel that is closed needs nothing.
        let _ = self.channel.tell(&SessionRequest::EndOfWrite);
        loop {
            match from.receive().await {
                Ok(Received::Data(bytes)) => from.taken(bytes.len()),
                Ok(Received::Eof) => {}
                Ok(Received::Closed(_) | Received::Ended(_)) | Err(_) => return Err(error),
            }
        }
    }

    /// Takes what the server tells about the program until the channel closes.
    async fn exit(&self) -> Exit {
        let mut exit = Exit::Unknown;
        while let Some(request) = self.channel.next_request().await {
            match request.parse() {
                Ok(Some(SessionRequest::ExitStatus(status))) => exit = Exit::Status(status),
                Ok(Some(SessionRequest::ExitSignal { signal, .. })) => {
                    let name = signal.as_str();
                    log::debug!("the program was ended by signal {}", peer_text::name(name));
                    exit = Exit::Signal(name.to_owned());
                }
                Ok(Some(SessionRequest::EndOfWrite)) => self.enough.notify_one(),
                _ => continue,
            }
            request.reply.succeed();
        }
        exit
    }

    /// Tells the server each new size of the terminal, and stops where somebody asks this process to.
    async fn follow_signals(
        &self,
        terminal: Option<&Terminal>,
    ) -> Result<std::convert::Infallible, SessionError> {
        let Some(terminal) = terminal else {
            return std::future::pending().await;
        };
        let mut changes = signal(SignalKind::window_change()).map_err(SessionError::Local)?;
        // `kill -TSTP`; the terminal's own key for it is the program's.
        let mut stops = signal(SignalKind::from_raw(job::STOP)).map_err(SessionError::Local)?;
        loop {
            tokio::select! {
                _ = changes.recv() => self.tell_size(terminal),
                _ = stops.recv() => self.suspend(Some(terminal))?,
            }
        }
    }

    fn tell_size(&self, terminal: &Terminal) {
        // A channel that has closed needs no size.
        let _ = self
            .channel
            .tell(&SessionRequest::WindowChange(terminal.size()));
    }
}

fn request(purpose: &Purpose) -> Option<SessionRequest> {
    match purpose {
        Purpose::Nothing => None,
        Purpose::Shell => Some(SessionRequest::Shell),
        Purpose::Command(command) => Some(SessionRequest::Exec {
            command: command.clone().into_bytes(),
        }),
        Purpose::Subsystem(name) => Some(SessionRequest::Subsystem { name: name.clone() }),
    }
}
