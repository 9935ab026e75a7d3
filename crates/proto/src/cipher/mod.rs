//! The ciphers and MACs of the packet layer: their names, and the key material of one direction.
//!
//! The names and [`DirectionKeys`] are for the key exchange. The rooms below hold one family each;
//! `direction` chooses among them, and only [`crate::packet`] uses what it offers. Every primitive
//! comes from `aws-lc-rs`: here there is only the order in which SSH applies them.

mod aes_ctr;
mod aes_gcm;
mod chacha20_poly1305;
pub(crate) mod direction;
mod mac;

use std::fmt;
use std::ops::Range;

use zeroize::Zeroizing;

/// A cipher that may be negotiated for one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CipherName {
    /// `aes128-gcm@openssh.com` (RFC 5647).
    Aes128Gcm,
    /// `aes256-gcm@openssh.com` (RFC 5647).
    Aes256Gcm,
    /// `chacha20-poly1305@openssh.com` (OpenSSH, `PROTOCOL.chacha20poly1305`).
    ChaCha20Poly1305,
    /// `aes128-ctr` (RFC 4344 §4).
    Aes128Ctr,
    /// `aes192-ctr` (RFC 4344 §4).
    Aes192Ctr,
    /// `aes256-ctr` (RFC 4344 §4).
    Aes256Ctr,
}

impl CipherName {
    /// Every cipher, in the order that suits a processor with AES instructions.
    pub const ALL: &'static [CipherName] = &[
        CipherName::Aes256Gcm,
        CipherName::Aes128Gcm,
        CipherName::ChaCha20Poly1305,
        CipherName::Aes256Ctr,
        CipherName::Aes192Ctr,
        CipherName::Aes128Ctr,
    ];

    /// The name as it stands in `SSH_MSG_KEXINIT`.
    pub const fn as_str(self) -> &'static str {
        match self {
            CipherName::Aes128Gcm => "aes128-gcm@openssh.com",
            CipherName::Aes256Gcm => "aes256-gcm@openssh.com",
            CipherName::ChaCha20Poly1305 => "chacha20-poly1305@openssh.com",
            CipherName::Aes128Ctr => "aes128-ctr",
            CipherName::Aes192Ctr => "aes192-ctr",
            CipherName::Aes256Ctr => "aes256-ctr",
        }
    }

    /// The cipher with that name, if we have it.
    pub fn from_name(name: &str) -> Option<CipherName> {
        Self::ALL.iter().copied().find(|c| c.as_str() == name)
    }

    /// Bytes of key that the key exchange must derive.
    pub const fn key_len(self) -> usize {
        match self {
            CipherName::Aes128Gcm | CipherName::Aes128Ctr => 16,
            CipherName::Aes192Ctr => 24,
            CipherName::Aes256Gcm | CipherName::Aes256Ctr => 32,
            CipherName::ChaCha20Poly1305 => 64,
        }
    }

    /// Bytes of initialization vector that the key exchange must derive; zero for ChaCha20, whose
    /// nonce is the sequence number.
    pub const fn iv_len(self) -> usize {
        match self {
            CipherName::Aes128Gcm | CipherName::Aes256Gcm => 12,
            CipherName::ChaCha20Poly1305 => 0,
            CipherName::Aes128Ctr | CipherName::Aes192Ctr | CipherName::Aes256Ctr => 16,
        }
    }

    /// The multiple, in bytes, to which packets are padded.
    pub const fn block_size(self) -> usize {
        match self {
            CipherName::ChaCha20Poly1305 => 8,
            _ => 16,
        }
    }

    /// True if the cipher authenticates by itself, so that the negotiated MAC is ignored.
    pub const fn is_aead(self) -> bool {
        matches!(
            self,
            CipherName::Aes128Gcm | CipherName::Aes256Gcm | CipherName::ChaCha20Poly1305
        )
    }
}

impl fmt::Display for CipherName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message authentication code that may be negotiated beside a cipher that is not an AEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MacName {
    /// `hmac-sha2-256` (RFC 6668): over the plaintext.
    HmacSha256,
    /// `hmac-sha2-512` (RFC 6668): over the plaintext.
    HmacSha512,
    /// `hmac-sha2-256-etm@openssh.com`: over the ciphertext, the length in clear.
    HmacSha256Etm,
    /// `hmac-sha2-512-etm@openssh.com`: over the ciphertext, the length in clear.
    HmacSha512Etm,
    /// `hmac-sha1` (RFC 4253 §6.4): over the plaintext. What is broken of SHA-1 is not what HMAC needs of it; it is for old
    /// and small peers that have nothing else.
    HmacSha1,
}

impl MacName {
    /// Offer of a server unless it is told otherwise: old servers have to be reached, old clients can be renewed.
    pub const SERVER: &'static [MacName] = Self::ALL.split_at(4).0;

    /// Every MAC, the better constructions first.
    pub const ALL: &'static [MacName] = &[
        MacName::HmacSha256Etm,
        MacName::HmacSha512Etm,
        MacName::HmacSha256,
        MacName::HmacSha512,
        MacName::HmacSha1,
    ];

    /// The name as it stands in `SSH_MSG_KEXINIT`.
    pub const fn as_str(self) -> &'static str {
        match self {
            MacName::HmacSha1 => "hmac-sha1",
            MacName::HmacSha256 => "hmac-sha2-256",
            MacName::HmacSha512 => "hmac-sha2-512",
            MacName::HmacSha256Etm => "hmac-sha2-256-etm@openssh.com",
            MacName::HmacSha512Etm => "hmac-sha2-512-etm@openssh.com",
        }
    }

    /// The MAC with that name, if we have it.
    pub fn from_name(name: &str) -> Option<MacName> {
        Self::ALL.iter().copied().find(|m| m.as_str() == name)
    }

    /// Bytes of key that the key exchange must derive; a packet's tag is as long.
    pub const fn key_len(self) -> usize {
        match self {
            MacName::HmacSha1 => 20,
            MacName::HmacSha256 | MacName::HmacSha256Etm => 32,
            MacName::HmacSha512 | MacName::HmacSha512Etm => 64,
        }
    }

    /// True if the MAC is taken over the ciphertext (encrypt-then-MAC).
    pub const fn is_etm(self) -> bool {
        matches!(self, MacName::HmacSha256Etm | MacName::HmacSha512Etm)
    }
}

impl fmt::Display for MacName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Everything one direction needs, made by the key exchange (RFC 4253 §7.2); wiped when dropped.
pub struct DirectionKeys {
    /// The negotiated cipher.
    pub cipher: CipherName,
    /// The negotiated MAC; `None` if and only if the cipher is an AEAD.
    pub mac: Option<MacName>,
    /// [`CipherName::key_len`] bytes.
    pub key: Zeroizing<Vec<u8>>,
    /// [`CipherName::iv_len`] bytes.
    pub iv: Zeroizing<Vec<u8>>,
    /// [`MacName::key_len`] bytes, or none without a MAC.
    pub mac_key: Zeroizing<Vec<u8>>,
}

impl DirectionKeys {
    /// Checks that the material is what the names ask for.
    fn check(&self) -> Result<(), KeyMaterialError> {
        if self.cipher.is_aead() && self.mac.is_some() {
            return Err(KeyMaterialError::MacUnwanted(self.cipher));
        }
        if !self.cipher.is_aead() && self.mac.is_none() {
            return Err(KeyMaterialError::MacMissing(self.cipher));
        }
        let mac_key_len = self.mac.map_or(0, MacName::key_len);
        check_len("key", self.cipher.key_len(), &self.key)?;
        check_len("initialization vector", self.cipher.iv_len(), &self.iv)?;
        check_len("MAC key", mac_key_len, &self.mac_key)
    }
}

impl fmt::Debug for DirectionKeys {
    /// Names only: keys must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectionKeys")
            .field("cipher", &self.cipher)
            .field("mac", &self.mac)
            .finish_non_exhaustive()
    }
}

fn check_len(what: &'static str, expected: usize, given: &[u8]) -> Result<(), KeyMaterialError> {
    if given.len() == expected {
        return Ok(());
    }
    Err(KeyMaterialError::Length {
        what,
        expected,
        given: given.len(),
    })
}

/// Refusal to install keys: always a mistake of our own key exchange, never of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyMaterialError {
    /// A part has another length, in bytes, than its algorithm takes.
    Length {
        /// The part: key, IV or MAC key.
        what: &'static str,
        /// Length that the algorithm takes, in bytes.
        expected: usize,
        /// Length that was given, in bytes.
        given: usize,
    },
    /// The cipher needs a MAC beside it.
    MacMissing(CipherName),
    /// The cipher authenticates by itself and takes no MAC.
    MacUnwanted(CipherName),
    /// The cryptographic library refused the key.
    Refused(CipherName),
}

impl fmt::Display for KeyMaterialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyMaterialError::Length {
                what,
                expected,
                given,
            } => write!(f, "{what} has {given} bytes where {expected} are needed"),
            KeyMaterialError::MacMissing(cipher) => write!(f, "{cipher} needs a MAC beside it"),
            KeyMaterialError::MacUnwanted(cipher) => write!(f, "{cipher} takes no MAC beside it"),
            KeyMaterialError::Refused(cipher) => write!(f, "key refused by {cipher}"),
        }
    }
}

impl std::error::Error for KeyMaterialError {}

/// Length of the `packet_length` field, in bytes.
pub(crate) const LENGTH_LEN: usize = 4;

/// The least padding a packet may have, in bytes (RFC 4253 §6).
pub(crate) const MIN_PADDING: usize = 4;

/// Failure of a cipher with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CipherError {
    /// The tag does not belong to the packet.
    BadMac,
    /// The cryptographic library failed where it cannot.
    Failed,
}

/// A decrypted packet without its tag, whose authentication has succeeded.
///
/// Only the ciphers can make one, and only from it can a payload be taken: a packet that was
/// forged has no way up.
#[derive(Debug)]
pub(crate) struct Verified<'a>(&'a [u8]);

impl Verified<'_> {
    /// Range of the payload in the packet; `None` if the padding is shorter than allowed or longer than the packet.
    pub(crate) fn payload(&self) -> Option<Range<usize>> {
        let start = LENGTH_LEN + 1;
        let padding = usize::from(*self.0.get(LENGTH_LEN)?);
        let end = self.0.len().checked_sub(padding)?;
        (padding >= MIN_PADDING && end >= start).then_some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(cipher: CipherName, mac: Option<MacName>) -> DirectionKeys {
        DirectionKeys {
            cipher,
            mac,
            key: Zeroizing::new(vec![1; cipher.key_len()]),
            iv: Zeroizing::new(vec![2; cipher.iv_len()]),
            mac_key: Zeroizing::new(vec![3; mac.map_or(0, MacName::key_len)]),
        }
    }

    #[test]
    fn every_name_is_found_again_and_others_are_not() {
        for &cipher in CipherName::ALL {
            assert_eq!(CipherName::from_name(cipher.as_str()), Some(cipher));
        }
        for &mac in MacName::ALL {
            assert_eq!(MacName::from_name(mac.as_str()), Some(mac));
        }
        for other in ["", "none", "aes128-cbc", "AES128-CTR", "aes128-gcm"] {
            assert_eq!(CipherName::from_name(other), None);
        }
        assert_eq!(MacName::from_name("hmac-md5"), None);
    }

    #[test]
    fn key_material_of_the_wrong_shape_is_named() {
        use CipherName::{Aes128Ctr, Aes256Gcm};
        assert_eq!(keys(Aes256Gcm, None).check(), Ok(()));
        assert_eq!(
            keys(Aes256Gcm, Some(MacName::HmacSha256)).check(),
            Err(KeyMaterialError::MacUnwanted(Aes256Gcm))
        );
        assert_eq!(
            keys(Aes128Ctr, None).check(),
            Err(KeyMaterialError::MacMissing(Aes128Ctr))
        );
        let mut short = keys(Aes256Gcm, None);
        short.iv.pop();
        assert_eq!(
            short.check().unwrap_err().to_string(),
            "initialization vector has 11 bytes where 12 are needed"
        );
    }

    #[test]
    fn keys_do_not_show_in_debug_output() {
        let shown = format!("{:?}", keys(CipherName::Aes128Gcm, None));
        assert_eq!(shown, "DirectionKeys { cipher: Aes128Gcm, mac: None, .. }");
    }

    #[test]
    fn padding_outside_its_bounds_gives_no_payload() {
        let with_padding = |n: u8| Verified(&[0, 0, 0, 8, n, 1, 1, 1, 9, 9, 9, 9]).payload();
        assert_eq!(with_padding(4), Some(5..8));
        assert_eq!(with_padding(7), Some(5..5));
        assert_eq!(with_padding(3), None);
        assert_eq!(with_padding(8), None);
        assert_eq!(with_padding(255), None);
    }
}
