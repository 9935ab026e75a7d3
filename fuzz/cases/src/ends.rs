//! Connections without a packet layer: payloads go from one to the other as they are.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use adit_proto::channels::WindowPool;
use adit_proto::connection::{Connection, ConnectionConfig, Event};
use adit_proto::ident;
use adit_proto::kex::KexAlgorithm;
use adit_proto::key::SigningKey;
use adit_proto::message::number;
use adit_proto::message::transport::encode_service;
use adit_proto::message::userauth::Method;
use adit_proto::transport::algorithms::Algorithms;
use adit_proto::transport::{RekeyLimit, Transmit, TransportConfig};
use adit_proto::userauth::server::AuthMethod;

/// The user's key, and the host's.
pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_ed25519_seed(&[seed; 32]).unwrap()
}

/// One start for all runs: what happens must depend on the input alone.
pub(crate) static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn config(kex: &[KexAlgorithm], host_keys: Vec<SigningKey>) -> ConnectionConfig {
    ConnectionConfig {
        transport: Arc::new(TransportConfig {
            algorithms: Algorithms {
                kex: kex.to_vec(),
                ..Algorithms::default()
            },
            rekey: RekeyLimit::default(),
            host_keys,
        }),
        keep_alive: None,
        peer_ident: ident::ours(),
        seed: [5; 32],
        windows: WindowPool::new(WindowPool::DEFAULT_LIMIT),
    }
}

/// A client that offers these methods.
pub(crate) fn client(kex: &[KexAlgorithm]) -> Connection {
    Connection::client(config(kex, vec![]), "user".into(), *START)
}

/// A server that offers these methods.
pub(crate) fn server(kex: &[KexAlgorithm]) -> Connection {
    Connection::server(config(kex, vec![key(1)]), *START)
}

/// Payloads that must go out; keys and compression are nothing here.
pub(crate) fn payloads(from: &mut Connection) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| from.poll_transmit())
        .filter_map(|transmit| match transmit {
            Transmit::Packet(payload) => Some(payload.to_vec()),
            Transmit::Keys { .. } | Transmit::StartCompression => None,
        })
        .collect()
}

/// Both ends after the first key exchange; what the client then says about the user is not delivered.
pub(crate) fn exchanged() -> (Connection, Connection) {
    let kex = [KexAlgorithm::Curve25519Sha256];
    let (mut client, mut server) = (client(&kex), server(&kex));
    loop {
        let (mut to_server, to_client) = (payloads(&mut client), payloads(&mut server));
        let is_login =
            |p: &[u8]| matches!(p[0], number::SERVICE_REQUEST | number::USERAUTH_REQUEST);
        to_server.retain(|payload| !is_login(payload));
        if to_server.is_empty() && to_client.is_empty() {
            return (client, server);
        }
        for payload in to_server {
            server.handle_packet(&payload, 0, *START).unwrap();
            while server.poll_open_change().is_some() {}
        }
        for payload in to_client {
            client.handle_packet(&payload, 0, *START).unwrap();
            while client.poll_open_change().is_some() {}
            if !client.wants_input() {
                assert!(matches!(client.poll_event(), Some(Event::HostKey(_))));
                client.login_as_client().unwrap().accept_host_key();
            }
        }
    }
}

/// A server whose user is logged in.
pub(crate) fn logged_in() -> Connection {
    let (client, mut server) = exchanged();
    for message in login(client) {
        server.handle_packet(&message, 0, *START).unwrap();
        while let Some(event) = server.poll_event() {
            if let Event::AuthRequest(request) = event {
                let AuthMethod::KeySigned(proof) = request.method else {
                    panic!("{request:?}");
                };
                let mut login = server.login_as_server().unwrap();
                login.accept(request.answer, proof).unwrap();
            }
        }
    }
    assert!(server.is_authenticated());
    payloads(&mut server);
    server
}

/// The messages of a client that logs in with its key at once.
fn login(mut client: Connection) -> [Vec<u8>; 2] {
    let key = key(2);
    let (algorithm, blob) = (key.algorithms()[0], key.public_key().blob());
    let mut login = client.login_as_client().unwrap();
    let data = login.data_to_sign(algorithm.as_str(), blob).unwrap();
    let signature = key.sign(algorithm, &data).unwrap();
    let method = Method::PublicKey {
        algorithm: algorithm.as_str(),
        key: blob,
        signature: Some(&signature),
    };
    login.authenticate(method).unwrap();
    let request = payloads(&mut client).pop().unwrap();
    [
        encode_service(number::SERVICE_REQUEST, "ssh-userauth"),
        request,
    ]
}
