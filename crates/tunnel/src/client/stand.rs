//! A logged-in client and the server's end of its connection, for tests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use adit_proto::connection::GlobalReply;
use adit_proto::message::connection::{ChannelType, GlobalRequest, TcpAddresses};
use tokio::time::timeout;

use super::{Client, ClientSettings, LoggedIn, Trust};
use crate::config::ssh_config::ClientOptions;
use crate::net::pair::{ends, log_in};
use crate::net::{Handle, Inbox, Incoming, PendingReply};

/// Time limit, longer than any test takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The server's end of a connection.
pub(crate) struct Server {
    pub(crate) handle: Handle,
    pub(crate) incoming: Inbox,
    /// Requests without an answer, the oldest first.
    owed: VecDeque<PendingReply>,
}

impl Server {
    /// Waits for the next global request.
    pub(crate) async fn request(&mut self) -> GlobalRequest {
        loop {
            let event = timeout(LIMIT, self.incoming.recv()).await.unwrap().unwrap();
            if let Incoming::GlobalRequest(asked) = event {
                self.owed.extend(asked.reply);
                return asked.request;
            }
        }
    }

    /// Waits for the next request to listen, and returns its port.
    pub(crate) async fn asked(&mut self) -> u16 {
        match self.request().await {
            GlobalRequest::TcpipForward { port, .. } => port,
            other => panic!("{other:?}"),
        }
    }

    /// Answers the oldest request.
    pub(crate) fn answer(&mut self, reply: GlobalReply) {
        self.owed.pop_front().unwrap().send(reply).unwrap();
    }

    /// Opens a channel for a connection to a port; true if the client accepts it.
    pub(crate) async fn announce(&self, port: u16) -> bool {
        let addresses = TcpAddresses {
            host: "localhost".into(),
            port,
            originator_address: "127.0.0.1".into(),
            originator_port: 2,
        };
        let opening = self.handle.open(ChannelType::ForwardedTcpip(addresses));
        timeout(LIMIT, opening).await.unwrap().is_ok()
    }
}

/// A client whose server is the test.
pub(crate) async fn logged_in() -> (Client, Server) {
    with_trust(Trust::Full).await
}

/// The same with this trust in the host key.
pub(crate) async fn with_trust(trust: Trust) -> (Client, Server) {
    let (client, server) = ends();
    let ((handle, incoming), (server, requests)) = log_in(client, server).await;
    let options = ClientOptions::default();
    let settings = ClientSettings::new("h", "u", "/nonexistent".into(), options);
    let logged_in = LoggedIn {
        handle,
        incoming,
        trust,
    };
    let client = Client::serve(Arc::new(settings), logged_in, Vec::new());
    let server = Server {
        handle: server,
        incoming: requests,
        owed: VecDeque::new(),
    };
    (client, server)
}
