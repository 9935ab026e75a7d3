//! From two strangers to a logged-in user, for everything that can be negotiated.

use std::sync::LazyLock;
use std::time::Duration;

use adit_proto::cipher::{CipherName, MacName};
use adit_proto::connection::Event;
use adit_proto::error::Error;
use adit_proto::kex::KexAlgorithm;
use adit_proto::key::{EcdsaCurve, KeyType, SignatureAlgorithm, SigningKey};
use adit_proto::message::number;
use adit_proto::message::transport::{encode_ping, encode_service, encode_unimplemented};
use adit_proto::message::userauth::Method;
use adit_proto::transport::Transmit;
use adit_proto::transport::algorithms::{Algorithms, Compression};
use adit_proto::userauth::client::ClientAuthEvent;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm};
use aws_lc_rs::{rand::SystemRandom, rsa};

use super::pair::{LinkConfig, Pair, Role, Setup, ed25519};

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> SigningKey {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
    SigningKey::from_pkcs8_der(pkcs8.as_ref()).unwrap()
}

/// RSA keys take long to make: one serves all tests.
static RSA: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    pair.as_der().unwrap().as_ref().to_vec()
});

fn generate(key_type: KeyType) -> SigningKey {
    match key_type {
        KeyType::Ed25519 => ed25519(),
        KeyType::Ecdsa(EcdsaCurve::Nistp256) => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        KeyType::Ecdsa(EcdsaCurve::Nistp384) => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        KeyType::Ecdsa(EcdsaCurve::Nistp521) => ecdsa(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
        KeyType::Rsa => SigningKey::from_pkcs8_der(&RSA).unwrap(),
    }
}

/// Every cipher, the ones without authentication of their own with every MAC.
fn ciphers() -> Vec<(CipherName, MacName)> {
    CipherName::ALL
        .iter()
        .flat_map(|&cipher| {
            let macs = match cipher.is_aead() {
                true => &MacName::ALL[..1],
                false => MacName::ALL,
            };
            macs.iter().map(move |&mac| (cipher, mac))
        })
        .collect()
}

/// Opens a channel and carries 100,000 bytes in each direction.
fn carry_both_ways(pair: &mut Pair) {
    let ids = pair.open();
    pair.client.flow(ids.client).to_send = 100_000;
    pair.server.flow(ids.server).to_send = 100_000;
    pair.run_until(|p| {
        p.server.flows[&ids.server].received == 100_000
            && p.client.flows[&ids.client].received == 100_000
    });
}

fn connects(algorithms: &Algorithms, host_key: SigningKey) {
    let mut setup = Setup::default().algorithms(algorithms);
    setup.server.transport.host_keys = vec![host_key];
    let mut pair = setup.connect();
    carry_both_ways(&mut pair);
    let chosen = pair.client.connection().transport().negotiated().copied();
    let chosen = chosen.unwrap();
    assert_eq!(chosen.kex, algorithms.kex[0]);
    assert_eq!(chosen.host_key, algorithms.host_key[0]);
    assert_eq!(chosen.client_to_server.cipher, algorithms.ciphers[0]);
    assert_eq!(chosen.server_to_client.cipher, algorithms.ciphers[0]);
}

#[test]
fn every_key_exchange_with_every_host_key_carries_data() {
    for key_type in KeyType::ALL {
        for &host_key in key_type.algorithms() {
            for kex in KexAlgorithm::ALL {
                // Our server has no groups to choose from.
                if kex.is_group_exchange() {
                    continue;
                }
                let algorithms = Algorithms {
                    kex: vec![kex],
                    host_key: vec![host_key],
                    ..Algorithms::default()
                };
                connects(&algorithms, generate(key_type));
            }
        }
    }
}

#[test]
fn every_cipher_and_mac_carries_data_after_every_kind_of_hash() {
    let one_per_hash = [
        KexAlgorithm::MlKem768X25519Sha256,
        KexAlgorithm::EcdhNistp384,
        KexAlgorithm::EcdhNistp521,
    ];
    for kex in one_per_hash {
        for (cipher, mac) in ciphers() {
            let algorithms = Algorithms {
                kex: vec![kex],
                ciphers: vec![cipher],
                macs: vec![mac],
                ..Algorithms::default()
            };
            connects(&algorithms, ed25519());
        }
    }
}

#[test]
fn server_that_insists_on_zlib_is_served_by_a_client_that_did_not_ask_for_it() {
    for compression in [Compression::Immediate, Compression::Delayed] {
        let mut setup = Setup::default();
        setup.server.transport.algorithms.compression = compression;
        if compression == Compression::Delayed {
            setup.client.transport.algorithms.compression = compression;
        }
        let mut pair = setup.connect();
        carry_both_ways(&mut pair);
        let chosen = pair.client.connection().transport().negotiated().copied();
        assert_eq!(chosen.unwrap().client_to_server.compression, compression);
    }
}

#[test]
fn user_logs_in_with_a_key_of_every_type() {
    for key_type in KeyType::ALL {
        let setup = Setup {
            user_key: generate(key_type),
            ..Setup::default()
        };
        setup.connect();
    }
}

/// The identification lines half a round trip, the KEXINITs another half, then the key exchange, then the service
/// together with `none`.
#[test]
fn client_knows_the_methods_after_three_round_trips() {
    let round_trip = LinkConfig::WAN.latency * 2;
    let mut pair = Setup::over(LinkConfig::WAN).start();
    let start = pair.now;
    let answer = |e: &Event| matches!(e, Event::Auth(ClientAuthEvent::Failure(_)));
    pair.run_until(|p| p.client.log.iter().any(answer));
    let round_trips = (pair.now - start).as_secs_f64() / round_trip.as_secs_f64();
    assert!((3.0..3.1).contains(&round_trips), "{round_trips}");
}

#[test]
fn key_that_is_not_authorized_is_refused_and_the_connection_stays() {
    let setup = Setup::default();
    let host_key = setup.server.transport.host_keys[0].public_key().clone();
    let authorized = ed25519().public_key().clone();
    let mut pair = setup.start_as(
        |key| Role::Client { key, host_key },
        Role::Server { authorized },
    );
    let refusals = |log: &[Event]| {
        log.iter()
            .filter(|e| matches!(e, Event::Auth(ClientAuthEvent::Failure(_))))
            .count()
    };
    pair.run_until(|p| refusals(&p.client.log) == 2);
    assert!(!pair.client.is_connected() && !pair.server.is_connected());
}

#[test]
fn login_has_the_acts_of_its_own_role_and_none_once_it_is_over() {
    let mut pair = Setup::default().start();
    pair.run_until(|p| p.client.exchanges() == 1 && p.server.exchanges() == 1);
    assert!(pair.client.connection().login_as_client().is_ok());
    assert!(pair.client.connection().login_as_server().is_err());
    assert!(pair.server.connection().login_as_server().is_ok());
    assert!(pair.server.connection().login_as_client().is_err());
    pair.run_until(|p| p.client.is_connected() && p.server.is_connected());
    assert!(pair.client.connection().login_as_client().is_err());
    assert!(pair.server.connection().login_as_server().is_err());
}

/// RFC 4252 §5.1.
#[test]
fn request_that_crosses_the_success_changes_nothing() {
    let mut pair = Setup::default().connect();
    let now = pair.now;
    let heard = (pair.server.log.len(), pair.server.users_asked);
    let request = [number::USERAUTH_REQUEST];
    let server = pair.server.connection();
    while server.poll_transmit().is_some() {}
    assert_eq!(server.handle_packet(&request, 0, now), Ok(None));
    assert!(server.is_authenticated() && !server.has_transmit());
    pair.run_for(Duration::from_secs(1));
    assert_eq!((pair.server.log.len(), pair.server.users_asked), heard);
    let client = pair.client.connection();
    assert!(client.handle_packet(&request, 0, now).is_err());
}

/// OpenSSH's process behind the login knows no requests of the login.
#[test]
fn request_that_the_success_of_none_overtakes_takes_nobody_elses_answer() {
    let mut pair = Setup::over(LinkConfig::WAN).start();
    pair.run_until(|p| p.client.exchanges() == 1);
    let now = pair.now;
    let client = pair.client.connection();
    let query = Method::PublicKey {
        algorithm: "ssh-ed25519",
        key: b"key",
        signature: None,
    };
    let mut login = client.login_as_client().unwrap();
    login.authenticate(query).unwrap();
    let accept = encode_service(number::SERVICE_ACCEPT, "ssh-userauth");
    let success = [number::USERAUTH_SUCCESS];
    for message in [&accept[..], &success] {
        client.handle_packet(message, 0, now).unwrap();
    }
    assert!(client.is_authenticated());
    let sent: Vec<_> = std::iter::from_fn(|| client.poll_transmit()).collect();
    let asks = |t: &Transmit| matches!(t, Transmit::Packet(p) if p[0] == number::GLOBAL_REQUEST);
    assert!(sent.iter().any(asks), "the round trip is probed");

    let answer = [number::REQUEST_FAILURE];
    let unimplemented = encode_unimplemented(2);
    for message in [&unimplemented[..], &answer] {
        client.handle_packet(message, 0, now).unwrap();
    }
    assert!(client.handle_packet(&answer, 0, now).is_err());
}

#[test]
fn ping_is_answered_after_the_login_and_ignored_before() {
    let mut pair = Setup::default().start();
    pair.run_until(|p| p.server.exchanges() == 1);
    let before = answers_to_ping(&mut pair);
    pair.run_until(|p| p.server.is_connected());
    assert_eq!((before, answers_to_ping(&mut pair)), (0, 1));
}

fn answers_to_ping(pair: &mut Pair) -> usize {
    let ping = encode_ping(number::PING, b"x");
    let now = pair.now;
    let server = pair.server.connection();
    assert!(!server.has_transmit(), "something else waits");
    server.handle_packet(&ping, 0, now).unwrap();
    std::iter::from_fn(|| server.poll_transmit()).count()
}

#[test]
fn host_key_that_the_user_refuses_ends_the_connection_before_anything_is_told() {
    let setup = Setup::default();
    let authorized = setup.user_key.public_key().clone();
    let host_key = ed25519().public_key().clone();
    let mut pair = setup.start_as(
        |key| Role::Client { key, host_key },
        Role::Server { authorized },
    );
    pair.run_to_end();
    assert!(matches!(pair.client.error, Some(Error::HostKeyRefused(_))));
    assert!(matches!(
        pair.server.error,
        Some(Error::PeerDisconnected(_))
    ));
    assert_eq!(pair.server.log, []);
    assert_eq!(pair.server.users_asked, 0, "no request reached the server");
}

#[test]
fn nothing_in_common_ends_the_connection_at_both_ends() {
    let mut setup = Setup::default();
    setup.client.transport.algorithms.kex = vec![KexAlgorithm::EcdhNistp256];
    setup.server.transport.algorithms.kex = vec![KexAlgorithm::Curve25519Sha256];
    let mut pair = setup.start();
    pair.run_to_end();
    let Some(Error::PeerIncompatible(why)) = &pair.client.error else {
        panic!("{:?}", pair.client.error);
    };
    assert!(why.contains("no matching key exchange method"), "{why}");
    assert!(matches!(
        pair.server.error,
        Some(Error::PeerIncompatible(_) | Error::PeerDisconnected(_))
    ));
}

#[test]
fn server_offers_no_algorithm_that_it_has_no_key_for() {
    let mut setup = Setup::default();
    setup.client.transport.algorithms.host_key = vec![SignatureAlgorithm::RsaSha512];
    let mut pair = setup.start();
    pair.run_to_end();
    assert!(matches!(
        pair.client.error,
        Some(Error::PeerIncompatible(_))
    ));
}
