//! Both ends of one connection in this process, logged in and joined by a socket pair, for tests.

use std::sync::Arc;

use adit_proto::channels::PeerClose;
use adit_proto::connection::ConnectionConfig;
use adit_proto::ident;
use adit_proto::key::SigningKey;
use adit_proto::message::connection::{ChannelType, GlobalRequest, TcpAddresses};
use adit_proto::message::userauth::Method;
use adit_proto::transport::TransportConfig;
use adit_proto::transport::algorithms::Algorithms;
use adit_proto::userauth::server::AuthMethod;
use tokio::net::UnixStream;

use super::incoming::IncomingChannel;
use super::login::{ClientLoginEvent, LoginSuccess};
use super::{Channel, ClientLogin, Handle, Inbox, Incoming, ServerLogin};

/// Client and server of one connection.
pub(crate) struct Pair {
    pub(crate) client: Handle,
    server: Handle,
    server_inbox: Inbox,
    _client_inbox: Inbox,
}

impl Pair {
    /// Two ends that run as tasks of this runtime.
    pub(crate) async fn new() -> Self {
        let (client, server) = ends();
        let ((client, client_inbox), (server, server_inbox)) = log_in(client, server).await;
        Self {
            client,
            server,
            server_inbox,
            _client_inbox: client_inbox,
        }
    }

    /// Sets the server's meaning of a CLOSE without EOF.
    pub(crate) fn set_close_without_eof(&self, meaning: PeerClose) {
        let mut state = self.server.0.state();
        state.connection.channels().set_close_without_eof(meaning);
    }

    /// Opens a channel from the client. Returns its client's end and its server's end.
    pub(crate) async fn open(&mut self) -> (Channel, Channel) {
        let addresses = TcpAddresses {
            host: "127.0.0.1".into(),
            port: 1,
            originator_address: "127.0.0.1".into(),
            originator_port: 2,
        };
        self.open_as(ChannelType::DirectTcpip(addresses)).await
    }

    /// Opens a session from the client. Returns its client's end and its server's end.
    pub(crate) async fn open_session(&mut self) -> (Channel, Channel) {
        self.open_as(ChannelType::Session).await
    }

    async fn open_as(&mut self, channel_type: ChannelType) -> (Channel, Channel) {
        let give = async { asked(&mut self.server_inbox).await.accept() };
        let ask = self.client.open(channel_type);
        let (opened, given) = tokio::join!(ask, give);
        (opened.unwrap(), given)
    }

    /// Breaks the server's socket for writing, which no task has noticed yet.
    pub(crate) fn break_off(&self) {
        self.server.0.socket.shutdown_write().unwrap();
    }

    /// Handles of client and server, and the server's queue of requests.
    pub(crate) fn into_client_and_server(self) -> (Handle, Handle, Inbox) {
        (self.client, self.server, self.server_inbox)
    }

    /// Waits until the server has handled everything that the client sent before.
    pub(crate) async fn settle(&self) {
        let refused = self.client.global_request(GlobalRequest::KeepAlive).await;
        assert!(refused.unwrap().is_err());
    }
}

/// Waits for the next channel that the peer opens.
pub(crate) async fn asked(incoming: &mut Inbox) -> IncomingChannel {
    loop {
        if let Incoming::Open(asked) = incoming.recv().await.unwrap() {
            return asked;
        }
    }
}

/// A client and a server before their key exchange, which run as tasks of this runtime.
pub(crate) fn ends() -> (ClientLogin, ServerLogin) {
    ends_with(&Algorithms::default())
}

/// The same with these algorithms at both ends.
pub(crate) fn ends_with(algorithms: &Algorithms) -> (ClientLogin, ServerLogin) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let config = |host_keys| config(host_keys, algorithms.clone());
    let host_key = SigningKey::generate_ed25519().unwrap();
    let client = ClientLogin::start(ours.into(), config(Vec::new()), "user".into(), &[]);
    let server = ServerLogin::start(theirs.into(), config(vec![host_key]), &[]);
    (client, server)
}

/// Logs the client in with a key that the server accepts.
pub(crate) async fn log_in(
    mut client: ClientLogin,
    mut server: ServerLogin,
) -> ((Handle, Inbox), (Handle, Inbox)) {
    let (success, let_in) = tokio::join!(prove(&mut client), let_in(&mut server));
    (client.finish(success), server.finish(let_in))
}

pub(super) async fn prove(client: &mut ClientLogin) -> LoginSuccess {
    let key = SigningKey::generate_ed25519().unwrap();
    let (algorithm, blob) = (key.algorithms()[0], key.public_key().blob());
    loop {
        match client.next().await.unwrap() {
            ClientLoginEvent::HostKey(_) => client.accept_host_key(),
            ClientLoginEvent::Failure(_) => {
                let data = client.data_to_sign(algorithm.as_str(), blob).unwrap();
                let signature = key.sign(algorithm, &data).unwrap();
                let method = Method::PublicKey {
                    algorithm: algorithm.as_str(),
                    key: blob,
                    signature: Some(&signature),
                };
                client.authenticate(method).unwrap();
            }
            ClientLoginEvent::Success(success) => return success,
            _ => {}
        }
    }
}

pub(super) async fn let_in(server: &mut ServerLogin) -> LoginSuccess {
    loop {
        let request = server.next().await.unwrap();
        match request.method {
            AuthMethod::KeySigned(proof) => return request.answer.accept(proof).unwrap(),
            _ => request.answer.reject().unwrap(),
        }
    }
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
