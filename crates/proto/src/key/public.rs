//! Public keys: reading their blobs, naming them, verifying with them.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{ED25519, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::{EcdsaCurve, KeyError, KeyType, SignatureAlgorithm, signature};
use crate::wire::{Reader, WireError, Writer};

/// Bits of an RSA modulus that we accept. Below, a key can be broken; above, verifying costs too much.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// The longest RSA public exponent that the library takes, in bits.
const RSA_EXPONENT_BITS: usize = 33;

/// A host's or a user's public key (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4).
///
/// Two keys are equal if their blobs are: every number has one encoding only.
#[derive(Clone)]
pub struct PublicKey {
    key_type: KeyType,
    blob: Vec<u8>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Ed25519(ParsedPublicKey),
    Ecdsa(EcdsaCurve, ParsedPublicKey),
    Rsa(PublicKeyComponents<Vec<u8>>),
}

impl PublicKey {
    /// Reads a key blob, which must be complete and the key usable: a point on its curve, an RSA
    /// modulus of 2048 to 8192 bits.
    ///
    /// Certificates and keys on security tokens have other types and are refused as such.
    pub fn parse(blob: &[u8]) -> Result<Self, KeyError> {
        let mut r = Reader::new(blob);
        let name = r.text("key type").map_err(malformed)?;
        let key_type = KeyType::from_name(name)
            .ok_or_else(|| KeyError::UnknownKeyType(KeyError::shown(name)))?;
        let material = match key_type {
            KeyType::Ed25519 => parse_ed25519(&mut r)?,
            KeyType::Ecdsa(curve) => parse_ecdsa(&mut r, curve)?,
            KeyType::Rsa => parse_rsa(&mut r)?,
        };
        r.finish().map_err(malformed)?;
        Ok(Self {
            key_type,
            blob: blob.to_vec(),
            material,
        })
    }

    /// The key as it stands on the wire and, in base64, in key files.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The type; its name is the first string of the blob.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The fingerprint as OpenSSH prints it: `SHA256:` and base64 without padding.
    pub fn fingerprint_sha256(&self) -> String {
        let hash = digest::digest(&digest::SHA256, &self.blob);
        format!("SHA256:{}", STANDARD_NO_PAD.encode(hash))
    }

    /// Checks that `signature_blob` is this key's signature of `message`, made with `algorithm`.
    ///
    /// The blob names its algorithm, and the name must be `algorithm`'s.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature_blob: &[u8],
    ) -> Result<(), KeyError> {
        if algorithm.key_type() != self.key_type {
            return Err(self.mismatch(algorithm));
        }
        let signature = signature::parse(algorithm, signature_blob)?;
        let verified = match &self.material {
            Material::Ed25519(key) => key.verify_sig(message, signature),
            Material::Ecdsa(curve, key) => {
                let halves = signature::ecdsa_from_mpints(*curve, signature)?;
                key.verify_sig(message, &halves)
            }
            Material::Rsa(key) => {
                let parameters = algorithm
                    .rsa_verification()
                    .ok_or_else(|| self.mismatch(algorithm))?;
                // Some implementations drop the leading zeros of the number, as an mpint would.
                let signature = signature::left_padded(signature, key.n.len())
                    .ok_or(KeyError::BadSignature(algorithm))?;
                key.verify(parameters, message, &signature)
            }
        };
        verified.map_err(|_| KeyError::BadSignature(algorithm))
    }

    /// The key of that Ed25519 point.
    pub(super) fn ed25519(point: &[u8]) -> Result<Self, KeyError> {
        let mut w = Writer::new();
        w.string(KeyType::Ed25519.as_str()).string(point);
        Self::parse(w.as_slice())
    }

    /// The key of that point, which must be in uncompressed form.
    pub(super) fn ecdsa(curve: EcdsaCurve, point: &[u8]) -> Result<Self, KeyError> {
        let mut w = Writer::new();
        w.string(KeyType::Ecdsa(curve).as_str())
            .string(curve.as_str())
            .string(point);
        Self::parse(w.as_slice())
    }

    /// The key of that public exponent and modulus, big-endian.
    pub(super) fn rsa(e: &[u8], n: &[u8]) -> Result<Self, KeyError> {
        let mut w = Writer::new();
        w.string(KeyType::Rsa.as_str())
            .unsigned_mpint(e)
            .unsigned_mpint(n);
        Self::parse(w.as_slice())
    }

    pub(super) fn mismatch(&self, algorithm: SignatureAlgorithm) -> KeyError {
        KeyError::AlgorithmMismatch {
            key_type: self.key_type,
            algorithm,
        }
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.blob == other.blob
    }
}

impl Eq for PublicKey {}

impl std::hash::Hash for PublicKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.blob.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PublicKey({} {})",
            self.key_type,
            self.fingerprint_sha256()
        )
    }
}

fn parse_ed25519(r: &mut Reader<'_>) -> Result<Material, KeyError> {
    let point = r.string("Ed25519 point").map_err(malformed)?;
    // The library would also take an X.509 encoding.
    if point.len() != 32 {
        return Err(malformed(WireError::BadValue("Ed25519 point")));
    }
    let key = ParsedPublicKey::new(&ED25519, point).map_err(|_| KeyError::BadPublicKey {
        key_type: KeyType::Ed25519,
        why: "it is no point of the curve",
    })?;
    Ok(Material::Ed25519(key))
}

fn parse_ecdsa(r: &mut Reader<'_>, curve: EcdsaCurve) -> Result<Material, KeyError> {
    let bad = |why| KeyError::BadPublicKey {
        key_type: KeyType::Ecdsa(curve),
        why,
    };
    if r.string("curve").map_err(malformed)? != curve.as_str().as_bytes() {
        return Err(bad("it names another curve than its type does"));
    }
    let point = r.string("ECDSA point").map_err(malformed)?;
    // One form only, so that one key has one blob; compressed points are optional (RFC 5656 §3.1)
    // and OpenSSH takes none.
    if point.first() != Some(&4) || point.len() != 1 + 2 * curve.scalar_len() {
        return Err(bad("it is no uncompressed point"));
    }
    let key = ParsedPublicKey::new(curve.verification(), point)
        .map_err(|_| bad("it is no point of the curve"))?;
    Ok(Material::Ecdsa(curve, key))
}

fn parse_rsa(r: &mut Reader<'_>) -> Result<Material, KeyError> {
    let e = r.unsigned_mpint("RSA exponent").map_err(malformed)?;
    let n = r.unsigned_mpint("RSA modulus").map_err(malformed)?;
    let bits = bit_len(n);
    if !RSA_BITS.contains(&bits) {
        return Err(KeyError::RsaSize { bits });
    }
    let bad = |why| KeyError::BadPublicKey {
        key_type: KeyType::Rsa,
        why,
    };
    let odd = |number: &[u8]| number.last().is_some_and(|b| b & 1 == 1);
    if !odd(e) || e == [1] || bit_len(e) > RSA_EXPONENT_BITS {
        return Err(bad("its exponent is even, 1 or over 33 bits"));
    }
    if !odd(n) {
        return Err(bad("its modulus is even"));
    }
    Ok(Material::Rsa(PublicKeyComponents {
        n: n.to_vec(),
        e: e.to_vec(),
    }))
}

/// Bits of a big-endian number without leading zero bytes.
fn bit_len(magnitude: &[u8]) -> usize {
    let spare = magnitude.first().map_or(0, |b| b.leading_zeros() as usize);
    8 * magnitude.len() - spare
}

fn malformed(why: WireError) -> KeyError {
    KeyError::Malformed {
        what: "public key",
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{FIXTURES, RSA_SHA256_SIGNATURE, SIGNED, SMALL_RSA_BLOB, b64};
    use super::*;

    fn rsa() -> PublicKey {
        PublicKey::parse(&b64(FIXTURES[4].blob)).unwrap()
    }

    fn ecdsa_blob(name: &str, curve: &str, point: &[u8]) -> Vec<u8> {
        let mut w = Writer::new();
        w.string(name).string(curve).string(point);
        w.into_vec()
    }

    #[test]
    fn keys_of_ssh_keygen_are_read_and_named() {
        for fixture in FIXTURES {
            let blob = b64(fixture.blob);
            let key = PublicKey::parse(&blob).unwrap();
            assert_eq!(key.blob(), blob);
            assert_eq!(key.key_type(), fixture.key_type);
            assert_eq!(key.fingerprint_sha256(), fixture.fingerprint);
            assert_eq!(key, key.clone());
        }
    }

    #[test]
    fn signatures_of_openssh_are_accepted() {
        for fixture in FIXTURES {
            let key = PublicKey::parse(&b64(fixture.blob)).unwrap();
            let signature = b64(fixture.signature);
            let verified = key.verify(fixture.algorithm, &b64(SIGNED), &signature);
            assert_eq!(verified, Ok(()), "{}", fixture.algorithm);
        }
        let signature = b64(RSA_SHA256_SIGNATURE);
        let verified = rsa().verify(SignatureAlgorithm::RsaSha256, &b64(SIGNED), &signature);
        assert_eq!(verified, Ok(()));
    }

    #[test]
    fn any_change_of_message_signature_or_key_is_refused() {
        for fixture in FIXTURES {
            let algorithm = fixture.algorithm;
            let key = PublicKey::parse(&b64(fixture.blob)).unwrap();
            let (message, signature) = (b64(SIGNED), b64(fixture.signature));
            let bad = Err(KeyError::BadSignature(algorithm));
            let mut other = message.clone();
            other[0] ^= 1;
            assert_eq!(key.verify(algorithm, &other, &signature), bad);
            let mut other = signature.clone();
            *other.last_mut().unwrap() ^= 1;
            assert_eq!(key.verify(algorithm, &message, &other), bad);
        }
        let stranger = super::super::SigningKey::generate_ed25519().unwrap();
        let verified = stranger.public_key().verify(
            SignatureAlgorithm::Ed25519,
            &b64(SIGNED),
            &b64(FIXTURES[0].signature),
        );
        let bad = KeyError::BadSignature(SignatureAlgorithm::Ed25519);
        assert_eq!(verified, Err(bad));
    }

    #[test]
    fn cut_signature_or_key_is_an_error_everywhere() {
        for fixture in FIXTURES {
            let (blob, signature) = (b64(fixture.blob), b64(fixture.signature));
            let key = PublicKey::parse(&blob).unwrap();
            for n in 0..signature.len() {
                let verified = key.verify(fixture.algorithm, &b64(SIGNED), &signature[..n]);
                assert!(verified.is_err(), "{} cut at {n}", fixture.algorithm);
            }
            for n in 0..blob.len() {
                assert!(PublicKey::parse(&blob[..n]).is_err(), "cut at {n}");
            }
            let long = [&blob[..], &[0]].concat();
            let error = PublicKey::parse(&long).unwrap_err();
            assert_eq!(error, malformed(WireError::TrailingBytes(1)));
        }
    }

    #[test]
    fn content_of_wrong_length_or_zero_is_a_bad_signature() {
        for fixture in FIXTURES {
            let algorithm = fixture.algorithm;
            let key = PublicKey::parse(&b64(fixture.blob)).unwrap();
            let zeros = [0; 8]; // as ECDSA: r = s = 0
            for content in [&[][..], &zeros, &[0; 64], &[1; 63], &[1; 257]] {
                let blob = signature::blob(algorithm, content);
                let verified = key.verify(algorithm, b"message", &blob);
                assert!(verified.is_err(), "{algorithm}: {} bytes", content.len());
            }
        }
    }

    #[test]
    fn key_does_not_verify_with_the_algorithm_of_another() {
        let verified = rsa().verify(SignatureAlgorithm::Ed25519, b"", b"");
        assert_eq!(
            verified.unwrap_err().to_string(),
            "a ssh-rsa key has no ssh-ed25519 signatures"
        );
    }

    #[test]
    fn rsa_signature_of_the_other_hash_or_sha1_is_refused_by_name() {
        for name in ["ssh-rsa", "rsa-sha2-256"] {
            let mut blob = Writer::new();
            blob.string(name).string([1; 256]);
            let verified = rsa().verify(SignatureAlgorithm::RsaSha512, b"", blob.as_slice());
            assert_eq!(
                verified,
                Err(KeyError::SignatureNames {
                    expected: SignatureAlgorithm::RsaSha512,
                    found: name.to_owned()
                })
            );
        }
    }

    #[test]
    fn rsa_signature_without_its_leading_zeros_is_accepted() {
        let key = super::super::SigningKey::from_pkcs8_der(&b64(FIXTURES[4].pkcs8)).unwrap();
        let algorithm = SignatureAlgorithm::RsaSha256;
        // One signature in 256 begins with a zero byte; signing is deterministic.
        let (message, number) = (0u32..)
            .map(|i| i.to_be_bytes())
            .map(|message| (message, key.sign(algorithm, &message).unwrap()))
            .map(|(message, blob)| (message, blob[blob.len() - 256..].to_vec()))
            .find(|(_, number)| number[0] == 0)
            .unwrap();
        let short = signature::blob(algorithm, &number[1..]);
        assert_eq!(rsa().verify(algorithm, &message, &short), Ok(()));
    }

    #[test]
    fn small_and_huge_rsa_keys_are_refused() {
        assert_eq!(
            PublicKey::parse(&b64(SMALL_RSA_BLOB)),
            Err(KeyError::RsaSize { bits: 1024 })
        );
        for (bits, n) in [
            (0, vec![]),
            (2047, [&[0x7f; 1][..], &[0xff; 255]].concat()),
            (8193, [&[1; 1][..], &[0xff; 1024]].concat()),
        ] {
            let refused = PublicKey::rsa(&[1, 0, 1], &n);
            assert_eq!(refused, Err(KeyError::RsaSize { bits }));
        }
        assert!(PublicKey::rsa(&[1, 0, 1], &[0xff; 1024]).is_ok());
    }

    #[test]
    fn rsa_key_with_useless_numbers_is_refused() {
        let n = [0xff; 256];
        let mut even = n;
        even[255] = 0xfe;
        for (e, n) in [
            (&[][..], n),
            (&[1], n),
            (&[1, 0, 0], n),
            (&[2, 0, 0, 0, 1], n),
            (&[3], even),
        ] {
            let error = PublicKey::rsa(e, &n).unwrap_err();
            assert!(matches!(error, KeyError::BadPublicKey { .. }), "{error}");
        }
    }

    #[test]
    fn ecdsa_point_off_the_curve_or_compressed_is_refused() {
        let good = b64(FIXTURES[1].blob);
        let point = &good[good.len() - 65..];
        let mut off = point.to_vec();
        off[64] ^= 1;
        let mut zero = vec![0; 65];
        zero[0] = 4;
        let mut compressed = point[..33].to_vec();
        compressed[0] = 2 | (point[64] & 1);
        for bad in [&off[..], &zero, &compressed, &[0], &[]] {
            let blob = ecdsa_blob("ecdsa-sha2-nistp256", "nistp256", bad);
            let error = PublicKey::parse(&blob).unwrap_err();
            assert!(matches!(error, KeyError::BadPublicKey { .. }), "{error}");
        }
        let blob = ecdsa_blob("ecdsa-sha2-nistp256", "nistp384", point);
        assert_eq!(
            PublicKey::parse(&blob).unwrap_err().to_string(),
            "cannot use ecdsa-sha2-nistp256 public key: it names another curve than its type does"
        );
    }

    #[test]
    fn ed25519_point_of_wrong_length_is_refused() {
        for len in [0, 31, 33, 44] {
            let error = PublicKey::ed25519(&vec![1; len]).unwrap_err();
            assert_eq!(error, malformed(WireError::BadValue("Ed25519 point")));
        }
    }

    #[test]
    fn unknown_type_is_named() {
        let mut w = Writer::new();
        w.string("ssh-dss").string("p");
        assert_eq!(
            PublicKey::parse(w.as_slice()).unwrap_err().to_string(),
            "unsupported type of public key \"ssh-dss\""
        );
    }
}
