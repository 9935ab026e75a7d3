//! The task of a connection: takes what the server sends, in order, and the commands of whoever holds the [`Client`].
//!
//! What has arrived goes before a command: what a server said before a request is not about it.
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

/// Commands that wait for the task. It waits for nothing itself, so that one forward more than a connection may have finds
/// room, and is refused as such.
pub(super) const COMMANDS: usize = 2 * MAX_REMOTE_FORWARDS;
/// Events that wait for the tunnel, which waits for nothing either.
pub(super) const NEWS: usize = 64;

/// Something that the task is told to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Ask the server for a remote forward.
    Ask(RemoteAsk),
    /// Have it listen no more.
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

    /// Serves until the connection ends; gives the reason.
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
                // Without its tunnel a connection goes on for as long as somebody holds it.
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

    /// Does what an event asks for.
    fn handle_event(&mut self, event: Incoming) -> Option<ClientNews> {
        match event {
            Incoming::Open(asked) => self.serve_remote(asked),
            // A server has nothing to ask of a client.
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
