//! The task of a connection: it handles the server's messages in order, and the commands from the [`Client`].
//!
//! Messages that have arrived are handled before a command, because a text that came before a request does not belong
//! to it.
//!
//! [`Client`]: super::Client

use std::sync::Arc;

use adit_proto::peer_text;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;

use super::asks::{Asks, Cancelled, RemoteAsk};
use super::{ClientNews, ClientSettings};
use crate::forward::dial::Dials;
use crate::forward::registry::{MAX_REMOTE_FORWARDS, Registry, RemoteForward};
use crate::net::{Ended, Handle, Inbox, Incoming};
use crate::status::ForwardId;

/// Length of the queue of commands. The task never blocks, so a forward above the limit still finds room, and is
/// refused with the right error.
pub(super) const COMMANDS: usize = 2 * MAX_REMOTE_FORWARDS;
/// Length of the queue of events. The tunnel never blocks either.
pub(super) const NEWS: usize = 64;

/// Command for the task.
#[derive(Debug)]
pub(super) enum Command {
    /// Request a remote forward.
    Ask(RemoteAsk),
    /// End a remote forward.
    Cancel(ForwardId, oneshot::Sender<Cancelled>),
}

/// State of the task.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) settings: Arc<ClientSettings>,
    pub(super) handle: Handle,
    incoming: Inbox,
    commands: Receiver<Command>,
    pub(super) remote: Registry<RemoteForward>,
    pub(super) dials: Arc<Dials>,
    pub(super) asks: Asks,
}

impl Serving {
    pub(super) fn new(
        settings: Arc<ClientSettings>,
        handle: Handle,
        incoming: Inbox,
        commands: Receiver<Command>,
    ) -> Self {
        Self {
            settings,
            handle,
            incoming,
            commands,
            remote: Registry::default(),
            dials: Arc::default(),
            asks: Asks::default(),
        }
    }

    /// Serves until the connection ends. Returns the reason.
    pub(super) async fn run(mut self, news: Sender<ClientNews>) -> Ended {
        loop {
            let told = tokio::select! {
                biased;
                event = self.incoming.recv() => match event {
                    Some(event) => self.handle_event(event),
                    None => return self.handle.why_ended(),
                },
                Some(command) = self.commands.recv() => self.handle_command(command),
                () = self.asks.silence() => self.asks.tell_silence(),
            };
            if let Some(told) = told {
                // A connection without a tunnel continues while a handle exists.
                let _ = news.send(told).await;
            }
        }
    }

    fn handle_command(&mut self, command: Command) -> Option<ClientNews> {
        match command {
            Command::Ask(ask) => self.ask(ask),
            Command::Cancel(id, done) => {
                self.cancel(id, done);
                None
            }
        }
    }

    /// Handles an event.
    fn handle_event(&mut self, event: Incoming) -> Option<ClientNews> {
        match event {
            Incoming::Open(asked) => self.serve_remote(asked),
            // Global requests of a server are refused.
            Incoming::GlobalRequest(refused) => drop(refused),
            Incoming::GlobalReply(reply) => return self.take_answer(reply),
            Incoming::Debug(text) => {
                let said = peer_text::description(&text).to_string();
                if let Some(said) = self.asks.keep(said) {
                    log::debug!("Remote: {said}");
                }
            }
            _ => {}
        }
        None
    }
}
