//! A connection before the login, fed by a peer that keeps to no order.

use adit_proto::Side;
use adit_proto::connection::{Connection, Event};
use adit_proto::kex::KexAlgorithm;
use adit_proto::message::kex::{EcdhReply, KexInit, encode_ecdh_init};
use adit_proto::message::number;
use arbitrary::{Result, Unstructured};

use crate::ends::{self, START};
use crate::payloads::{payload, piece};

const NUMBERS: &[u8] = &[
    number::DISCONNECT,
    number::IGNORE,
    number::UNIMPLEMENTED,
    number::DEBUG,
    number::SERVICE_REQUEST,
    number::EXT_INFO,
    number::KEXINIT,
    number::NEWKEYS,
    number::KEX_ECDH_INIT,
    number::KEX_ECDH_REPLY,
    number::USERAUTH_REQUEST,
    number::CHANNEL_OPEN,
    number::CHANNEL_DATA,
    number::PING,
    200,
];

/// Neither side may panic, be logged in, or answer without bound; no client may take keys that nobody signed.
pub fn key_exchange(data: &[u8]) {
    let _ = run(&mut Unstructured::new(data));
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let kex = [*u.choose(KexAlgorithm::SERVER)?];
    let side = *u.choose(&[Side::Client, Side::Server])?;
    let mut connection = match side {
        Side::Client => ends::client(&kex),
        Side::Server => ends::server(&kex),
    };
    let peer_init = peer_kexinit(side, kex[0], u)?;
    let mut sequence_number = 0;
    while !u.is_empty() && connection.wants_input() {
        let message = message(&peer_init, kex[0], u)?;
        if connection
            .handle_packet(&message, sequence_number, *START)
            .is_err()
        {
            return Ok(());
        }
        sequence_number += 1;
        check(side, &mut connection);
    }
    Ok(())
}

fn check(side: Side, connection: &mut Connection) {
    assert!(!connection.is_authenticated());
    while let Some(event) = connection.poll_event() {
        let trusts = matches!(event, Event::KeysChanged | Event::HostKey(_));
        assert!(
            side == Side::Server || !trusts,
            "{event:?} without a signature"
        );
    }
    while connection.poll_open_change().is_some() {}
    let answers = ends::payloads(connection);
    assert!(
        answers.len() <= 4,
        "{} answers to one message",
        answers.len()
    );
}

/// The peer's own KEXINIT, with one list spoilt now and then.
fn peer_kexinit(side: Side, kex: KexAlgorithm, u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut peer = match side {
        Side::Client => ends::server(&[kex]),
        Side::Server => ends::client(&[kex]),
    };
    let mut init = KexInit::parse(&ends::payloads(&mut peer)[0]).expect("our own");
    let spoilt = match u.int_in_range(0..=15)? {
        0 => &mut init.kex_algorithms,
        1 => &mut init.server_host_key_algorithms,
        2 => &mut init.encryption_client_to_server,
        3 => &mut init.mac_server_to_client,
        4 => &mut init.compression_client_to_server,
        5 => {
            init.first_kex_packet_follows = true;
            return Ok(init.encode());
        }
        _ => return Ok(init.encode()),
    };
    spoilt.insert(0, String::from_utf8_lossy(piece(u)?).into_owned());
    spoilt.truncate(u.int_in_range(0..=4)?);
    Ok(init.encode())
}

fn message(peer_init: &[u8], kex: KexAlgorithm, u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(match u.int_in_range(0..=7)? {
        0 | 1 => peer_init.to_vec(),
        2 => {
            let (_, public) = adit_proto::kex::ClientKex::start(kex).expect("our own library");
            encode_ecdh_init(&public)
        }
        3 => encode_ecdh_init(piece(u)?),
        4 => EcdhReply {
            host_key: ends::key(1).public_key().blob(),
            server_reply: piece(u)?,
            signature: piece(u)?,
        }
        .encode(),
        5 => vec![number::NEWKEYS],
        6 => piece(u)?.to_vec(),
        _ => payload(NUMBERS, u)?,
    })
}
