//! Private keys: where they come from, and signing with them.

use std::fmt;

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::{self, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use super::{EcdsaCurve, KeyError, PublicKey, SignatureAlgorithm, rsa_crt, signature};

/// Bytes of an Ed25519 seed (RFC 8032 §5.1.5).
const SEED_LEN: usize = 32;

/// A private key that signs as a host or as a user.
///
/// The library wipes what it holds when the key is dropped; the Ed25519 seed is wiped here.
pub struct SigningKey {
    public: PublicKey,
    secret: Secret,
}

enum Secret {
    Ed25519 {
        pair: Ed25519KeyPair,
        seed: Box<Zeroizing<[u8; SEED_LEN]>>,
    },
    Ecdsa(EcdsaKeyPair),
    Rsa(rsa::KeyPair),
}

/// The numbers of an RSA private key as they stand in OpenSSH's key files: big-endian, leading zeros
/// allowed.
#[derive(Clone, Copy)]
pub struct RsaComponents<'a> {
    /// The modulus.
    pub n: &'a [u8],
    /// The public exponent.
    pub e: &'a [u8],
    /// The private exponent.
    pub d: &'a [u8],
    /// `q^-1 mod p`.
    pub iqmp: &'a [u8],
    /// The first prime.
    pub p: &'a [u8],
    /// The second prime.
    pub q: &'a [u8],
}

impl SigningKey {
    /// Makes a new Ed25519 key.
    pub fn generate_ed25519() -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; SEED_LEN]);
        rand::fill(seed.as_mut_slice())
            .map_err(|_| KeyError::Library("draw random bytes for a key"))?;
        Self::from_ed25519_seed(&seed)
    }

    /// The Ed25519 key of that seed (RFC 8032 §5.1.5), the first half of the private key in OpenSSH's
    /// files. The caller compares the second half with [`Self::public_key`].
    pub fn from_ed25519_seed(seed: &[u8; SEED_LEN]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|why| rejected("ssh-ed25519", why))?;
        Ok(Self {
            public: PublicKey::ed25519(pair.public_key().as_ref())?,
            secret: Secret::Ed25519 {
                pair,
                seed: Box::new(Zeroizing::new(*seed)),
            },
        })
    }

    /// The ECDSA key of a private scalar, big-endian, leading zeros optional, and its public point,
    /// uncompressed. The two must belong together.
    pub fn from_ecdsa(
        curve: EcdsaCurve,
        private: &[u8],
        public_point: &[u8],
    ) -> Result<Self, KeyError> {
        let public = PublicKey::ecdsa(curve, public_point)?;
        let what = public.key_type().as_str();
        let private = signature::left_padded(without_zeros(private), curve.scalar_len())
            .map(Zeroizing::new)
            .ok_or(KeyError::BadPrivateKey {
                what,
                why: "it is longer than its curve allows",
            })?;
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), &private, public_point)
                .map_err(|why| rejected(what, why))?;
        Ok(Self {
            public,
            secret: Secret::Ecdsa(pair),
        })
    }

    /// The RSA key of those numbers, which must belong together; 2048 to 8192 bits.
    pub fn from_rsa(components: &RsaComponents<'_>) -> Result<Self, KeyError> {
        let public = PublicKey::rsa(components.e, components.n)?;
        let inconsistent = KeyError::BadPrivateKey {
            what: "ssh-rsa",
            why: "its numbers do not belong together",
        };
        let [n, e, d, p, q, iqmp] = [
            components.n,
            components.e,
            components.d,
            components.p,
            components.q,
            components.iqmp,
        ]
        .map(without_zeros);
        // Bounds the work on numbers that a file merely claims to belong to this modulus.
        if [d, p, q, iqmp].iter().any(|part| part.len() > n.len()) {
            return Err(inconsistent);
        }
        let (Some(d_p), Some(d_q)) = (rsa_crt::exponent(d, p), rsa_crt::exponent(d, q)) else {
            return Err(inconsistent);
        };
        let pair = rsa::KeyPair::from_components(&KeyPairComponents {
            public_key: PublicKeyComponents { n, e },
            d,
            p,
            q,
            dP: d_p.as_slice(),
            dQ: d_q.as_slice(),
            qInv: iqmp,
        })
        .map_err(|why| rejected("ssh-rsa", why))?;
        Ok(Self {
            public,
            secret: Secret::Rsa(pair),
        })
    }

    /// The key in an unencrypted PKCS#8 document (PEM label `PRIVATE KEY`), of any of our types.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            return Self::from_ed25519_pair(&pair);
        }
        for curve in EcdsaCurve::ALL {
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(curve.signing(), der) {
                return Self::from_ecdsa_pair(curve, pair);
            }
        }
        let pair = rsa::KeyPair::from_pkcs8(der).map_err(|why| rejected("PKCS#8", why))?;
        Self::from_rsa_pair(pair)
    }

    /// The RSA key in a PKCS#1 document (PEM label `RSA PRIVATE KEY`, RFC 8017 §A.1.2).
    pub fn from_pkcs1_der(der: &[u8]) -> Result<Self, KeyError> {
        let pair = rsa::KeyPair::from_der(der).map_err(|why| rejected("PKCS#1 RSA", why))?;
        Self::from_rsa_pair(pair)
    }

    /// The ECDSA key in a SEC 1 document (PEM label `EC PRIVATE KEY`, RFC 5915).
    pub fn from_sec1_der(der: &[u8]) -> Result<Self, KeyError> {
        EcdsaCurve::ALL
            .into_iter()
            .find_map(|curve| {
                let pair = EcdsaKeyPair::from_private_key_der(curve.signing(), der).ok()?;
                Some(Self::from_ecdsa_pair(curve, pair))
            })
            .unwrap_or(Err(KeyError::BadPrivateKey {
                what: "SEC 1",
                why: "it is not well formed, or of another curve than P-256, P-384 and P-521",
            }))
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The algorithms that this key signs with, most preferred first.
    pub fn algorithms(&self) -> &'static [SignatureAlgorithm] {
        self.public.key_type().algorithms()
    }

    /// Signs `message`; gives the signature blob: `string` algorithm, `string` signature.
    pub fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        if algorithm.key_type() != self.public.key_type() {
            return Err(self.public.mismatch(algorithm));
        }
        let failed = |_| KeyError::Library("sign");
        let signature = match &self.secret {
            Secret::Ed25519 { pair, .. } => {
                pair.try_sign(message).map_err(failed)?.as_ref().to_vec()
            }
            Secret::Ecdsa(pair) => {
                let halves = pair.sign(&SystemRandom::new(), message).map_err(failed)?;
                signature::ecdsa_to_mpints(halves.as_ref())
            }
            Secret::Rsa(pair) => {
                let padding = algorithm
                    .rsa_signing()
                    .ok_or_else(|| self.public.mismatch(algorithm))?;
                let mut number = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), message, &mut number)
                    .map_err(failed)?;
                number
            }
        };
        Ok(signature::blob(algorithm, &signature))
    }

    /// The seed of an Ed25519 key, to write it to a file; nothing for other keys.
    pub fn ed25519_seed(&self) -> Option<Zeroizing<[u8; SEED_LEN]>> {
        match &self.secret {
            Secret::Ed25519 { seed, .. } => Some((**seed).clone()),
            Secret::Ecdsa(_) | Secret::Rsa(_) => None,
        }
    }

    fn from_ed25519_pair(pair: &Ed25519KeyPair) -> Result<Self, KeyError> {
        let failed = KeyError::Library("take the seed of an Ed25519 key");
        let seed = pair.seed().and_then(|seed| seed.as_be_bytes());
        let seed = seed.map_err(|_| failed.clone())?;
        let seed = seed.as_ref().try_into().map_err(|_| failed)?;
        Self::from_ed25519_seed(seed)
    }

    fn from_ecdsa_pair(curve: EcdsaCurve, pair: EcdsaKeyPair) -> Result<Self, KeyError> {
        Ok(Self {
            public: PublicKey::ecdsa(curve, pair.public_key().as_ref())?,
            secret: Secret::Ecdsa(pair),
        })
    }

    fn from_rsa_pair(pair: rsa::KeyPair) -> Result<Self, KeyError> {
        let public = pair.public_key();
        let (e, n) = (public.exponent(), public.modulus());
        Ok(Self {
            public: PublicKey::rsa(
                e.big_endian_without_leading_zero(),
                n.big_endian_without_leading_zero(),
            )?,
            secret: Secret::Rsa(pair),
        })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.public)
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&b| b == 0).count();
    &number[zeros..]
}

/// The library's reason in words.
fn rejected(what: &'static str, why: KeyRejected) -> KeyError {
    let why = match why.description_() {
        "TooSmall" => "RSA keys under 2048 bits are refused",
        "TooLarge" => "RSA keys over 8192 bits are refused",
        "InconsistentComponents" => "its numbers do not belong together",
        _ => "it is not well formed, or of a type that is not supported",
    };
    KeyError::BadPrivateKey { what, why }
}

#[cfg(test)]
mod tests {
    use super::super::KeyType;
    use super::super::fixtures::{
        FIXTURES, P256_SEC1, RSA_SHA256_SIGNATURE, SIGNED, SMALL_RSA_PKCS8, b64,
    };
    use super::*;
    use crate::kex::vectors::hex;

    /// The numbers of an RSAPrivateKey (RFC 8017 §A.1.2), version first. Enough of DER for a fixture.
    fn der_integers(der: &[u8]) -> Vec<Vec<u8>> {
        let mut rest = &der[4..];
        let mut numbers = Vec::new();
        while let [2, len, tail @ ..] = rest {
            let (len, tail) = match len {
                0x82 => (
                    256 * usize::from(tail[0]) + usize::from(tail[1]),
                    &tail[2..],
                ),
                0x81 => (usize::from(tail[0]), &tail[1..]),
                short => (usize::from(*short), tail),
            };
            numbers.push(tail[..len].to_vec());
            rest = &tail[len..];
        }
        assert!(rest.is_empty());
        numbers
    }

    /// RSAPrivateKey of the RSA fixture: what PKCS#8 wraps in 26 bytes.
    fn pkcs1() -> Vec<u8> {
        b64(FIXTURES[4].pkcs8)[26..].to_vec()
    }

    fn rsa_from(numbers: &[Vec<u8>]) -> Result<SigningKey, KeyError> {
        SigningKey::from_rsa(&RsaComponents {
            n: &numbers[1],
            e: &numbers[2],
            d: &numbers[3],
            p: &numbers[4],
            q: &numbers[5],
            iqmp: &numbers[8],
        })
    }

    #[test]
    fn ed25519_signs_as_rfc_8032_test_3_says() {
        let seed = hex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7");
        let key = SigningKey::from_ed25519_seed(seed.as_slice().try_into().unwrap()).unwrap();
        let public = hex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
        assert_eq!(key.public_key(), &PublicKey::ed25519(&public).unwrap());
        let signature = hex(
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        );
        assert_eq!(
            key.sign(SignatureAlgorithm::Ed25519, &hex("af82")).unwrap(),
            signature::blob(SignatureAlgorithm::Ed25519, &signature)
        );
        assert_eq!(key.ed25519_seed().unwrap().as_slice(), seed);
    }

    #[test]
    fn every_pkcs8_key_has_its_public_half_and_signs() {
        for fixture in FIXTURES {
            let key = SigningKey::from_pkcs8_der(&b64(fixture.pkcs8)).unwrap();
            assert_eq!(key.public_key().blob(), b64(fixture.blob));
            assert_eq!(key.algorithms(), fixture.key_type.algorithms());
            assert!(key.algorithms().contains(&fixture.algorithm));
            for &algorithm in key.algorithms() {
                // Lengths of r and s vary; several signatures meet the short ones too.
                for message in 0..40u8 {
                    let signature = key.sign(algorithm, &[message]).unwrap();
                    let verified = key.public_key().verify(algorithm, &[message], &signature);
                    assert_eq!(verified, Ok(()), "{algorithm}");
                }
            }
        }
    }

    #[test]
    fn deterministic_signatures_equal_those_of_openssh() {
        for fixture in [&FIXTURES[0], &FIXTURES[4]] {
            let key = SigningKey::from_pkcs8_der(&b64(fixture.pkcs8)).unwrap();
            let signature = key.sign(fixture.algorithm, &b64(SIGNED)).unwrap();
            assert_eq!(signature, b64(fixture.signature), "{}", fixture.algorithm);
        }
        let key = SigningKey::from_pkcs1_der(&pkcs1()).unwrap();
        let signature = key.sign(SignatureAlgorithm::RsaSha256, &b64(SIGNED));
        assert_eq!(signature, Ok(b64(RSA_SHA256_SIGNATURE)));
    }

    #[test]
    fn rsa_from_numbers_signs_like_rsa_from_der() {
        let key = rsa_from(&der_integers(&pkcs1())).unwrap();
        assert_eq!(key.public_key().blob(), b64(FIXTURES[4].blob));
        let signature = key.sign(SignatureAlgorithm::RsaSha512, &b64(SIGNED));
        assert_eq!(signature, Ok(b64(FIXTURES[4].signature)));
    }

    #[test]
    fn crt_exponents_equal_those_of_openssl() {
        let numbers = der_integers(&pkcs1());
        let [d, p, q, d_p, d_q] = [3, 4, 5, 6, 7].map(|i| &numbers[i][..]);
        for (prime, exponent) in [(p, d_p), (q, d_q)] {
            let ours = rsa_crt::exponent(d, without_zeros(prime)).unwrap();
            assert_eq!(without_zeros(&ours), without_zeros(exponent));
        }
    }

    #[test]
    fn rsa_numbers_that_do_not_belong_together_are_refused() {
        let good = der_integers(&pkcs1());
        for i in [3, 4, 5, 8] {
            let len = good[i].len();
            let (mut changed, mut long) = (good.clone(), good.clone());
            changed[i][len / 2] ^= 4;
            long[i] = vec![1; 100_000];
            let (mut none, mut one) = (good.clone(), good.clone());
            none[i].clear();
            one[i] = vec![1];
            for bad in [changed, long, none, one] {
                let error = rsa_from(&bad).unwrap_err();
                assert!(matches!(error, KeyError::BadPrivateKey { .. }), "{error}");
            }
        }
    }

    #[test]
    fn small_rsa_key_is_refused_with_the_reason() {
        let pkcs8 = b64(SMALL_RSA_PKCS8);
        let expected = "private key: RSA keys under 2048 bits are refused";
        for error in [
            SigningKey::from_pkcs8_der(&pkcs8).unwrap_err(),
            SigningKey::from_pkcs1_der(&pkcs8[26..]).unwrap_err(),
        ] {
            assert!(error.to_string().ends_with(expected), "{error}");
        }
        let error = rsa_from(&der_integers(&pkcs8[26..])).unwrap_err();
        assert_eq!(error, KeyError::RsaSize { bits: 1024 });
    }

    #[test]
    fn ecdsa_scalar_and_point_must_belong_together() {
        for fixture in &FIXTURES[1..4] {
            let KeyType::Ecdsa(curve) = fixture.key_type else {
                panic!("not ECDSA")
            };
            let len = curve.scalar_len();
            let blob = b64(fixture.blob);
            let point = &blob[blob.len() - 1 - 2 * len..];
            // ECPrivateKey in PKCS#8 ends: scalar, then 4 to 6 bytes of tags, then the point.
            let pkcs8 = b64(fixture.pkcs8);
            let tags = if len < 62 { 5 } else { 7 };
            let at = pkcs8.len() - point.len() - tags - len;
            let scalar = &pkcs8[at..at + len];

            let key = SigningKey::from_ecdsa(curve, scalar, point).unwrap();
            assert_eq!(key.public_key().blob(), blob);
            let signature = key.sign(fixture.algorithm, b"message").unwrap();
            let verified = key
                .public_key()
                .verify(fixture.algorithm, b"message", &signature);
            assert_eq!(verified, Ok(()));
            // As an mpint with a sign byte, and without its leading zeros.
            let mpint = [&[0], scalar].concat();
            assert!(SigningKey::from_ecdsa(curve, &mpint, point).is_ok());
            assert!(SigningKey::from_ecdsa(curve, without_zeros(scalar), point).is_ok());

            let mut other = scalar.to_vec();
            other[len - 1] ^= 1;
            let above_order = vec![0xff; len];
            let too_long = vec![1; len + 1];
            for bad in [&other[..], &above_order, &too_long, &[0], &[]] {
                let error = SigningKey::from_ecdsa(curve, bad, point).unwrap_err();
                assert!(matches!(error, KeyError::BadPrivateKey { .. }), "{error}");
            }
            let mut off = point.to_vec();
            off[len] ^= 1;
            let error = SigningKey::from_ecdsa(curve, scalar, &off).unwrap_err();
            assert!(matches!(error, KeyError::BadPublicKey { .. }), "{error}");
        }
    }

    #[test]
    fn sec1_document_is_read() {
        let key = SigningKey::from_sec1_der(&b64(P256_SEC1)).unwrap();
        assert_eq!(key.public_key().blob(), b64(FIXTURES[1].blob));
    }

    #[test]
    fn cut_or_empty_documents_are_refused() {
        for fixture in FIXTURES {
            let der = b64(fixture.pkcs8);
            for n in [0, 1, 10, der.len() / 2, der.len() - 1] {
                let error = SigningKey::from_pkcs8_der(&der[..n]).unwrap_err();
                assert!(matches!(error, KeyError::BadPrivateKey { .. }), "{error}");
            }
        }
        for der in [&[][..], &pkcs1()[..600], b"-----BEGIN"] {
            assert!(SigningKey::from_pkcs1_der(der).is_err());
            assert!(SigningKey::from_sec1_der(der).is_err());
        }
    }

    #[test]
    fn generated_keys_differ_and_come_back_from_their_seeds() {
        let key = SigningKey::generate_ed25519().unwrap();
        let other = SigningKey::generate_ed25519().unwrap();
        assert_ne!(key.public_key(), other.public_key());
        let again = SigningKey::from_ed25519_seed(&key.ed25519_seed().unwrap()).unwrap();
        assert_eq!(key.public_key(), again.public_key());
        let read = SigningKey::from_pkcs8_der(&b64(FIXTURES[0].pkcs8)).unwrap();
        assert_eq!(
            read.ed25519_seed().unwrap()[..],
            b64(FIXTURES[0].pkcs8)[16..]
        );
    }

    #[test]
    fn key_does_not_sign_with_the_algorithm_of_another() {
        let key = SigningKey::generate_ed25519().unwrap();
        assert_eq!(
            key.sign(SignatureAlgorithm::RsaSha512, b""),
            Err(KeyError::AlgorithmMismatch {
                key_type: KeyType::Ed25519,
                algorithm: SignatureAlgorithm::RsaSha512
            })
        );
        assert!(key.ed25519_seed().is_some());
    }

    #[test]
    fn debug_output_shows_the_public_half_only() {
        let key = SigningKey::from_pkcs8_der(&b64(FIXTURES[0].pkcs8)).unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!(
                "SigningKey(PublicKey(ssh-ed25519 {}))",
                FIXTURES[0].fingerprint
            )
        );
    }
}
