//! Tests of two transports with each other, payload by payload, in orders that two connections of ours would not
//! produce.

use super::*;
use crate::key::SignatureAlgorithm;
use crate::message::number;

fn pair() -> (Transport, Transport) {
    let config = |host_keys| {
        Arc::new(TransportConfig {
            algorithms: Algorithms {
                compression: algorithms::Compression::Delayed,
                ..Algorithms::default()
            },
            rekey: RekeyLimit::default(),
            host_keys,
        })
    };
    let transport = |side, host_keys, ours: &str, theirs: &str| {
        let seed = [side as u8; 32];
        let idents = [ours, theirs].map(str::to_owned);
        Transport::new(side, config(host_keys), idents, seed, Instant::now())
    };
    let host_key = SigningKey::generate_ed25519().unwrap();
    (
        transport(Side::Client, vec![], "SSH-2.0-adit_c", "SSH-2.0-adit_s"),
        transport(
            Side::Server,
            vec![host_key],
            "SSH-2.0-adit_s",
            "SSH-2.0-adit_c",
        ),
    )
}

/// Passes the output of one end to the other, and returns the names of its messages.
fn pass(from: &mut Transport, to: &mut Transport) -> Vec<String> {
    let mut passed = Vec::new();
    while let Some(transmit) = from.poll_transmit() {
        passed.push(match &transmit {
            Transmit::Packet(payload) => {
                if (number::KEXINIT..=number::KEX_ECDH_REPLY).contains(&payload[0]) {
                    to.count_packet();
                    to.recv_kex(payload, Instant::now()).unwrap();
                    to.accept_host_key();
                }
                payload[0].to_string()
            }
            Transmit::Keys { .. } => "keys".to_owned(),
            Transmit::StartCompression => "compression".to_owned(),
        });
    }
    passed
}

fn settled() -> (Transport, Transport) {
    let (mut client, mut server) = pair();
    while !pass(&mut client, &mut server).is_empty() || !pass(&mut server, &mut client).is_empty() {
    }
    assert!(client.may_send() && server.may_send());
    while server.poll_open_change().is_some() {}
    (client, server)
}

#[test]
fn server_announces_the_signatures_that_it_accepts() {
    let (_, mut server) = pair();
    let config = TransportConfig {
        algorithms: Algorithms {
            user_key: vec![SignatureAlgorithm::RsaSha512],
            ..Algorithms::default()
        },
        rekey: RekeyLimit::default(),
        host_keys: Vec::new(),
    };
    server.config = Arc::new(config);
    server.send_ext_info();
    let info = std::iter::from_fn(|| server.poll_transmit()).find_map(|transmit| match transmit {
        Transmit::Packet(payload) if payload[0] == number::EXT_INFO => {
            ExtInfo::parse(&payload).ok()
        }
        _ => None,
    });
    let algorithms = info.unwrap().server_sig_algs.unwrap();
    assert_eq!(algorithms, ["rsa-sha2-512"]);
}

#[test]
fn compression_begins_after_the_success_that_a_key_exchange_delays() {
    let (mut client, mut server) = settled();
    client.rekey();
    assert_eq!(pass(&mut client, &mut server), ["20"]);
    server.send(vec![number::USERAUTH_SUCCESS].into()).unwrap();
    server.authenticated();
    assert_eq!(pass(&mut server, &mut client), ["20"]);
    assert_eq!(pass(&mut client, &mut server), ["30"]);
    let rest = pass(&mut server, &mut client);
    assert_eq!(rest, ["31", "21", "keys", "52", "compression"]);
    assert!(server.poll_open_change().is_none());
    assert_eq!(pass(&mut client, &mut server), ["21", "keys"]);
    let changes: Vec<_> = std::iter::from_fn(|| server.poll_open_change()).collect();
    assert!(matches!(
        changes[..],
        [OpenChange::Keys { .. }, OpenChange::StartDecompression]
    ));
}

#[test]
fn decompression_begins_after_the_newkeys_that_is_under_way() {
    let (mut client, mut server) = settled();
    server.rekey();
    pass(&mut server, &mut client);
    pass(&mut client, &mut server);
    pass(&mut server, &mut client);
    assert!(server.may_send(), "it waits for the client's NEWKEYS only");
    server.authenticated();
    assert!(server.poll_open_change().is_none());
    pass(&mut client, &mut server);
    let changes = std::iter::from_fn(|| server.poll_open_change()).count();
    assert_eq!(changes, 2);
}

#[test]
fn no_later_key_exchange_begins_before_the_login() {
    let (_, mut server) = settled();
    let much = Usage {
        packets: MAX_PACKETS_PER_KEY,
        bytes: 0,
    };
    assert!(!server.is_rekey_due(much, much));
    server.authenticated();
    assert!(server.is_rekey_due(much, much));
}

#[test]
fn signature_algorithms_of_a_server_are_kept_by_clients_only() {
    let (mut client, mut server) = settled();
    let info = ExtInfo {
        server_sig_algs: Some(vec!["ssh-ed25519".into()]),
        ping: true,
        early_data: None,
    };
    client.recv_ext_info(&info.encode()).unwrap();
    server.recv_ext_info(&info.encode()).unwrap();
    assert_eq!(client.peer_ext_info(), &info);
    assert!(server.peer_ext_info().ping);
    assert_eq!(server.peer_ext_info().server_sig_algs, None);
}

#[test]
fn answers_that_the_peer_does_not_read_are_bounded() {
    let (_, mut server) = settled();
    let fits = (0..1_000_000)
        .take_while(|_| server.send(vec![number::REQUEST_FAILURE].into()).is_ok())
        .count();
    assert!((10_000..40_000).contains(&fits), "{fits}");
    while server.poll_transmit().is_some() {}
    assert_eq!(server.waiting_bytes, 0);
}

#[test]
fn old_keys_start_no_second_exchange_while_new_keys_wait() {
    let (mut client, mut server) = settled();
    client.authenticated();
    let much = Usage {
        packets: MAX_PACKETS_PER_KEY,
        bytes: 0,
    };
    client.rekey();
    pass(&mut client, &mut server);
    pass(&mut server, &mut client);
    pass(&mut client, &mut server);
    pass(&mut server, &mut client);
    assert_eq!(client.exchanges(), 2);
    assert!(!client.is_rekey_due(much, Usage::default()));
    pass(&mut client, &mut server);
    assert!(client.is_rekey_due(much, Usage::default()));
}

#[test]
fn data_waits_while_keys_at_their_limit_cannot_be_renewed() {
    let (mut client, mut server) = settled();
    server.authenticated();
    let much = Usage {
        packets: 0,
        bytes: DEFAULT_REKEY_BYTES,
    };
    server.rekey();
    pass(&mut server, &mut client);
    pass(&mut client, &mut server);
    pass(&mut server, &mut client);
    assert!(server.may_send_data(), "it waits for NEWKEYS only");
    server.note_sealed(much);
    assert!(!server.may_send_data());
    assert!(server.may_send(), "other messages go on");
    assert_eq!(pass(&mut client, &mut server), ["21", "keys"]);
    server.note_sealed(much);
    assert!(server.is_rekey_due(much, Usage::default()));
    assert!(server.may_send_data());
}

#[test]
fn volume_of_old_keys_does_not_count_for_new_ones() {
    let (mut client, mut server) = settled();
    server.authenticated();
    let much = Usage {
        packets: MAX_PACKETS_PER_KEY,
        bytes: 0,
    };
    server.rekey();
    pass(&mut server, &mut client);
    pass(&mut client, &mut server);
    server.note_sealed(much);
    assert!(server.may_send_data(), "the new keys wait to be installed");
}
