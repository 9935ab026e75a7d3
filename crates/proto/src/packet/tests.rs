//! Promises of the packet layer, tested for every cipher with every MAC.

use std::fmt;

use zeroize::Zeroizing;

use super::*;
use crate::cipher::{CipherName, DirectionKeys, MacName};

type Suite = (CipherName, Option<MacName>);

/// Every AEAD alone, every other cipher with every MAC.
fn suites() -> Vec<Suite> {
    let mut suites = vec![];
    for &cipher in CipherName::ALL {
        match cipher.is_aead() {
            true => suites.push((cipher, None)),
            false => suites.extend(MacName::ALL.iter().map(|&mac| (cipher, Some(mac)))),
        }
    }
    assert_eq!(suites.len(), 3 + 3 * 5);
    suites
}

fn keys((cipher, mac): Suite, seed: u8) -> DirectionKeys {
    let bytes =
        |n: usize| Zeroizing::new((0..n).map(|i| seed ^ (i as u8).wrapping_mul(37)).collect());
    DirectionKeys {
        cipher,
        mac,
        key: bytes(cipher.key_len()),
        iv: bytes(cipher.iv_len()),
        mac_key: bytes(mac.map_or(0, MacName::key_len)),
    }
}

fn pair(suite: Suite) -> (Sealer, Opener) {
    let (mut sealer, mut opener) = (Sealer::new(), Opener::new());
    rekey(&mut sealer, &mut opener, suite, SequenceReset::Restart);
    (sealer, opener)
}

fn rekey(sealer: &mut Sealer, opener: &mut Opener, suite: Suite, seq: SequenceReset) {
    let seed = sealer.next_sequence_number() as u8;
    sealer.install(keys(suite, seed), [0xaa; 256], seq).unwrap();
    opener.install(keys(suite, seed), seq).unwrap();
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + len) as u8).collect()
}

fn seal(sealer: &mut Sealer, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; sealer.sealed_len(payload.len())];
    packet[HEADER_LEN..HEADER_LEN + payload.len()].copy_from_slice(payload);
    sealer.seal(&mut packet, payload.len()).unwrap();
    packet
}

/// The payload and the packet's length, of a packet that is there.
fn open(opener: &mut Opener, input: &mut [u8]) -> (Vec<u8>, usize) {
    match opener.open(input).unwrap() {
        Opened::Packet { body, consumed, .. } => (body.as_slice(input).to_vec(), consumed),
        incomplete => panic!("{incomplete:?}"),
    }
}

#[test]
fn every_payload_comes_out_as_it_went_in() {
    let lengths = || (0..=600).chain([32 * 1024, 256 * 1024, MAX_PAYLOAD_LEN]);
    let mut plain = (Sealer::new(), Opener::new());
    for len in lengths() {
        let mut packet = seal(&mut plain.0, &payload(len));
        let packet_len = packet.len();
        assert_eq!(open(&mut plain.1, &mut packet), (payload(len), packet_len));
    }
    for suite in suites() {
        let (mut sealer, mut opener) = pair(suite);
        for len in lengths() {
            let mut packet = seal(&mut sealer, &payload(len));
            let packet_len = packet.len();
            packet.extend_from_slice(b"the next packet");
            let opened = open(&mut opener, &mut packet);
            assert_eq!(opened, (payload(len), packet_len), "{suite:?} {len}");
            assert_eq!(&packet[packet_len..], b"the next packet");
        }
        assert_eq!(sealer.usage(), opener.usage());
        assert_eq!(sealer.usage().packets, 604);
    }
}

#[test]
fn the_copying_way_makes_the_same_packets() {
    for suite in suites() {
        let (mut in_place, _) = pair(suite);
        let (mut copying, _) = pair(suite);
        let mut out = b"before".to_vec();
        copying.seal_message(&payload(77), &mut out).unwrap();
        assert_eq!(
            out,
            [b"before".to_vec(), seal(&mut in_place, &payload(77))].concat()
        );
    }
}

#[test]
fn padding_has_the_length_that_rfc_4253_and_its_successors_ask_for() {
    let check =
        |suite: &dyn fmt::Debug, sealer: &Sealer, tag: usize, apart: usize, block: usize| {
            for len in 0..600 {
                let aligned = sealer.sealed_len(len) - tag - apart;
                assert_eq!(aligned % block, 0, "{suite:?} {len}");
                let padding = aligned + apart - HEADER_LEN - len;
                assert!((4..4 + block).contains(&padding), "{suite:?} {len}");
            }
        };
    check(&"none", &Sealer::new(), 0, 0, 8);
    for suite in suites() {
        let (sealer, _) = pair(suite);
        let (tag, apart) = match suite.1 {
            None => (16, 4),
            Some(mac) => (mac.key_len(), if mac.is_etm() { 4 } else { 0 }),
        };
        check(&suite, &sealer, tag, apart, suite.0.block_size());
    }
}

#[test]
fn a_change_of_any_byte_is_noticed_and_final() {
    for suite in suites() {
        let (mut sealer, _) = pair(suite);
        let sealed = seal(&mut sealer, &payload(50));
        for at in 0..sealed.len() {
            let (_, mut opener) = pair(suite);
            let mut packet = sealed.clone();
            packet[at] ^= 0x10;
            packet.resize(2 * MAX_PACKET_LEN, 0);
            let error = opener.open(&mut packet).unwrap_err();
            match at {
                0..4 => assert!(
                    matches!(
                        error,
                        PacketOpenError::BadLength(_) | PacketOpenError::BadMac
                    ),
                    "{suite:?} {at} {error}"
                ),
                _ => assert_eq!(error, PacketOpenError::BadMac, "{suite:?} {at}"),
            }
            assert_eq!(
                opener.open(&mut sealed.clone()),
                Err(error),
                "no second try"
            );
        }
    }
}

#[test]
fn a_forged_packet_leaves_no_plaintext_behind() {
    for suite in suites() {
        let (mut sealer, mut opener) = pair(suite);
        let secret = [0x5a; 64];
        let mut packet = seal(&mut sealer, &secret);
        let last = packet.len() - 1;
        packet[last] ^= 1;
        assert_eq!(opener.open(&mut packet), Err(PacketOpenError::BadMac));
        assert!(!packet.windows(16).any(|w| w == &secret[..16]), "{suite:?}");
    }
}

#[test]
fn replayed_dropped_and_swapped_packets_are_noticed() {
    for suite in suites() {
        let (mut sealer, _) = pair(suite);
        let first = seal(&mut sealer, &payload(32));
        let second = seal(&mut sealer, &payload(32));
        let (_, mut opener) = pair(suite);
        let mut early = second.clone();
        early.resize(2 * MAX_PACKET_LEN, 0);
        assert!(opener.open(&mut early).is_err(), "{suite:?}");
        let (_, mut opener) = pair(suite);
        open(&mut opener, &mut first.clone());
        let mut replay = first.clone();
        replay.resize(2 * MAX_PACKET_LEN, 0);
        assert!(opener.open(&mut replay).is_err(), "{suite:?}");
    }
}

#[test]
fn packets_may_arrive_byte_by_byte() {
    for suite in suites() {
        let (mut sealer, mut opener) = pair(suite);
        let payloads = [payload(0), payload(1), payload(100), payload(33)];
        let wire: Vec<u8> = payloads.iter().flat_map(|p| seal(&mut sealer, p)).collect();
        let (mut input, mut received, mut promised) = (vec![], vec![], 0);
        for byte in wire {
            input.push(byte);
            let before = input.clone();
            match opener.open(&mut input).unwrap() {
                Opened::Incomplete { at_least } => {
                    assert!(at_least > input.len() && at_least >= promised, "{suite:?}");
                    assert_eq!(input, before, "input changed while incomplete");
                    promised = at_least;
                }
                Opened::Packet { body, consumed, .. } => {
                    assert_eq!(consumed, promised, "{suite:?}");
                    received.push(body.as_slice(&input).to_vec());
                    input.drain(..consumed);
                    promised = 0;
                }
            }
        }
        assert_eq!(received, payloads, "{suite:?}");
        assert!(input.is_empty());
    }
}

#[test]
fn an_illegal_length_is_refused_before_its_bytes_arrive() {
    let max = MAX_PACKET_LEN as u32;
    let cases = [0, 1, 4, 5, 11, 13, max + 4, max + 8, 0x5353_482d, u32::MAX];
    for claimed in cases {
        let mut front = claimed.to_be_bytes();
        let refused = Err(PacketOpenError::BadLength(claimed));
        assert_eq!(Opener::new().open(&mut front), refused, "none");
        let suite = (CipherName::Aes128Gcm, None);
        assert_eq!(pair(suite).1.open(&mut front), refused, "GCM");
        let mut block = [0; 16];
        block[..4].copy_from_slice(&front);
        let suite = (CipherName::Aes128Ctr, Some(MacName::HmacSha256Etm));
        assert_eq!(pair(suite).1.open(&mut block), refused, "encrypt-then-MAC");
    }
    let mut largest = (max - 4).to_be_bytes();
    assert_eq!(
        Opener::new().open(&mut largest),
        Ok(Opened::Incomplete {
            at_least: MAX_PACKET_LEN
        })
    );
}

#[test]
fn an_illegal_length_under_encryption_is_refused_too() {
    // A flipped bit of the ciphertext is a flipped bit of the length, in both key streams.
    for suite in [
        (CipherName::ChaCha20Poly1305, None),
        (CipherName::Aes256Ctr, Some(MacName::HmacSha512)),
    ] {
        let (mut sealer, mut opener) = pair(suite);
        let mut packet = seal(&mut sealer, &payload(3));
        packet[0] ^= 0x80;
        let refused = opener.open(&mut packet[..16]).unwrap_err();
        assert!(matches!(refused, PacketOpenError::BadLength(n) if n >> 24 == 0x80));
    }
}

#[test]
fn illegal_padding_is_refused() {
    for (padding, legal) in [
        (0, false),
        (3, false),
        (4, true),
        (11, true),
        (12, false),
        (255, false),
    ] {
        let mut packet = [0, 0, 0, 12, padding, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
        let opened = Opener::new().open(&mut packet);
        match legal {
            true => assert!(matches!(opened, Ok(Opened::Packet { .. })), "{padding}"),
            false => assert_eq!(opened, Err(PacketOpenError::BadPadding), "{padding}"),
        }
    }
}

#[test]
fn keys_change_in_mid_stream() {
    for suite in suites() {
        for (seq, numbers) in [
            (SequenceReset::Restart, [0, 1, 0, 1, 0, 1]),
            (SequenceReset::Continue, [0, 1, 2, 3, 4, 5]),
        ] {
            let (mut sealer, mut opener) = (Sealer::new(), Opener::new());
            let mut seen = vec![];
            for round in 0..3 {
                // Both packets of a round lie in the buffer when the first is opened.
                let mut wire = seal(&mut sealer, &payload(20 + round));
                wire.extend(seal(&mut sealer, &payload(300)));
                let mut rest = &mut wire[..];
                while !rest.is_empty() {
                    seen.push(opener.next_sequence_number());
                    let (_, consumed) = open(&mut opener, rest);
                    rest = &mut rest[consumed..];
                }
                assert_eq!(sealer.usage().packets, 2);
                rekey(&mut sealer, &mut opener, suite, seq);
                assert_eq!((sealer.usage(), opener.usage()), Default::default());
            }
            assert_eq!(seen, numbers, "{suite:?} {seq:?}");
        }
    }
}

#[test]
fn a_key_ends_after_2_to_the_32_packets() {
    for suite in suites() {
        let (mut sealer, mut opener) = pair(suite);
        sealer.pretend_packets(PACKETS_PER_KEY - 1);
        opener.pretend_packets(PACKETS_PER_KEY - 1);
        let mut last = seal(&mut sealer, b"last");
        open(&mut opener, &mut last);
        let mut more = vec![0; sealer.sealed_len(4)];
        assert_eq!(sealer.seal(&mut more, 4), Err(SealError::SequenceExhausted));
        assert_eq!(
            sealer.seal_message(b"more", &mut more),
            Err(SealError::SequenceExhausted)
        );
        assert_eq!(
            opener.open(&mut []),
            Ok(Opened::Incomplete {
                at_least: opener_front(suite)
            })
        );
        assert_eq!(
            opener.open(&mut more),
            Err(PacketOpenError::SequenceExhausted)
        );
        assert_eq!(sealer.next_sequence_number(), 1, "refusals take no number");
    }
}

fn opener_front((_, mac): Suite) -> usize {
    mac.map_or(4, |_| 16)
}

#[test]
fn the_sequence_number_wraps_when_it_continues_across_keys() {
    let suite = (CipherName::ChaCha20Poly1305, None);
    let (mut sealer, mut opener) = pair(suite);
    sealer.pretend_next(u32::MAX);
    opener.pretend_next(u32::MAX);
    for expected in [u32::MAX, 0] {
        assert_eq!(opener.next_sequence_number(), expected);
        open(&mut opener, &mut seal(&mut sealer, b"across"));
    }
}

#[test]
fn a_buffer_of_the_wrong_length_is_refused() {
    let (mut sealer, _) = pair((CipherName::Aes256Gcm, None));
    let needed = sealer.sealed_len(10);
    for given in [0, needed - 1, needed + 1] {
        assert_eq!(
            sealer.seal(&mut vec![0; given], 10),
            Err(SealError::BufferLength { needed, given })
        );
    }
    let too_large = MAX_PAYLOAD_LEN + 1;
    let mut packet = vec![0; sealer.sealed_len(too_large)];
    let refused = Err(SealError::TooLarge(too_large));
    assert_eq!(sealer.seal(&mut packet, too_large), refused);
    assert_eq!(
        sealer.seal_message(&packet[..too_large], &mut vec![]),
        refused
    );
    assert_eq!(sealer.usage(), Usage::default());
}

#[test]
fn padding_is_drawn_round_and_round() {
    let (mut sealer, mut opener) = pair((CipherName::Aes128Gcm, None));
    let pool = std::array::from_fn(|i| i as u8);
    let suite = (CipherName::Aes128Gcm, None);
    sealer
        .install(keys(suite, 9), pool, SequenceReset::Restart)
        .unwrap();
    opener
        .install(keys(suite, 9), SequenceReset::Restart)
        .unwrap();
    let mut next = 0;
    for _ in 0..40 {
        let mut packet = seal(&mut sealer, &payload(5));
        let (_, consumed) = open(&mut opener, &mut packet);
        let padding = &packet[HEADER_LEN + 5..consumed - 16];
        if next + padding.len() > 256 {
            next = 0;
        }
        assert_eq!(padding, &pool[next..next + padding.len()]);
        next += padding.len();
    }
}

#[test]
fn compressed_payloads_come_out_packet_by_packet() {
    for suite in suites() {
        let (mut sealer, mut opener) = pair(suite);
        for round in 0..2 {
            sealer.start_compression();
            opener.start_decompression();
            for len in [0, 1, 500, 500, 32 * 1024, 256 * 1024] {
                let mut packet = vec![];
                sealer.seal_message(&payload(len), &mut packet).unwrap();
                assert!(len < 500 || packet.len() < len, "{len}");
                let (inflated, consumed) = open(&mut opener, &mut packet);
                assert_eq!(
                    (inflated, consumed),
                    (payload(len), packet.len()),
                    "{suite:?}"
                );
            }
            assert_eq!(sealer.seal(&mut [0; 64], 10), Err(SealError::Compressing));
            rekey(&mut sealer, &mut opener, suite, SequenceReset::Continue);
            let ended = !sealer.is_compressing() && !opener.is_decompressing();
            assert!(ended, "round {round}: compression ends with its keys");
        }
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let step = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(step).collect()
}

#[test]
fn noise_still_fits_when_compressed() {
    let (mut sealer, mut opener) = pair((CipherName::Aes256Gcm, None));
    sealer.start_compression();
    opener.start_decompression();
    let noise = noise(256 * 1024 + 64);
    let mut packet = vec![];
    sealer.seal_message(&noise, &mut packet).unwrap();
    assert_eq!(open(&mut opener, &mut packet).0, noise);
}

#[test]
fn noise_that_does_not_fit_leaves_the_output_as_it_was() {
    let (mut sealer, _) = pair((CipherName::Aes256Gcm, None));
    sealer.start_compression();
    let mut out = b"before".to_vec();
    for payload in [noise(MAX_PAYLOAD_LEN), b"more".to_vec()] {
        let result = sealer.seal_message(&payload, &mut out);
        assert_eq!(result, Err(SealError::CompressFailed));
        assert_eq!(out, b"before");
    }
    assert_eq!(sealer.next_sequence_number(), 0);
}

#[test]
fn a_length_read_with_the_old_keys_is_forgotten_with_them() {
    for suite in suites() {
        let (mut sealer, mut opener) = pair(suite);
        let mut long = seal(&mut sealer, &payload(5000));
        let begun = opener.open(&mut long[..100]);
        assert!(matches!(begun, Ok(Opened::Incomplete { at_least }) if at_least == long.len()));
        rekey(&mut sealer, &mut opener, suite, SequenceReset::Restart);
        let mut short = seal(&mut sealer, &payload(5));
        assert_eq!(open(&mut opener, &mut short).0, payload(5), "{suite:?}");
    }
}

#[test]
fn a_bomb_is_refused() {
    let mut bomb = vec![];
    crate::compression::Compressor::new()
        .compress(&vec![0; 64 << 20], &mut bomb, usize::MAX)
        .unwrap();
    assert!(bomb.len() < 128 * 1024);
    let (mut sealer, mut opener) = pair((CipherName::Aes256Gcm, None));
    opener.start_decompression();
    let mut packet = seal(&mut sealer, &bomb);
    assert_eq!(opener.open(&mut packet), Err(PacketOpenError::TooLarge));
}

#[test]
fn a_payload_that_is_not_compressed_is_refused_when_it_should_be() {
    let (mut sealer, mut opener) = pair((CipherName::Aes256Gcm, None));
    opener.start_decompression();
    let mut packet = seal(&mut sealer, b"plain words");
    assert_eq!(opener.open(&mut packet), Err(PacketOpenError::Decompress));
}

#[test]
fn arbitrary_bytes_never_panic_and_never_wait_for_more_than_the_largest_packet() {
    let mut state = 7_u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    for suite in suites() {
        for len in 0..200 {
            let (_, mut opener) = pair(suite);
            let mut input: Vec<u8> = (0..len).map(|_| random()).collect();
            // Half of the time a small length, so that the tag is reached.
            if len % 2 == 0 && len > 4 {
                input[..4].copy_from_slice(&[0, 0, 0, 32]);
            }
            match opener.open(&mut input) {
                Ok(Opened::Incomplete { at_least }) => {
                    assert!(at_least > len && at_least <= MAX_PACKET_LEN + 4 + 64);
                }
                Ok(packet) => panic!("{suite:?}: forged {packet:?}"),
                Err(_) => {}
            }
        }
    }
}
