//! Both ends of one connection in this process, logged in and joined by a socket pair: for the tests of what runs over it.

use std::sync::Arc;
use std::time::Instant;

use adit_proto::channels::PeerClose;
use adit_proto::connection::{Connection, ConnectionConfig};
use adit_proto::ident;
use adit_proto::key::SigningKey;
use adit_proto::message::connection::{ChannelType, GlobalRequest, TcpAddresses};
use adit_proto::transport::TransportConfig;
use adit_proto::transport::algorithms::Algorithms;
use adit_proto::userauth::client::ClientAuthEvent;
use tokio::net::UnixStream;
use tokio::sync::mpsc::Receiver;

use super::incoming::ChannelAsked;
use super::{Channel, Handle, Incoming, driver};

/// Both ends.
pub(crate) struct Pair {
    pub(crate) client: Handle,
    server: Handle,
    server_incoming: Receiver<Incoming>,
    _client_incoming: Receiver<Incoming>,
}

impl Pair {
    /// Two ends that run as tasks of this runtime.
    pub(crate) async fn new() -> Self {
        let ((client, mut client_incoming), (server, mut server_incoming)) = ends();
        let log_in = async {
            while let Some(event) = client_incoming.recv().await {
                match event {
                    Incoming::HostKey(_) => client.accept_host_key(),
                    Incoming::Auth(ClientAuthEvent::Success) => return,
                    _ => {}
                }
            }
        };
        let let_in = async {
            while let Some(event) = server_incoming.recv().await {
                if matches!(event, Incoming::AuthRequest(_)) {
                    return server.accept_user().unwrap();
                }
            }
        };
        tokio::join!(log_in, let_in);
        Self {
            client,
            server,
            server_incoming,
            _client_incoming: client_incoming,
        }
    }

    /// Has the server take a CLOSE without EOF so.
    pub(crate) fn set_close_without_eof(&self, meaning: PeerClose) {
        let mut state = self.server.0.state();
        state.connection.channels().set_close_without_eof(meaning);
    }

    /// A channel that the client asked for: its end and the server's.
    pub(crate) async fn open(&mut self) -> (Channel, Channel) {
        let addresses = TcpAddresses {
            host: "127.0.0.1".into(),
            port: 1,
            originator_address: "127.0.0.1".into(),
            originator_port: 2,
        };
        let give = async { asked(&mut self.server_incoming).await.accept() };
        let ask = self.client.open(ChannelType::DirectTcpip(addresses));
        let (opened, given) = tokio::join!(ask, give);
        (opened.unwrap(), given)
    }

    /// The server's socket takes nothing more from now on, which nobody has been told yet.
    pub(crate) fn break_off(&self) {
        self.server.0.socket.shutdown_write().unwrap();
    }

    /// The client, and the server with what it is asked for.
    pub(crate) fn into_client_and_server(self) -> (Handle, Handle, Receiver<Incoming>) {
        (self.client, self.server, self.server_incoming)
    }

    /// Once this returns, the server has handled all that the client had sent before.
    pub(crate) async fn settle(&self) {
        let refused = self.client.global_request(GlobalRequest::KeepAlive).await;
        assert!(refused.unwrap().is_err());
    }
}

/// The next channel that the peer asks for.
pub(crate) async fn asked(incoming: &mut Receiver<Incoming>) -> ChannelAsked {
    loop {
        if let Incoming::Open(asked) = incoming.recv().await.unwrap() {
            return asked;
        }
    }
}

/// An owner's view of one end.
pub(crate) type End = (Handle, Receiver<Incoming>);

/// A client and a server that have yet to exchange keys; they run as tasks of this runtime.
pub(crate) fn ends() -> (End, End) {
    ends_with(&Algorithms::default())
}

/// The same with such algorithms at both ends.
pub(crate) fn ends_with(algorithms: &Algorithms) -> (End, End) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let config = |host_keys| config(host_keys, algorithms.clone());
    let client = Connection::client(config(Vec::new()), "user".into(), Instant::now());
    let host_key = SigningKey::generate_ed25519().unwrap();
    let server = Connection::server(config(vec![host_key]), Instant::now());
    (start(ours, client), start(theirs, server))
}

fn start(socket: UnixStream, connection: Connection) -> End {
    let (handle, incoming, driver) = driver::start(socket.into(), connection, &[]);
    tokio::spawn(driver);
    (handle, incoming)
}

fn config(host_keys: Vec<SigningKey>, algorithms: Algorithms) -> ConnectionConfig {
    ConnectionConfig {
        windows: super::memory::windows(),
        transport: Arc::new(TransportConfig {
            algorithms,
            rekey: Default::default(),
            host_keys,
        }),
        keep_alive: None,
        peer_ident: ident::ours(),
        seed: [7; 32],
    }
}
