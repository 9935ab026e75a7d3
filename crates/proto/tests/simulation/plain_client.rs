//! A client without strict key exchange, as older software is: our own `Connection` cannot play it.

use std::sync::Arc;
use std::time::Instant;

use adit_proto::channels::WindowPool;
use adit_proto::cipher::{CipherName, DirectionKeys};
use adit_proto::connection::{Connection, ConnectionConfig};
use adit_proto::error::Error;
use adit_proto::ident;
use adit_proto::kex::{ClientKex, ExchangeInput, KexAlgorithm, KeyDerivation, SharedSecret};
use adit_proto::message::kex::{EcdhReply, KexInit, encode_ecdh_init};
use adit_proto::message::{number, transport};
use adit_proto::packet::{Opened, Opener, Sealer, SequenceReset};
use adit_proto::transport::algorithms::Algorithms;
use adit_proto::transport::{OpenChange, RekeyLimit, Transmit, TransportConfig};

use super::pair::ed25519;

const IDENT: &str = "SSH-2.0-Old_1.0";

fn server() -> Connection {
    let transport = TransportConfig {
        algorithms: Algorithms::default(),
        rekey: RekeyLimit::default(),
        host_keys: vec![ed25519()],
    };
    let config = ConnectionConfig {
        transport: Arc::new(transport),
        keep_alive: None,
        peer_ident: IDENT.into(),
        seed: [3; 32],
        windows: WindowPool::new(WindowPool::DEFAULT_LIMIT),
    };
    Connection::server(config, Instant::now())
}

fn kexinit(cipher: CipherName) -> Vec<u8> {
    let names = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
    KexInit {
        kex_algorithms: names(&["curve25519-sha256"]),
        server_host_key_algorithms: names(&["ssh-ed25519"]),
        encryption_client_to_server: names(&[cipher.as_str()]),
        encryption_server_to_client: names(&[cipher.as_str()]),
        mac_client_to_server: names(&["hmac-sha2-256"]),
        mac_server_to_client: names(&["hmac-sha2-256"]),
        compression_client_to_server: names(&["none"]),
        compression_server_to_client: names(&["none"]),
        ..KexInit::default()
    }
    .encode()
}

fn packet(transmit: Option<Transmit>) -> Vec<u8> {
    match transmit {
        Some(Transmit::Packet(payload)) => payload.to_vec(),
        other => panic!("{other:?} instead of a packet"),
    }
}

fn refusal(cipher: CipherName) -> Option<Error> {
    server()
        .handle_packet(&kexinit(cipher), 0, Instant::now())
        .err()
}

#[test]
fn cipher_that_needs_strict_key_exchange_is_refused_without_it() {
    let Some(Error::PeerIncompatible(why)) = refusal(CipherName::ChaCha20Poly1305) else {
        panic!("chacha20-poly1305 without strict key exchange is open to CVE-2023-48795");
    };
    assert!(why.contains("CVE-2023-48795"), "{why}");
    assert_eq!(refusal(CipherName::Aes256Gcm), None);
    assert_eq!(refusal(CipherName::Aes256Ctr), None, "with a plain MAC");
}

/// Packets before the keys count, and the count goes on under them: AES-CTR's MAC covers it.
#[test]
fn peer_without_strict_key_exchange_may_send_ignore_and_its_sequence_numbers_go_on() {
    let mut server = server();
    let now = Instant::now();
    let client_init = kexinit(CipherName::Aes256Ctr);
    let ignore = [number::IGNORE, 0, 0, 0, 0];
    server.handle_packet(&ignore, 0, now).unwrap();
    assert!(
        !server.has_transmit(),
        "what it offers depends on the client"
    );
    server.handle_packet(&client_init, 1, now).unwrap();
    let server_init = packet(server.poll_transmit());
    let (secret, hash) = exchange_keys(&mut server, &client_init, &server_init);
    let derivation = KeyDerivation {
        hash: KexAlgorithm::Curve25519Sha256.hash(),
        secret: &secret,
        exchange_hash: &hash,
        session_id: &hash,
    };
    server.handle_packet(&[number::NEWKEYS], 3, now).unwrap();

    let mut client_sealer = advanced(4);
    client_sealer
        .install(
            keys(&derivation, *b"ACE"),
            [0; 256],
            SequenceReset::Continue,
        )
        .unwrap();
    let mut sealed = Vec::new();
    let request = transport::encode_service(number::SERVICE_REQUEST, "ssh-userauth");
    client_sealer.seal_message(&request, &mut sealed).unwrap();

    let mut opener = opener_behind(4, server.poll_open_change());
    let Opened::Packet { body, .. } = opener.open(&mut sealed).unwrap() else {
        panic!("the whole packet is there");
    };
    assert_eq!(body.as_slice(&sealed), request);
    assert!(!server.transport().is_strict());
}

/// The client's part of the first key exchange, in packet 2: the shared secret and the exchange hash.
fn exchange_keys(
    server: &mut Connection,
    client_init: &[u8],
    server_init: &[u8],
) -> (SharedSecret, Vec<u8>) {
    let (kex, q_c) = ClientKex::start(KexAlgorithm::Curve25519Sha256).unwrap();
    server
        .handle_packet(&encode_ecdh_init(&q_c), 2, Instant::now())
        .unwrap();
    let reply = packet(server.poll_transmit());
    let reply = EcdhReply::parse(&reply).unwrap();
    let secret = kex.finish(reply.server_reply).unwrap();
    let hash = ExchangeInput {
        client_ident: IDENT.as_bytes(),
        server_ident: ident::ours().as_bytes(),
        client_kexinit: client_init,
        server_kexinit: server_init,
        host_key_blob: reply.host_key,
        group: &[],
        client_init: &q_c,
        server_reply: reply.server_reply,
    }
    .exchange_hash(KexAlgorithm::Curve25519Sha256, &secret);
    (secret, hash)
}

/// An opener that has opened so many plain packets, with the keys that come after them.
fn opener_behind(packets: u32, change: Option<OpenChange>) -> Opener {
    let mut opener = Opener::new();
    for _ in 0..packets {
        let mut plain = Vec::new();
        Sealer::new()
            .seal_message(&[number::IGNORE, 0, 0, 0, 0], &mut plain)
            .unwrap();
        opener.open(&mut plain).unwrap();
    }
    let Some(OpenChange::Keys { keys, reset }) = change else {
        panic!("no keys");
    };
    opener.install(keys, reset).unwrap();
    opener
}

fn keys(derivation: &KeyDerivation<'_>, [iv, key, mac]: [u8; 3]) -> DirectionKeys {
    let cipher = CipherName::Aes256Ctr;
    DirectionKeys {
        cipher,
        mac: adit_proto::cipher::MacName::from_name("hmac-sha2-256"),
        iv: derivation.derive(iv, cipher.iv_len()),
        key: derivation.derive(key, cipher.key_len()),
        mac_key: derivation.derive(mac, 32),
    }
}

/// A sealer that has sealed so many packets.
fn advanced(packets: u32) -> Sealer {
    let mut sealer = Sealer::new();
    for _ in 0..packets {
        sealer
            .seal_message(&[number::IGNORE], &mut Vec::new())
            .unwrap();
    }
    sealer
}
