//! The conversation with an application that names its target in SOCKS: its request, and the reply.
//!
//! The application of `-D` is at a socket of ours, that of `-R port` at the far end of a channel.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::{Host, Outcome, Progress, Request, Socks, Version};
use crate::config::spec::Endpoint;
use crate::net::channel::Received;
use crate::net::listener::describe;
use crate::net::{Channel, Stream};

/// Time limit for the request.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The application of one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Application<'a> {
    /// At a socket of this machine.
    Socket(&'a Stream),
    /// At the far end of a channel.
    Channel(&'a Channel),
}

/// A connection that an application requested.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Version of its request, and of the reply.
    version: Version,
    /// Host and port as the application named them.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Data after the request. The channel's credit for it is not given yet.
    pub(crate) early_data: Vec<u8>,
}

impl Wanted {
    fn new(request: Request, early_data: &[u8]) -> Self {
        Self {
            version: request.version,
            host: match request.host {
                Host::Address(address) => address.to_string(),
                Host::Name(name) => name,
            },
            port: request.port,
            early_data: early_data.to_vec(),
        }
    }

    /// The target, for dialling and for messages.
    pub(crate) fn target(&self) -> Endpoint {
        Endpoint::Tcp {
            host: self.host.clone(),
            port: self.port,
        }
    }
}

impl Application<'_> {
    /// Reads the request, and answers the messages before it. The error is a sentence for the log; the application has
    /// got a reply, if SOCKS has one for it.
    pub(crate) async fn request(self) -> Result<Wanted, String> {
        match timeout(TIME_LIMIT, self.read_request()).await {
            Ok(wanted) => wanted,
            Err(_) => Err("SOCKS handshake timed out".into()),
        }
    }

    /// Sends the reply with the outcome of the request.
    pub(crate) async fn reply(self, wanted: &Wanted, outcome: Outcome) -> io::Result<()> {
        self.send(&wanted.version.reply(outcome)).await
    }

    /// The same for a failure, after which the application gets nothing more.
    pub(crate) async fn refuse(self, wanted: &Wanted, outcome: Outcome) {
        // An application that is gone needs no reply.
        let _ = self.reply(wanted, outcome).await;
        self.end();
    }

    async fn read_request(self) -> Result<Wanted, String> {
        let mut socks = Socks::new();
        loop {
            let bytes = self.receive().await?;
            let mut input = &bytes[..];
            while !input.is_empty() {
                match socks.handle(input) {
                    Ok(Progress::NeedMore) => {
                        self.taken(input.len());
                        input = &[];
                    }
                    Ok(Progress::Reply { bytes, consumed }) => {
                        self.send(&bytes).await.map_err(|e| describe(&e))?;
                        self.taken(consumed);
                        input = &input[consumed..];
                    }
                    Ok(Progress::Request { request, consumed }) => {
                        self.taken(consumed);
                        return Ok(Wanted::new(request, &input[consumed..]));
                    }
                    Err(error) => {
                        if let Some(reply) = error.reply() {
                            let _ = self.send(&reply).await;
                            self.end();
                        }
                        return Err(error.to_string());
                    }
                }
            }
        }
    }

    /// Waits for at least one byte.
    async fn receive(self) -> Result<Vec<u8>, String> {
        let closed = || Err("closed during the SOCKS handshake".to_owned());
        match self {
            Self::Socket(socket) => match socket.read_some().await {
                Ok(bytes) if bytes.is_empty() => closed(),
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(describe(&error)),
            },
            Self::Channel(channel) => match channel.receive().await {
                Ok(Received::Data(bytes)) => Ok(bytes),
                Ok(Received::Eof | Received::Closed(_)) => closed(),
                Ok(Received::Ended(ended)) => Err(ended.to_string()),
                Err(error) => Err(describe(&error)),
            },
        }
    }

    async fn send(self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Socket(socket) => socket.write_all(bytes).await,
            Self::Channel(channel) => channel.send(bytes).await,
        }
    }

    /// Gives credit for bytes of the handshake.
    fn taken(self, len: usize) {
        match self {
            Self::Socket(_) => {}
            Self::Channel(channel) => channel.taken(len),
        }
    }

    /// Sends EOF; closes, in the case of a socket.
    fn end(self) {
        match self {
            Self::Socket(_) => {}
            Self::Channel(channel) => channel.send_eof(),
        }
    }
}
