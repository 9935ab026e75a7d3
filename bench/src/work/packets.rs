//! Sealing a payload into a packet, and opening it again, in place.

use adit_proto::cipher::{CipherName, DirectionKeys, MacName};
use adit_proto::packet::{HEADER_LEN, Opened, Opener, Sealer, SequenceReset};
use zeroize::Zeroizing;

/// Both halves of one direction, and the packet between them.
#[derive(Debug)]
pub struct Packets {
    sealer: Sealer,
    opener: Opener,
    packet: Vec<u8>,
    payload_len: usize,
}

impl Packets {
    /// Packets with payloads of `payload_len` bytes.
    ///
    /// # Panics
    /// If the core refuses a key of the right shape.
    pub fn new(cipher: CipherName, payload_len: usize) -> Self {
        let (mut sealer, mut opener) = (Sealer::new(), Opener::new());
        let installed = sealer
            .install(keys(cipher), [7; 256], SequenceReset::Restart)
            .and_then(|()| opener.install(keys(cipher), SequenceReset::Restart));
        installed.expect("keys of the right shape");
        Self {
            packet: vec![0x5a; sealer.sealed_len(payload_len)],
            sealer,
            opener,
            payload_len,
        }
    }

    /// Seals the packet, whatever is in it.
    ///
    /// # Panics
    /// After 2^32 packets.
    pub fn seal(&mut self) {
        self.sealer
            .seal(&mut self.packet, self.payload_len)
            .expect("a packet of the right length");
    }

    /// Opens the packet that was sealed last, once.
    ///
    /// # Panics
    /// If it was opened already.
    pub fn open(&mut self) {
        let opened = self.opener.open(&mut self.packet);
        let Ok(Opened::Packet { body, .. }) = opened else {
            panic!("a packet that was sealed just now is opened: {opened:?}");
        };
        let start = body.as_slice(&self.packet).as_ptr();
        debug_assert_eq!(start, self.packet[HEADER_LEN..].as_ptr(), "in place");
        std::hint::black_box(start);
    }
}

fn keys(cipher: CipherName) -> DirectionKeys {
    let aead = matches!(
        cipher,
        CipherName::Aes128Gcm | CipherName::Aes256Gcm | CipherName::ChaCha20Poly1305
    );
    let mac = (!aead).then_some(MacName::HmacSha256Etm);
    DirectionKeys {
        cipher,
        mac,
        key: Zeroizing::new(vec![1; cipher.key_len()]),
        iv: Zeroizing::new(vec![2; cipher.iv_len()]),
        mac_key: Zeroizing::new(vec![3; mac.map_or(0, MacName::key_len)]),
    }
}
