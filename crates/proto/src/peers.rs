//! Peers by their identification line (RFC 4253 §4.2): one table of what each program can't do, or does better.
//!
//! A line that lies costs the peer no more than the treatment that would suit it: nothing here makes anything safe. What is
//! right towards everybody stands where it is done, not here.

use crate::channels::{PLAIN_PACKET_SIZE, PeerClose, WindowLimits};

/// The most data bytes of one channel packet between adit ends.
const ADIT_PACKET_SIZE: u32 = 64 << 10;

/// Traits of the program at the other end, as far as its identification tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// Limits of the receive windows that it is granted.
    pub windows: WindowLimits,
    /// The most data bytes of one channel packet that it is asked to send.
    pub max_packet: u32,
    /// Meaning of a CLOSE that no EOF came before.
    pub close_without_eof: PeerClose,
    /// Use of `keepalive@openssh.com` to measure the round trip, which sizes windows.
    pub round_trip_probes: RoundTripProbes,
    /// A client's request with a key before the server has answered `none`.
    pub key_ahead: KeyAhead,
    /// Strict key exchange.
    pub strict_kex: StrictKex,
    /// Turn of a client's first KEXINIT.
    pub kexinit_turn: KexInitTurn,
}

/// Use of probes of the round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundTripProbes {
    /// It answers them where an answer is legal.
    Sent,
    /// It may answer in the middle of a key exchange, as paramiko does: it is not asked, and windows keep their first size.
    Withheld,
}

/// The client's first key, asked about together with `none`, which saves a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAhead {
    /// It answers each of two requests, and counts no attempt that it needn't.
    AnyKey,
    /// It answers each; where it takes no keys at all, it counts the request as an attempt. So only a key that somebody
    /// named.
    NamedKey,
    /// It may drop the first of two requests for the second, as asyncssh does, against RFC 4252 §5.1.
    Never,
}

/// Strict key exchange, as the line lets us expect it; what counts is what the peer's KEXINIT announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrictKex {
    /// It has it.
    Expected,
    /// The line does not tell; the peer's KEXINIT will.
    Unknown,
}

/// The turn of the program's first KEXINIT where it is the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KexInitTurn {
    /// Right behind the identification.
    AtOnce,
    /// Behind the server's: a server that waits for it waits in vain.
    BehindServers,
}

/// A program of which nothing is known. Windows and packets are those that OpenSSH takes: nobody takes less.
const UNKNOWN: Traits = Traits {
    windows: WindowLimits::OPENSSH,
    max_packet: PLAIN_PACKET_SIZE,
    // Go's `Close`, asyncssh's `close`, ssh2's and JSch's send it so at the end of the data.
    close_without_eof: PeerClose::Orderly,
    round_trip_probes: RoundTripProbes::Withheld,
    key_ahead: KeyAhead::Never,
    strict_kex: StrictKex::Unknown,
    kexinit_turn: KexInitTurn::AtOnce,
};

const ADIT: Traits = Traits {
    windows: WindowLimits::GENEROUS,
    max_packet: ADIT_PACKET_SIZE,
    close_without_eof: PeerClose::Reset,
    round_trip_probes: RoundTripProbes::Sent,
    key_ahead: KeyAhead::AnyKey,
    ..UNKNOWN
};

const OPENSSH: Traits = Traits {
    round_trip_probes: RoundTripProbes::Sent,
    key_ahead: KeyAhead::NamedKey,
    ..UNKNOWN
};

const LIBSSH: Traits = Traits {
    kexinit_turn: KexInitTurn::BehindServers,
    ..UNKNOWN
};

/// One program, or one distribution's releases of it.
struct Peer {
    /// Text of the line behind `SSH-2.0-`, up to the number that `strict_kex_since` is compared with.
    software: &'static str,
    /// The first release with strict key exchange, or a later one where the first is in doubt.
    strict_kex_since: Version,
    /// Other facts about it.
    traits: Traits,
}

type Version = [u32; 3];

const NEVER: Version = [u32::MAX; 3];

/// The table; the first line that fits counts. Distributions brought strict key exchange to older releases of OpenSSH, so
/// their revisions stand before it.
#[rustfmt::skip]
const PEERS: [Peer; 18] = [
    Peer { software: "adit_",                          strict_kex_since: [0, 0, 0],     traits: ADIT },
    Peer { software: "OpenSSH_9.2p1 Debian-2+deb12u",  strict_kex_since: [2, 0, 0],     traits: OPENSSH },
    Peer { software: "OpenSSH_8.4p1 Debian-5+deb11u",  strict_kex_since: [4, 0, 0],     traits: OPENSSH },
    Peer { software: "OpenSSH_8.9p1 Ubuntu-3ubuntu0.", strict_kex_since: [7, 0, 0],     traits: OPENSSH },
    Peer { software: "OpenSSH_8.2p1 Ubuntu-4ubuntu0.", strict_kex_since: [12, 0, 0],    traits: OPENSSH },
    Peer { software: "OpenSSH_",                       strict_kex_since: [9, 6, 0],     traits: OPENSSH },
    Peer { software: "OpenSSH",                        strict_kex_since: NEVER,         traits: OPENSSH },
    Peer { software: "dropbear_",                      strict_kex_since: [2024, 84, 0], traits: UNKNOWN },
    Peer { software: "libssh_",                        strict_kex_since: [0, 10, 6],    traits: LIBSSH },
    Peer { software: "libssh2_",                       strict_kex_since: [1, 11, 1],    traits: UNKNOWN },
    Peer { software: "PuTTY_Release_",                 strict_kex_since: [0, 80, 0],    traits: UNKNOWN },
    Peer { software: "AsyncSSH_",                      strict_kex_since: [2, 14, 2],    traits: UNKNOWN },
    Peer { software: "paramiko_",                      strict_kex_since: [3, 4, 0],     traits: UNKNOWN },
    Peer { software: "russh_",                         strict_kex_since: [0, 40, 2],    traits: UNKNOWN },
    Peer { software: "ssh2js",                         strict_kex_since: [1, 15, 0],    traits: UNKNOWN },
    Peer { software: "JSCH_",                          strict_kex_since: [0, 2, 15],    traits: UNKNOWN },
    Peer { software: "Erlang/",                        strict_kex_since: [5, 1, 1],     traits: UNKNOWN },
    Peer { software: "WinSCP_release_",                strict_kex_since: [6, 2, 0],     traits: UNKNOWN },
];

impl Traits {
    /// Looks a peer up by its identification line, without the line end.
    pub fn identify(ident: &str) -> Traits {
        let software = ident.strip_prefix("SSH-2.0-").unwrap_or_default();
        let found = PEERS.iter().find_map(|peer| {
            let release = software.strip_prefix(peer.software)?;
            Some((peer, version(release)))
        });
        match found {
            Some((peer, release)) if release >= peer.strict_kex_since => Traits {
                strict_kex: StrictKex::Expected,
                ..peer.traits
            },
            Some((peer, _)) => peer.traits,
            None => UNKNOWN,
        }
    }
}

/// The numbers that a text begins with: `9.2p1` is 9.2.0.
fn version(text: &str) -> Version {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let mut version = [0; 3];
    for (part, digits) in version.iter_mut().zip(text[..end].split('.')) {
        *part = digits.parse().unwrap_or(0);
    }
    version
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts what the table says of releases without strict key exchange, and of others with it.
    fn assert_traits(expected: Traits, without: &[&str], with: &[&str]) {
        for (software, strict_kex) in [(without, StrictKex::Unknown), (with, StrictKex::Expected)] {
            for software in software {
                let expected = Traits {
                    strict_kex,
                    ..expected
                };
                let line = format!("SSH-2.0-{software}");
                assert_eq!(Traits::identify(&line), expected, "{software}");
            }
        }
    }

    #[test]
    fn adit_gets_large_windows_and_packets_and_means_a_reset_by_a_bare_close() {
        assert_traits(ADIT, &[], &["adit_0.1.0", "adit_", "adit_s"]);
        assert_eq!(ADIT.max_packet, 2 * PLAIN_PACKET_SIZE);
    }

    #[test]
    fn openssh_has_strict_key_exchange_since_9_6() {
        let without = ["OpenSSH_9.5p1", "OpenSSH_7.5", "OpenSSH_for_Windows_8.1"];
        let with = ["OpenSSH_9.6", "OpenSSH_10.0p2 Debian-5"];
        assert_traits(OPENSSH, &without, &with);
    }

    #[test]
    fn openssh_with_an_unusual_name_is_openssh_all_the_same() {
        assert_traits(OPENSSH, &["OpenSSH", "OpenSSH-99.9"], &[]);
    }

    #[test]
    fn openssh_of_debian_12_has_it_by_its_revision() {
        let without = ["OpenSSH_9.2p1 Debian-2", "OpenSSH_9.2p1 Debian-2+deb12u1"];
        let with = [
            "OpenSSH_9.2p1 Debian-2+deb12u2",
            "OpenSSH_9.2p1 Debian-2+deb12u10",
        ];
        assert_traits(OPENSSH, &without, &with);
    }

    #[test]
    fn openssh_of_debian_11_has_it_by_its_revision() {
        let line = |revision| format!("OpenSSH_8.4p1 Debian-5+deb11u{revision}");
        assert_traits(OPENSSH, &[&line(3)], &[&line(4)]);
    }

    #[test]
    fn openssh_of_ubuntu_22_04_has_it_by_its_revision() {
        let line = |revision| format!("OpenSSH_8.9p1 Ubuntu-3ubuntu0.{revision}");
        assert_traits(OPENSSH, &[&line(6)], &[&line(7), &line(10)]);
    }

    #[test]
    fn openssh_of_ubuntu_20_04_has_it_by_its_revision() {
        let line = |revision| format!("OpenSSH_8.2p1 Ubuntu-4ubuntu0.{revision}");
        assert_traits(OPENSSH, &[&line(11)], &[&line(12)]);
    }

    #[test]
    fn dropbear_has_it_since_2024_84() {
        assert_traits(UNKNOWN, &["dropbear_2022.83"], &["dropbear_2024.84"]);
    }

    #[test]
    fn libssh_has_it_since_0_10_6_and_its_clients_await_the_servers_kexinit() {
        assert_traits(
            LIBSSH,
            &["libssh_0.9.6"],
            &["libssh_0.10.6", "libssh_0.11.1"],
        );
        assert_eq!(LIBSSH.kexinit_turn, KexInitTurn::BehindServers);
    }

    #[test]
    fn libssh2_has_it_since_1_11_1_and_is_not_libssh() {
        assert_traits(UNKNOWN, &["libssh2_1.10.0"], &["libssh2_1.11.1"]);
    }

    #[test]
    fn putty_has_it_since_0_80() {
        assert_traits(UNKNOWN, &["PuTTY_Release_0.78"], &["PuTTY_Release_0.80"]);
    }

    #[test]
    fn asyncssh_has_it_since_2_14_2() {
        assert_traits(UNKNOWN, &["AsyncSSH_2.13.2"], &["AsyncSSH_2.14.2"]);
    }

    #[test]
    fn paramiko_has_it_since_3_4_and_is_not_probed() {
        assert_traits(UNKNOWN, &["paramiko_3.3.1"], &["paramiko_3.4.0"]);
        assert_eq!(UNKNOWN.round_trip_probes, RoundTripProbes::Withheld);
    }

    #[test]
    fn russh_has_it_since_0_40_2() {
        assert_traits(UNKNOWN, &["russh_0.40.1"], &["russh_0.40.2"]);
    }

    #[test]
    fn ssh2_of_node_has_it_since_1_15() {
        assert_traits(UNKNOWN, &["ssh2js1.14.0"], &["ssh2js1.15.0"]);
    }

    #[test]
    fn jsch_has_it_since_0_2_15() {
        assert_traits(UNKNOWN, &["JSCH_0.1.54"], &["JSCH_0.2.15"]);
    }

    #[test]
    fn erlang_has_it_since_5_1_1() {
        assert_traits(UNKNOWN, &["Erlang/4.15"], &["Erlang/5.1.1"]);
    }

    #[test]
    fn winscp_has_it_since_6_2() {
        assert_traits(UNKNOWN, &["WinSCP_release_6.1.2"], &["WinSCP_release_6.2"]);
    }

    #[test]
    fn others_and_senseless_versions_are_treated_as_unknown() {
        assert_traits(UNKNOWN, &["Go", ""], &[]);
        assert_traits(OPENSSH, &["OpenSSH_99999999999999999999"], &[]);
        assert_eq!(
            Traits::identify("SSH-1.99-OpenSSH_9.9"),
            UNKNOWN,
            "a protocol of two"
        );
        assert_eq!(Traits::identify(""), UNKNOWN);
    }
}
