//! The packet layer: arbitrary bytes from the wire, and what was sealed comes out, changed on its way or not.

use adit_proto::cipher::{CipherName, DirectionKeys, MacName};
use adit_proto::packet::{MAX_PAYLOAD_LEN, Opened, Opener, PacketOpenError, Sealer, SequenceReset};
use arbitrary::{Result, Unstructured};

/// A stream of arbitrary bytes into an opener, and payloads through a sealer into an opener.
pub fn packets(data: &[u8]) {
    // Too few bytes are a short program, not a failure.
    let _ = run(&mut Unstructured::new(data));
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let keys = Keys::arbitrary(u)?;
    match u.int_in_range(0..=2)? {
        0 => arbitrary_stream(keys.opener(), u),
        1 => round_trip(&keys, u),
        _ => compressed_garbage(u),
    }
}

struct Keys {
    cipher: Option<CipherName>,
    mac: MacName,
    compresses: bool,
}

impl Keys {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let ciphers = CipherName::ALL;
        Ok(Self {
            cipher: ciphers.get(u.choose_index(ciphers.len() + 1)?).copied(),
            mac: *u.choose(MacName::ALL)?,
            compresses: u.arbitrary()?,
        })
    }

    fn direction(&self, cipher: CipherName) -> DirectionKeys {
        let mac = (!cipher.is_aead()).then_some(self.mac);
        DirectionKeys {
            cipher,
            mac,
            key: vec![1; cipher.key_len()].into(),
            iv: vec![2; cipher.iv_len()].into(),
            mac_key: vec![3; mac.map_or(0, MacName::key_len)].into(),
        }
    }

    fn opener(&self) -> Opener {
        let mut opener = Opener::new();
        if let Some(cipher) = self.cipher {
            let keys = self.direction(cipher);
            opener.install(keys, SequenceReset::Restart).unwrap();
        }
        if self.compresses {
            opener.start_decompression();
        }
        opener
    }

    fn sealer(&self) -> Sealer {
        let mut sealer = Sealer::new();
        if let Some(cipher) = self.cipher {
            let keys = self.direction(cipher);
            sealer
                .install(keys, [4; 256], SequenceReset::Restart)
                .unwrap();
        }
        if self.compresses {
            sealer.start_compression();
        }
        sealer
    }
}

/// Pieces of arbitrary bytes, as they would come from a socket.
fn arbitrary_stream(mut opener: Opener, u: &mut Unstructured<'_>) -> Result<()> {
    let mut input = Vec::new();
    while !u.is_empty() {
        let piece = u.int_in_range(1..=4096)?;
        input.extend_from_slice(u.bytes(piece.min(u.len()))?);
        loop {
            match opener.open(&mut input) {
                Ok(Opened::Incomplete { at_least }) => {
                    assert!(at_least > input.len(), "waits for what is there");
                    break;
                }
                Ok(Opened::Packet { body, consumed, .. }) => {
                    assert!(body.as_slice(&input).len() <= MAX_PAYLOAD_LEN);
                    assert!((1..=input.len()).contains(&consumed));
                    input.drain(..consumed);
                }
                Err(error) => {
                    assert_eq!(opener.open(&mut input), Err(error), "errors are final");
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

fn round_trip(keys: &Keys, u: &mut Unstructured<'_>) -> Result<()> {
    let (mut sealer, mut opener) = (keys.sealer(), keys.opener());
    while !u.is_empty() {
        let flip: Option<(u16, u8)> = u.arbitrary()?;
        let len = u.int_in_range(1..=2000)?;
        let payload = u.bytes(len.min(u.len()))?;
        let mut packet = Vec::new();
        sealer.seal_message(payload, &mut packet).unwrap();
        if !keys.compresses {
            assert_eq!(packet.len(), sealer.sealed_len(payload.len()));
        }
        if let Some((at, bit)) = flip
            && keys.cipher.is_some()
        {
            let at = usize::from(at) % packet.len();
            packet[at] ^= 1 << (bit % 8);
            return refuses(&mut opener, &mut packet);
        }
        let Ok(Opened::Packet { body, consumed, .. }) = opener.open(&mut packet) else {
            panic!("what was sealed does not open");
        };
        assert_eq!(body.as_slice(&packet), payload);
        assert_eq!(consumed, packet.len());
    }
    Ok(())
}

/// A changed packet is never taken for a packet; a changed length may make it seem incomplete.
fn refuses(opener: &mut Opener, packet: &mut [u8]) -> Result<()> {
    match opener.open(packet) {
        Ok(Opened::Incomplete { at_least }) => assert!(at_least > packet.len()),
        Err(PacketOpenError::BadMac | PacketOpenError::BadLength(_)) => {}
        other => panic!("{other:?} from a packet that was changed"),
    }
    Ok(())
}

/// Payloads in well-formed packets that are no zlib stream, or one that inflates to far more than it is.
fn compressed_garbage(u: &mut Unstructured<'_>) -> Result<()> {
    let (mut sealer, mut opener) = (Sealer::new(), Opener::new());
    opener.start_decompression();
    while !u.is_empty() {
        let len = u.int_in_range(1..=4096)?;
        let mut packet = Vec::new();
        let payload = u.bytes(len.min(u.len()))?;
        sealer.seal_message(payload, &mut packet).unwrap();
        match opener.open(&mut packet) {
            Ok(Opened::Packet { body, .. }) => {
                assert!(body.as_slice(&packet).len() <= MAX_PAYLOAD_LEN);
            }
            Ok(Opened::Incomplete { .. }) => panic!("all of it is there"),
            Err(PacketOpenError::Decompress | PacketOpenError::TooLarge) => return Ok(()),
            Err(error) => panic!("{error}"),
        }
    }
    Ok(())
}
