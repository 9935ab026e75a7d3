//! The secret that a key exchange gives to both sides, `K`.

use std::fmt;

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use super::hash;

/// `K`: what both sides know after the key exchange and nobody else. Wiped when dropped.
///
/// The algorithm decides how `K` enters the hashes: (EC)DH as an `mpint` (RFC 4253 §8, RFC 8731 §3.1),
/// the hybrid as a `string` of fixed length.
pub struct SharedSecret {
    encoding: Encoding,
    bytes: Zeroizing<Vec<u8>>,
}

#[derive(Clone, Copy)]
enum Encoding {
    Mpint,
    String,
}

impl SharedSecret {
    /// A secret that is a number, big-endian.
    pub(super) fn mpint(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self {
            encoding: Encoding::Mpint,
            bytes,
        }
    }

    /// A secret that is a byte string.
    pub(super) fn string(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self {
            encoding: Encoding::String,
            bytes,
        }
    }

    /// Feeds the encoded secret to a hash, without a copy that would have to be wiped.
    pub(super) fn feed(&self, context: &mut digest::Context) {
        self.parts(|part| context.update(part));
    }

    /// Hands out the encoding piece by piece.
    fn parts(&self, mut each: impl FnMut(&[u8])) {
        match self.encoding {
            Encoding::String => {
                each(&hash::length(self.bytes.len()));
                each(&self.bytes);
            }
            Encoding::Mpint => {
                let zeros = self.bytes.iter().take_while(|&&b| b == 0).count();
                let magnitude = &self.bytes[zeros..];
                // A set top bit would make the mpint negative (RFC 4251 §5).
                let sign: &[u8] = match magnitude.first() {
                    Some(0x80..) => &[0],
                    _ => &[],
                };
                each(&hash::length(sign.len() + magnitude.len()));
                each(sign);
                each(magnitude);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn to_wire(&self) -> Zeroizing<Vec<u8>> {
        let mut wire = Zeroizing::new(Vec::new());
        self.parts(|part| wire.extend_from_slice(part));
        wire
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Writer;

    #[test]
    fn number_is_encoded_as_the_writer_encodes_an_mpint() {
        for number in [
            &[][..],
            &[0, 0],
            &[1],
            &[0, 0, 0x7f, 1],
            &[0, 0x80],
            &[0x80, 0],
            &[0xff; 66],
        ] {
            let mut wire = Writer::new();
            wire.unsigned_mpint(number);
            let secret = SharedSecret::mpint(Zeroizing::new(number.to_vec()));
            assert_eq!(
                secret.to_wire().as_slice(),
                wire.as_slice(),
                "{number:02x?}"
            );
        }
    }

    #[test]
    fn debug_output_does_not_show_the_secret() {
        let secret = SharedSecret::mpint(Zeroizing::new(vec![42; 4]));
        assert_eq!(format!("{secret:?}"), "SharedSecret(secret)");
    }
}
