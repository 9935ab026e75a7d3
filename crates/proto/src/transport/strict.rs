//! Peers without strict key exchange: the wait for their KEXINIT, and the algorithms that are safe without it.
//! [`crate::peers`] knows which identification lines promise strict key exchange.
//!
//! Without strict key exchange, an attacker on the network can remove packets from the start of a connection unnoticed,
//! if the state of the cipher does not depend on all earlier packets: ChaCha20-Poly1305, and any encrypt-then-MAC
//! (CVE-2023-48795, Terrapin). AES-GCM counts its own packets, and a plain MAC covers a sequence number that the
//! removal would change: they need no strict key exchange. [ADR
//! 7](../../../../docs/adr/0007-peers-without-strict-kex.md) has the reasons for the wait.

use std::time::Duration;

use super::algorithms::{Algorithms, DirectionChoice, Negotiated};
use crate::Side;
use crate::cipher::{CipherName, MacName};
use crate::message::kex::KexInit;

/// Rule for a peer that lacks strict key exchange and shares no safe pair of cipher and MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WithoutStrictKex {
    /// The connection is refused.
    #[default]
    Refuse,
    /// The best algorithms of both ends are used, although they are vulnerable to CVE-2023-48795.
    GoOn,
}

/// Wait of a client for the server's KEXINIT, which follows the server's identification at once, mostly in the same
/// segment.
const CLIENT_PATIENCE: Duration = Duration::from_millis(100);
/// Wait of a server for the client's KEXINIT: one round trip, as the client reads our identification first.
const SERVER_PATIENCE: Duration = Duration::from_secs(1);

/// Wait for the KEXINIT of a peer whose identification does not show if it has strict key exchange.
pub(super) fn patience(side: Side) -> Duration {
    match side {
        Side::Client => CLIENT_PATIENCE,
        Side::Server => SERVER_PATIENCE,
    }
}

/// True for algorithms that are vulnerable to CVE-2023-48795 without strict key exchange.
pub(super) fn needs_strict_kex(choice: DirectionChoice) -> bool {
    !is_safe_cipher(choice.cipher) || !choice.mac.is_none_or(is_safe_mac)
}

/// True if the algorithms of either direction need strict key exchange.
pub(super) fn any_needs_strict_kex(negotiated: &Negotiated) -> bool {
    needs_strict_kex(negotiated.client_to_server) || needs_strict_kex(negotiated.server_to_client)
}

fn is_safe_cipher(cipher: CipherName) -> bool {
    cipher != CipherName::ChaCha20Poly1305
}

fn is_safe_mac(mac: MacName) -> bool {
    !mac.is_etm()
}

/// Part of an offer in which every pair is safe without strict key exchange; the whole offer if nothing would be left.
pub(super) fn only_safe(all: &Algorithms) -> Algorithms {
    let mut safe = all.clone();
    safe.ciphers.retain(|&c| is_safe_cipher(c));
    safe.macs.retain(|&m| is_safe_mac(m));
    match (safe.ciphers.is_empty(), safe.macs.is_empty()) {
        (true, _) => all.clone(),
        (false, true) => only_aead(all),
        (false, false) => safe,
    }
}

/// Ciphers that are safe with any MAC, together with all MACs; the whole offer if there are none. For two ends of which
/// one has encrypt-then-MAC only.
pub(super) fn only_aead(all: &Algorithms) -> Algorithms {
    let mut safe = all.clone();
    safe.ciphers.retain(|&c| is_safe_cipher(c) && c.is_aead());
    match safe.ciphers.is_empty() {
        true => all.clone(),
        false => safe,
    }
}

/// The same offer, safe algorithms first: the client's order decides, so a safe pair is chosen if there is one.
pub(super) fn safe_first(all: &Algorithms) -> Algorithms {
    let mut sorted = all.clone();
    sorted.ciphers.sort_by_key(|&c| !is_safe_cipher(c));
    sorted.macs.sort_by_key(|&m| !is_safe_mac(m));
    sorted
}

/// Text of the refusal: its cause, the algorithms that would work, and the setting that permits the connection.
pub(super) fn refusal(agreed: &Negotiated, theirs: &KexInit) -> String {
    let choices = [agreed.client_to_server, agreed.server_to_client];
    let cause = choices.into_iter().find(|&c| needs_strict_kex(c));
    let cause = cause.map(pair_in_words).unwrap_or_default();
    let remedy = match safe_pair_of(theirs) {
        Some((cipher, None)) => format!("the peer has {cipher}: allow it with Ciphers"),
        Some((cipher, Some(mac))) => {
            format!("the peer has {cipher} with {mac}: allow them with Ciphers and MACs")
        }
        None => {
            "the peer would have to offer aes256-gcm@openssh.com, or aes256-ctr with hmac-sha2-256 \
                 (not -etm), or to be brought up to date"
                .to_owned()
        }
    };
    format!(
        "the peer lacks strict key exchange, without which {cause} is open to CVE-2023-48795 (Terrapin); {remedy}; \
         the setting AllowTerrapin yes takes the risk"
    )
}

fn pair_in_words(choice: DirectionChoice) -> String {
    match choice.mac {
        Some(mac) => format!("{} with {mac}", choice.cipher),
        None => choice.cipher.to_string(),
    }
}

/// A safe pair that the peer offers and our lists leave out.
fn safe_pair_of(theirs: &KexInit) -> Option<(CipherName, Option<MacName>)> {
    let has = |lists: [&Vec<String>; 2], name: &str| {
        lists.iter().all(|list| list.iter().any(|n| n == name))
    };
    let ciphers = [
        &theirs.encryption_client_to_server,
        &theirs.encryption_server_to_client,
    ];
    let macs = [&theirs.mac_client_to_server, &theirs.mac_server_to_client];
    let mut safe_macs = MacName::ALL.iter().copied().filter(|&m| is_safe_mac(m));
    let mac = safe_macs.find(|mac| has(macs, mac.as_str()));
    let mut safe = CipherName::ALL.iter().filter(|&&c| is_safe_cipher(c));
    let cipher = safe.find(|c| has(ciphers, c.as_str()) && (c.is_aead() || mac.is_some()))?;
    Some((*cipher, mac.filter(|_| !cipher.is_aead())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safe_part_of_an_offer_has_no_vulnerable_pair() {
        let all = Algorithms::default();
        let safe = only_safe(&all);
        assert!(safe.ciphers.iter().all(|&c| is_safe_cipher(c)));
        assert!(safe.macs.iter().all(|&m| is_safe_mac(m)));
        let sorted = safe_first(&all);
        assert_eq!(sorted.ciphers.len(), all.ciphers.len());
        assert_eq!(sorted.ciphers.last(), Some(&CipherName::ChaCha20Poly1305));
        assert!(is_safe_mac(sorted.macs[0]) && sorted.macs.last().unwrap().is_etm());
        let only_etm = Algorithms {
            macs: vec![MacName::HmacSha256Etm],
            ..all.clone()
        };
        let safe = only_safe(&only_etm);
        assert!(
            safe.ciphers
                .iter()
                .all(|&c| is_safe_cipher(c) && c.is_aead())
        );
        let only_open = Algorithms {
            ciphers: vec![CipherName::ChaCha20Poly1305],
            ..all
        };
        assert_eq!(only_safe(&only_open).ciphers, only_open.ciphers);
    }
}
