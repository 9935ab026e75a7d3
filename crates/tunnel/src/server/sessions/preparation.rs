//! A session before its program runs: variables, a terminal, and what to run (RFC 4254 §6).

use std::sync::Arc;

use adit_proto::message::session::SessionRequest;
use adit_proto::peer_text;
use log::{Level, debug, info};

use super::running;
use crate::VERBOSE;
use crate::net::{Channel, PendingChannelReply};
use crate::server::Peer;
use crate::server::auth::Login;
use crate::server::hands::{Hands, NotDone, OpenTerminal, Started};
use crate::session::remote::environment::{Accepted, Environment};
use crate::session::remote::policy::{Asked, Decision};

/// A session that has no program yet.
#[derive(Debug)]
pub(super) struct Preparation {
    login: Arc<Login>,
    hands: Arc<Hands>,
    /// Number among the sessions of the connection.
    number: usize,
    variables: Environment,
    terminal: Option<OpenTerminal>,
}

impl Preparation {
    pub(super) fn new(login: Arc<Login>, hands: Arc<Hands>, number: usize) -> Self {
        Self {
            login,
            hands,
            number,
            variables: Environment::default(),
            terminal: None,
        }
    }

    /// Serves the session until its end.
    pub(super) async fn serve(mut self, channel: &Channel) {
        let started = loop {
            let Some(request) = channel.next_request().await else {
                return;
            };
            let asked = match request.parse() {
                Ok(Some(SessionRequest::Shell)) => Asked::Shell,
                Ok(Some(SessionRequest::Exec { command })) => Asked::Command(command),
                Ok(Some(SessionRequest::Subsystem { name })) => Asked::Subsystem(name),
                Ok(Some(other)) => {
                    self.prepare(other, request.reply);
                    continue;
                }
                Ok(None) => continue,
                Err(error) => {
                    let kind = peer_text::name(&request.request_type);
                    debug!("{}: bad {kind} request: {error}", self.login.who());
                    continue;
                }
            };
            match self.start(asked, request.reply).await {
                Ok(started) => break started,
                // As in sshd the next request may be for another one.
                Err(NotDone::NoSubsystem) => {}
                Err(error) => self.log_failure(&error),
            }
        };
        running::serve(channel, &self.login, started).await;
        let (user, peer) = (&self.login.user, Peer(self.login.peer));
        let number = self.number;
        info!(target: VERBOSE, "Close session: user {user} from {peer} id {number}");
    }

    fn log_failure(&self, error: &NotDone) {
        let line = format_args!("{}: {error}", self.login.who());
        Peer(self.login.peer).log(Level::Error, "sessions that failed", line);
    }

    /// Does what a request asks for before there is a program.
    fn prepare(&mut self, request: SessionRequest, reply: PendingChannelReply) {
        match request {
            SessionRequest::Env { name, value } => self.take_variable(&name, value, reply),
            SessionRequest::Pty { term, size, modes } if self.terminal.is_none() => {
                match self.hands.open_terminal(term, size, &modes) {
                    Ok(terminal) => {
                        self.terminal = Some(terminal);
                        reply.succeed();
                    }
                    Err(NotDone::NotPermitted(_)) => {
                        debug!("Allocating a pty not permitted for this connection.");
                    }
                    Err(error) => self.log_failure(&error),
                }
            }
            SessionRequest::WindowChange(size) => {
                let resized = self
                    .terminal
                    .as_ref()
                    .map(|terminal| terminal.pty.resize(size));
                if matches!(resized, Some(Ok(()))) {
                    reply.succeed();
                }
            }
            // No others make sense here; the reply that is dropped refuses.
            _ => {}
        }
    }

    fn take_variable(&mut self, name: &str, value: Vec<u8>, reply: PendingChannelReply) {
        let accepted = self.hands.grant().rules().accepted_variables.as_ref();
        let taken = accepted.map(|names| self.variables.accept(name, value, names));
        match taken {
            Some(Accepted::Yes) => reply.succeed(),
            _ => debug!("Ignoring env request {}", peer_text::name(name)),
        }
    }

    async fn start(
        &mut self,
        asked: Asked,
        reply: PendingChannelReply,
    ) -> Result<Started, NotDone> {
        let subsystem = match &asked {
            Asked::Subsystem(name) => Some(peer_text::name(name).to_string()),
            Asked::Shell | Asked::Command(_) => None,
        };
        let user = self.login.user.clone();
        if let Some(name) = &subsystem {
            debug!("subsystem request for {name} by user {user}");
        }
        let started = self.run(asked).await;
        match (&started, subsystem) {
            (Ok(_), _) => reply.succeed(),
            (Err(_), Some(name)) => {
                let line = format_args!(
                    "subsystem request for {name} by user {user} failed, subsystem not found"
                );
                Peer(self.login.peer).log(Level::Info, "subsystems that are not found", line);
            }
            (Err(_), None) => {}
        }
        started
    }

    async fn run(&mut self, asked: Asked) -> Result<Started, NotDone> {
        let decision = self.hands.decide(asked)?;
        self.log_start(&decision);
        let variables = std::mem::take(&mut self.variables);
        let terminal = self.terminal.take();
        self.hands.start(decision, variables, terminal).await
    }

    fn log_start(&self, decision: &Decision) {
        if !log::log_enabled!(target: VERBOSE, Level::Info) {
            return;
        }
        let kind = decision.kind();
        let terminal = self.terminal.as_ref().map(|terminal| {
            let path = terminal.pty.path();
            let name = path.strip_prefix("/dev").unwrap_or(path);
            format!(" on {}", name.display())
        });
        let (terminal, user) = (terminal.unwrap_or_default(), &self.login.user);
        let (peer, number) = (Peer(self.login.peer), self.number);
        info!(target: VERBOSE, "Starting session: {kind}{terminal} for {user} from {peer} id {number}");
    }
}
