//! New keys while data flows: nothing is lost, nothing stops, whoever begins.

use std::time::Duration;

use adit_proto::cipher::CipherName;
use adit_proto::connection::KeepAlive;
use adit_proto::transport::RekeyLimit;
use adit_proto::transport::algorithms::{Algorithms, Compression};

use super::pair::{Flow, Ids, LinkConfig, Pace, Pair, Setup};

const MIB: u64 = 1 << 20;

fn every(bytes: u64) -> RekeyLimit {
    RekeyLimit {
        bytes: Some(bytes),
        interval: None,
    }
}

/// Sends so much both ways and runs until all of it is there.
fn both_ways(pair: &mut Pair, ids: Ids, bytes: u64) {
    let target = pair.server.flow(ids.server).received + bytes;
    pair.client.flow(ids.client).to_send = bytes;
    pair.server.flow(ids.server).to_send = bytes;
    pair.run_until(|p| {
        p.server.flows[&ids.server].received == target
            && p.client.flows[&ids.client].received == target
    });
}

#[test]
fn volume_asks_for_new_keys_whoever_counts_it() {
    let none = RekeyLimit::default();
    for (client, server) in [
        (every(MIB), none),
        (none, every(MIB)),
        (every(MIB), every(MIB)),
    ] {
        let mut pair = Setup::default()
            .client_rekeys(client)
            .server_rekeys(server)
            .connect();
        let ids = pair.open();
        both_ways(&mut pair, ids, 32 * MIB);
        let exchanges = pair.client.exchanges();
        assert!((8..=80).contains(&exchanges), "{exchanges} exchanges");
        assert_eq!(exchanges, pair.server.exchanges());
    }
}

#[test]
fn age_asks_for_new_keys() {
    let limit = RekeyLimit {
        bytes: None,
        interval: Some(Duration::from_secs(60)),
    };
    let mut pair = Setup::default().server_rekeys(limit).connect();
    pair.run_for(Duration::from_secs(3605));
    assert_eq!(pair.client.exchanges(), 61);
    assert_eq!((&pair.client.error, &pair.server.error), (&None, &None));
}

#[test]
fn tiny_limits_slow_down_and_never_stop() {
    const NEVER: u64 = 1 << 40;
    let limits = [(1, 1), (16, NEVER), (NEVER, 16), (16, 16)];
    let batched = LinkConfig {
        batch: Duration::from_millis(1),
        ..LinkConfig::LAN
    };
    for (link, (client, server)) in [LinkConfig::LAN, batched]
        .into_iter()
        .flat_map(|link| limits.map(|limits| (link, limits)))
    {
        let mut pair = Setup::over(link)
            .client_rekeys(every(client))
            .server_rekeys(every(server))
            .connect();
        let ids = pair.open();
        both_ways(&mut pair, ids, 4 * MIB);
        assert!(pair.client.exchanges() > 4);
    }
}

#[test]
fn limits_hold_for_every_cipher_under_full_load() {
    for &cipher in CipherName::ALL {
        let algorithms = Algorithms {
            ciphers: vec![cipher],
            ..Algorithms::default()
        };
        let mut pair = Setup::default()
            .algorithms(&algorithms)
            .client_rekeys(every(300_000))
            .server_rekeys(every(500_000))
            .connect();
        let channels: Vec<_> = (0..4).map(|_| pair.open()).collect();
        for ids in &channels {
            pair.client.flow(ids.client).to_send = 4 * MIB;
            pair.server.flow(ids.server).to_send = 4 * MIB;
        }
        pair.run_until(|p| {
            p.server.flows.values().all(|f| f.received == 4 * MIB)
                && p.client.flows.values().all(|f| f.received == 4 * MIB)
        });
        assert!(pair.client.exchanges() > 20);
    }
}

/// The link swallows all that the windows allow at once; the server asks for new keys when the first of it arrives.
#[test]
fn data_in_flight_up_to_the_sum_of_the_windows_is_delivered_during_a_rekey() {
    let deep = LinkConfig {
        send_buffer: 64 << 20,
        ..LinkConfig::WAN
    };
    let mut pair = Setup::over(deep).server_rekeys(every(MIB)).connect();
    let channels: Vec<_> = (0..8).map(|_| pair.open()).collect();
    for ids in &channels {
        pair.server.flow(ids.server).pace = Pace::Stalled;
        pair.client.flow(ids.client).to_send = 2 * MIB;
    }
    pair.run_until(|p| p.client.flows.values().all(|f| f.sent == 2 * MIB));
    assert_eq!(pair.client.exchanges(), 1, "no new keys yet");
    assert!(pair.server.flows.values().all(|f| f.received == 0));
    pair.run_until(|p| p.server.exchanges() == 2);
    let all_there = |f: &Flow| f.received == 2 * MIB && f.taken == 0;
    assert!(pair.server.flows.values().all(all_there));
}

fn compressed() -> Setup {
    Setup::default().algorithms(&Algorithms {
        compression: Compression::Delayed,
        ..Algorithms::default()
    })
}

#[test]
fn compression_goes_on_after_new_keys() {
    let mut pair = compressed()
        .client_rekeys(every(MIB))
        .server_rekeys(every(MIB))
        .connect();
    let chosen = pair.client.connection().transport().negotiated().copied();
    assert_eq!(
        chosen.unwrap().client_to_server.compression,
        Compression::Delayed
    );
    let ids = pair.open();
    both_ways(&mut pair, ids, 8 * MIB);
    assert!(pair.client.exchanges() > 4);
}

#[test]
fn compression_and_tiny_limits_get_on_from_the_first_packet() {
    for (client, server) in [(1, 1), (1, 1 << 40), (1 << 40, 1)] {
        let mut pair = compressed()
            .client_rekeys(every(client))
            .server_rekeys(every(server))
            .connect();
        let ids = pair.open();
        both_ways(&mut pair, ids, MIB);
    }
}

#[test]
fn keep_alive_and_channel_opens_wait_for_the_keys_and_arrive() {
    let mut setup = Setup::over(LinkConfig::WAN).keep_alive(KeepAlive {
        interval: Duration::from_millis(30),
        count_max: 10,
    });
    setup.client.transport.rekey.interval = Some(Duration::from_millis(10));
    let mut pair = setup.connect();
    for _ in 0..20 {
        pair.open();
    }
    assert!(pair.client.exchanges() > 10);
}
