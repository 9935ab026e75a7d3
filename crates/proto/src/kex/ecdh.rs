//! Elliptic curve Diffie-Hellman: X25519 (RFC 8731) and the NIST curves (RFC 5656 §4).

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::KexError;

/// A curve that a key exchange runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    X25519,
    Nistp256,
    Nistp384,
    Nistp521,
}

impl Curve {
    /// Bytes of a public value: a point without compression, or 32 bytes for X25519.
    pub(super) fn public_len(self) -> usize {
        match self {
            Curve::X25519 => 32,
            Curve::Nistp256 => 1 + 2 * 32,
            Curve::Nistp384 => 1 + 2 * 48,
            Curve::Nistp521 => 1 + 2 * 66,
        }
    }

    fn algorithm(self) -> &'static agreement::Algorithm {
        match self {
            Curve::X25519 => &agreement::X25519,
            Curve::Nistp256 => &agreement::ECDH_P256,
            Curve::Nistp384 => &agreement::ECDH_P384,
            Curve::Nistp521 => &agreement::ECDH_P521,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Curve::X25519 => "X25519",
            Curve::Nistp256 => "ECDH P-256",
            Curve::Nistp384 => "ECDH P-384",
            Curve::Nistp521 => "ECDH P-521",
        }
    }
}

/// Our ephemeral key pair of one exchange.
pub(super) struct EcdhKey {
    curve: Curve,
    private: PrivateKey,
    public: Vec<u8>,
}

impl EcdhKey {
    pub(super) fn generate(curve: Curve) -> Result<Self, KexError> {
        let private = PrivateKey::generate(curve.algorithm())
            .map_err(|_| KexError::Library("make an ephemeral key"))?;
        Self::new(curve, private)
    }

    fn new(curve: Curve, private: PrivateKey) -> Result<Self, KexError> {
        let public = private
            .compute_public_key()
            .map_err(|_| KexError::Library("compute an ephemeral public key"))?;
        Ok(Self {
            curve,
            private,
            public: public.as_ref().to_vec(),
        })
    }

    /// The public value for the peer.
    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    /// The public value for the peer, when the secret has done its work.
    pub(super) fn into_public(self) -> Vec<u8> {
        self.public
    }

    /// The raw shared secret with the peer's public value, which errors call `value`.
    pub(super) fn agree(
        &self,
        peer: &[u8],
        value: &'static str,
    ) -> Result<Zeroizing<Vec<u8>>, KexError> {
        let refused = KexError::Refused {
            value,
            by: self.curve.name(),
        };
        // The library would also take compressed points and X.509 encodings, which SSH does not send:
        // the length and the first byte leave only the one form that every SSH peer agrees on.
        if peer.len() != self.curve.public_len() {
            return Err(KexError::WrongLength {
                value,
                expected: self.curve.public_len(),
                actual: peer.len(),
            });
        }
        if self.curve != Curve::X25519 && peer[0] != 4 {
            return Err(refused);
        }
        // The library checks that a point is on its curve (RFC 5656 §4: "MUST be validated") and
        // fails when X25519 gives zero (RFC 8731 §3: "MUST abort").
        let peer = UnparsedPublicKey::new(self.curve.algorithm(), peer);
        agreement::agree(&self.private, peer, refused, |secret| {
            Ok(Zeroizing::new(secret.to_vec()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::vectors::{ALICE, ALICE_BOB_SHARED, ALICE_PUBLIC, BOB, BOB_PUBLIC, hex};
    use super::*;

    fn key(curve: Curve, private: &str) -> EcdhKey {
        let private = PrivateKey::from_private_key(curve.algorithm(), &hex(private)).unwrap();
        EcdhKey::new(curve, private).unwrap()
    }

    fn refusal(curve: Curve, peer: &[u8]) -> KexError {
        EcdhKey::generate(curve)
            .unwrap()
            .agree(peer, "Q_S")
            .unwrap_err()
    }

    #[test]
    fn x25519_matches_rfc_7748_section_6_1() {
        let (alice, bob) = (key(Curve::X25519, ALICE), key(Curve::X25519, BOB));
        assert_eq!(alice.public(), hex(ALICE_PUBLIC));
        assert_eq!(bob.public(), hex(BOB_PUBLIC));
        let shared = hex(ALICE_BOB_SHARED);
        assert_eq!(*alice.agree(bob.public(), "Q_S").unwrap(), shared);
        assert_eq!(*bob.agree(alice.public(), "Q_C").unwrap(), shared);
    }

    /// Made with Python `cryptography`: `derive_private_key`, `exchange`. The secret of P-521 has a
    /// leading zero byte, which belongs to the raw secret.
    #[test]
    fn nist_curves_match_an_independent_computation() {
        for (curve, private, peer, shared) in [
            (
                Curve::Nistp256,
                "570f605a4e7fdf3516b94b2e773e506082a4dd0a23b3d9025aaa62591296d347",
                "04f9f10e14857cc8bf2529bed2f8f0acb6b1112c989094b212c43b061f880db696b0c8f9c16113c35caeedb144eee5f0424a561a39350d8aa89e434974cdbd531e",
                "5c5fa3b75e277c229659012773df398320a893413c7d782906271a88cf973535",
            ),
            (
                Curve::Nistp384,
                "000000000000000000000000000000005075a7f7dda0722da70b7a561d78ebf6c2221d399126f1d8831359ea6f042ca0",
                "0405417b8933d3e40fed3c92fcb92a7e480e8b0006cfdf208b32574d86d91fb04e3be1637ee3b5d0c92538ea433aa853634084c7ca0ef33dfc9d98491564f87b2bfcf135df432616cd91cbb2459de2cc26c83d5ce00a4875926a28417ddb93e06f",
                "ed7858c5993e68b89063b73db3d2efb8ff9c585704bc3aab7d60833ebea6cf939046e840d0e4a4413c885030336b9b77",
            ),
            (
                Curve::Nistp521,
                "000000000000000000000000000000000000000000000000000000000000000000002bc579b609e20805604d980568c327909eeb731a15e61ed66559edf572be1943",
                "0401bc6491efcaf68d182c41c7a9efc76d24c9b981d39550fed193b506dcf4a574a90ea562625819afb94b57f6c1dd75ca2477b176b92f77177ef8b567a872e99b4eb500033b44b6ac89fb22bc50b1112462ae4eca837fbf1ba89331f021abbcca99cd00f4169c089cc258c3ecc3a5194f9b03839097bdd79b4ae346b0ba642739e3519f24",
                "00bd3cf46f6659a61c6c48d933f5c2dad65467cf8d14da216157eeb52cd98814f9c12f81d2427b529b47aaa18ba04867473fa28fe041fa03502c0deb028a6559802e",
            ),
        ] {
            let secret = key(curve, private).agree(&hex(peer), "Q_S").unwrap();
            assert_eq!(*secret, hex(shared), "{}", curve.name());
        }
    }

    #[test]
    fn x25519_of_small_order_is_refused() {
        // u = 0, u = 1, and the two points of order 8 that RFC 7748 §6.1 warns of.
        for u in [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        ] {
            let error = refusal(Curve::X25519, &hex(u));
            assert!(matches!(error, KexError::Refused { .. }), "{u}: {error}");
        }
    }

    #[test]
    fn points_off_the_curve_or_in_other_forms_are_refused() {
        for curve in [Curve::Nistp256, Curve::Nistp384, Curve::Nistp521] {
            let good = EcdhKey::generate(curve).unwrap().into_public();
            let mut off = good.clone();
            *off.last_mut().unwrap() ^= 1;
            let mut hybrid_form = good.clone();
            hybrid_form[0] = 6 | (good[good.len() - 1] & 1);
            let mut beyond_field = vec![0xff; good.len()];
            beyond_field[0] = 4;
            for bad in [off, hybrid_form, beyond_field] {
                let error = refusal(curve, &bad);
                assert!(matches!(error, KexError::Refused { .. }), "{error}");
            }
            let mut compressed = good[..1 + good.len() / 2].to_vec();
            compressed[0] = 2 | (good[good.len() - 1] & 1);
            for bad in [compressed, vec![0]] {
                let error = refusal(curve, &bad);
                assert!(matches!(error, KexError::WrongLength { .. }), "{error}");
            }
        }
    }

    #[test]
    fn point_of_another_curve_is_refused() {
        let other = EcdhKey::generate(Curve::Nistp384).unwrap().into_public();
        let error = refusal(Curve::Nistp256, &other);
        assert!(matches!(error, KexError::WrongLength { .. }), "{error}");
    }
}
