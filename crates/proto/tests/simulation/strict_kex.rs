//! Strict key exchange (OpenSSH PROTOCOL §1.10): packets from somebody in the middle end the first key exchange.

use adit_proto::error::{Error, Misbehaviour};
use adit_proto::message::{number, transport};

use super::pair::{Injection, Setup};

fn ignore() -> Vec<u8> {
    vec![number::IGNORE, 0, 0, 0, 0]
}

/// The server's error after the packet was put before the client's first message of that number.
fn injected_to_server(before: u8, payload: Vec<u8>) -> Option<Error> {
    let mut pair = Setup::default().start();
    pair.client.injection = Some(Injection { before, payload });
    pair.run_to_end();
    pair.server.error
}

fn injected_to_client(before: u8, payload: Vec<u8>) -> Option<Error> {
    let mut pair = Setup::default().start();
    pair.server.injection = Some(Injection { before, payload });
    pair.run_to_end();
    pair.client.error
}

#[test]
fn packet_before_the_first_kexinit_ends_the_connection() {
    let kexinit_late =
        Misbehaviour::KeyExchange("strict key exchange: KEXINIT was not the first packet".into());
    let expected = Some(Error::PeerMisbehaved(kexinit_late));
    assert_eq!(injected_to_server(number::KEXINIT, ignore()), expected);
    assert_eq!(injected_to_client(number::KEXINIT, ignore()), expected);
}

#[test]
fn packet_anywhere_in_the_first_exchange_ends_the_connection() {
    for payload in [
        ignore(),
        transport::encode_debug("x"),
        transport::encode_unimplemented(0),
    ] {
        let expected = Some(Error::PeerMisbehaved(Misbehaviour::UnexpectedMessage(
            payload[0],
        )));
        for before in [number::KEX_ECDH_INIT, number::NEWKEYS] {
            let found = injected_to_server(before, payload.clone());
            assert_eq!(found, expected, "to the server, before {before}");
        }
        for before in [number::KEX_ECDH_REPLY, number::NEWKEYS] {
            let found = injected_to_client(before, payload.clone());
            assert_eq!(found, expected, "to the client, before {before}");
        }
    }
}
