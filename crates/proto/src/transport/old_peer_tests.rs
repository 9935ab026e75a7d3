//! Tests of one transport with a peer without strict key exchange, in both roles: our offer, its time, and the
//! algorithms that are chosen or refused.

use super::algorithms::WithoutStrictKex;
use super::*;
use crate::cipher::{CipherName, MacName};
use crate::message::kex::KexInit;
use crate::message::number;

const OLD: &str = "SSH-2.0-Old_1.0";
const SEED: [u8; 32] = [1; 32];
const CHACHA: &str = "chacha20-poly1305@openssh.com";
const ETM: &str = "hmac-sha2-256-etm@openssh.com";
const ROLES: [Side; 2] = [Side::Client, Side::Server];

fn transport(side: Side, peer: &str, algorithms: Algorithms) -> Transport {
    let config = TransportConfig {
        algorithms,
        rekey: RekeyLimit::default(),
        host_keys: vec![SigningKey::generate_ed25519().unwrap()],
    };
    let idents = ["SSH-2.0-adit_t", peer].map(str::to_owned);
    Transport::new(side, Arc::new(config), idents, SEED, Instant::now())
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(str::to_owned).collect()
}

/// KEXINIT of the peer.
fn theirs(ciphers: &str, macs: &str, strict: &[&str]) -> KexInit {
    let mut kex = names("curve25519-sha256");
    kex.extend(strict.iter().map(|&n| n.to_owned()));
    KexInit {
        kex_algorithms: kex,
        server_host_key_algorithms: names("ssh-ed25519"),
        encryption_client_to_server: names(ciphers),
        encryption_server_to_client: names(ciphers),
        mac_client_to_server: names(macs),
        mac_server_to_client: names(macs),
        compression_client_to_server: names("none"),
        compression_server_to_client: names("none"),
        ..KexInit::default()
    }
}

fn sent_init(transport: &mut Transport) -> Option<KexInit> {
    match transport.poll_transmit()? {
        Transmit::Packet(payload) if payload[0] == number::KEXINIT => {
            Some(KexInit::parse(&payload).unwrap())
        }
        other => panic!("{other:?} instead of KEXINIT"),
    }
}

/// Gives the peer's KEXINIT to a transport, and returns the algorithms, or the error.
fn agree(transport: &mut Transport, theirs: &KexInit) -> Result<String, String> {
    transport.count_packet();
    let taken = transport.recv_kex(&theirs.encode(), Instant::now());
    taken.map_err(|e| e.to_string())?;
    let agreed = match &transport.exchange {
        Exchange::AwaitReply(state) => state.negotiated(),
        Exchange::AwaitInit { negotiated, .. } => negotiated,
        other => panic!("{other:?}"),
    };
    assert_eq!(agreed.client_to_server, agreed.server_to_client);
    let chosen = agreed.client_to_server;
    let mac = chosen.mac.map_or("", MacName::as_str);
    Ok(format!("{} {mac}", chosen.cipher).trim_end().to_owned())
}

fn against(side: Side, algorithms: Algorithms, theirs: &KexInit) -> Result<String, String> {
    agree(&mut transport(side, OLD, algorithms), theirs)
}

#[test]
fn safe_pair_is_chosen_if_there_is_one_whatever_the_peer_prefers() {
    let all_macs = &format!("{ETM},hmac-sha2-256");
    let all_ciphers = &format!("{CHACHA},aes128-ctr,aes256-gcm@openssh.com");
    for (ciphers, macs, expected) in [
        (all_ciphers.as_str(), all_macs.as_str(), None),
        (
            &format!("{CHACHA},aes128-ctr"),
            all_macs,
            Some("aes128-ctr hmac-sha2-256"),
        ),
        ("aes256-ctr", all_macs, Some("aes256-ctr hmac-sha2-256")),
        (
            "aes256-gcm@openssh.com",
            ETM,
            Some("aes256-gcm@openssh.com"),
        ),
    ] {
        for side in ROLES {
            let got = against(side, Algorithms::default(), &theirs(ciphers, macs, &[])).unwrap();
            match expected {
                Some(expected) => assert_eq!(got, expected, "{side:?}"),
                // The client's order decides among the safe algorithms.
                None if side == Side::Client => assert_eq!(got, "aes256-gcm@openssh.com"),
                None => assert_eq!(got, "aes128-ctr hmac-sha2-256"),
            }
        }
    }
}

#[test]
fn openssh_7_5_connects_with_its_default_algorithms() {
    let ciphers = "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com";
    let macs = "umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha1-etm@openssh.com,umac-64@openssh.com,umac-128@openssh.com,hmac-sha2-256,hmac-sha2-512,hmac-sha1";
    for (side, expected) in [
        (Side::Client, "aes256-gcm@openssh.com"),
        (Side::Server, "aes128-ctr hmac-sha2-256"),
    ] {
        let mut transport = transport(side, "SSH-2.0-OpenSSH_7.5", Algorithms::default());
        let got = agree(&mut transport, &theirs(ciphers, macs, &[]));
        assert_eq!(got, Ok(expected.into()));
    }
}

#[test]
fn refusal_of_peer_without_safe_algorithms_names_those_that_would_work() {
    for side in ROLES {
        let why = against(
            side,
            Algorithms::default(),
            &theirs(CHACHA, "hmac-sha2-256", &[]),
        );
        assert_eq!(
            why.unwrap_err(),
            "the peer lacks strict key exchange, without which chacha20-poly1305@openssh.com is open to CVE-2023-48795 (Terrapin); \
             the peer would have to offer aes256-gcm@openssh.com, or aes256-ctr with hmac-sha2-256 (not -etm), or to be brought up to date; \
             the setting AllowTerrapin yes takes the risk"
        );
        let why = against(side, Algorithms::default(), &theirs("aes256-ctr", ETM, &[]));
        let why = why.unwrap_err();
        assert!(why.contains(&format!("aes256-ctr with {ETM} is")), "{why}");
        let only = Algorithms {
            macs: vec![MacName::HmacSha256Etm],
            ..Algorithms::default()
        };
        let macs = format!("hmac-sha2-256,{ETM}");
        let why = against(side, only, &theirs("aes256-ctr", &macs, &[])).unwrap_err();
        let way = "the peer has aes256-ctr with hmac-sha2-256: allow them with Ciphers and MACs";
        assert!(why.contains(way), "{why}");
    }
}

/// The other end then still has its ciphers that need no MAC.
#[test]
fn gcm_is_chosen_if_one_end_has_no_plain_mac() {
    let only_etm = || Algorithms {
        macs: vec![MacName::HmacSha256Etm],
        ..Algorithms::default()
    };
    let ciphers = format!("{CHACHA},aes256-ctr,aes128-gcm@openssh.com");
    let macs = format!("hmac-sha2-256,{ETM}");
    for side in ROLES {
        let gcm = Ok("aes128-gcm@openssh.com".into());
        assert_eq!(
            against(side, Algorithms::default(), &theirs(&ciphers, ETM, &[])),
            gcm
        );
        assert_eq!(
            against(side, only_etm(), &theirs(&ciphers, &macs, &[])),
            gcm
        );
        let ctr_first = Algorithms {
            ciphers: vec![CipherName::Aes256Ctr, CipherName::Aes128Gcm],
            ..only_etm()
        };
        assert_eq!(against(side, ctr_first, &theirs(&ciphers, &macs, &[])), gcm);
    }
}

#[test]
fn setting_permits_a_vulnerable_pair_only_if_there_is_no_safe_one() {
    for side in ROLES {
        let go_on = || Algorithms {
            without_strict_kex: WithoutStrictKex::GoOn,
            ..Algorithms::default()
        };
        let open = theirs(CHACHA, "hmac-sha2-256", &[]);
        assert_eq!(against(side, go_on(), &open), Ok(CHACHA.into()));
        let both = theirs(&format!("{CHACHA},aes128-ctr"), "hmac-sha2-256", &[]);
        let safe = "aes128-ctr hmac-sha2-256";
        assert_eq!(against(side, go_on(), &both), Ok(safe.into()));
    }
}

#[test]
fn peer_whose_kexinit_has_strict_key_exchange_is_offered_everything() {
    let both = [algorithms::STRICT_C, algorithms::STRICT_S];
    for side in ROLES {
        let mut transport = transport(side, OLD, Algorithms::default());
        let theirs = theirs(CHACHA, ETM, &both);
        assert_eq!(agree(&mut transport, &theirs), Ok(CHACHA.into()));
        let ours = sent_init(&mut transport).unwrap();
        let all = CipherName::ALL.len();
        assert_eq!(ours.encryption_client_to_server.len(), all);
    }
}

#[test]
fn kexinit_waits_only_for_peers_that_may_lack_strict_key_exchange() {
    for side in ROLES {
        for (peer, waits) in [
            ("SSH-2.0-adit_0.1", false),
            ("SSH-2.0-OpenSSH_9.9", false),
            (OLD, true),
        ] {
            let mut transport = transport(side, peer, Algorithms::default());
            assert_eq!(sent_init(&mut transport).is_none(), waits, "{peer}");
            assert_eq!(transport.next_timeout().is_some(), waits, "{peer}");
        }
    }
    let mut server = transport(Side::Server, "SSH-2.0-libssh_0.9.6", Algorithms::default());
    let ours = sent_init(&mut server).expect("it waits for ours");
    assert!(!ours.encryption_client_to_server.contains(&CHACHA.into()));
    // A libssh server speaks by itself, and is awaited like any other.
    let mut client = transport(Side::Client, "SSH-2.0-libssh_0.9.6", Algorithms::default());
    assert!(sent_init(&mut client).is_none() && client.next_timeout().is_some());
}

#[test]
fn peer_that_waits_for_our_kexinit_gets_a_safe_one_in_time() {
    for side in ROLES {
        let mut transport = transport(side, OLD, Algorithms::default());
        let due = transport.next_timeout().unwrap();
        transport.handle_timeout(due - Duration::from_millis(1));
        assert!(!transport.has_transmit());
        transport.handle_timeout(due);
        let ours = sent_init(&mut transport).unwrap();
        assert_eq!(transport.next_timeout(), None);
        // A client's order decides; a server's does not, so it must leave unsafe algorithms out.
        let last = ours.encryption_client_to_server.last().unwrap();
        assert_eq!(last == CHACHA, side == Side::Client);
        let old = theirs(&format!("{CHACHA},aes128-ctr"), "hmac-sha2-256", &[]);
        let safe = "aes128-ctr hmac-sha2-256";
        assert_eq!(agree(&mut transport, &old), Ok(safe.into()), "{side:?}");
    }
}

/// An attacker who makes the identification look newer gains nothing.
#[test]
fn kexinit_counts_more_than_a_newer_identification() {
    for side in ROLES {
        let mut transport = transport(side, "SSH-2.0-OpenSSH_9.9", Algorithms::default());
        let why = agree(&mut transport, &theirs(CHACHA, "hmac-sha2-256", &[]));
        assert!(why.unwrap_err().contains("CVE-2023-48795"));
    }
}
