//! The signature blob: the name of the algorithm and what that algorithm makes of a signature.

use super::{EcdsaCurve, KeyError, SignatureAlgorithm};
use crate::wire::{Reader, WireError, Writer};

/// `string` algorithm, `string` signature (RFC 4253 §6.6).
pub(super) fn blob(algorithm: SignatureAlgorithm, signature: &[u8]) -> Vec<u8> {
    let mut w = Writer::new();
    w.string(algorithm.as_str()).string(signature);
    w.into_vec()
}

/// The signature in a blob, which must be of that algorithm.
///
/// The name is compared with what was agreed on, never used to choose: a peer could otherwise answer
/// with an algorithm that we did not offer (RFC 8332 §3.2).
pub(super) fn parse(algorithm: SignatureAlgorithm, blob: &[u8]) -> Result<&[u8], KeyError> {
    let mut r = Reader::new(blob);
    let name = r.text("signature algorithm").map_err(malformed)?;
    if name != algorithm.as_str() {
        return Err(KeyError::SignatureNames {
            expected: algorithm,
            found: KeyError::shown(name),
        });
    }
    let signature = r.string("signature").map_err(malformed)?;
    r.finish().map_err(malformed)?;
    Ok(signature)
}

/// `mpint` r, `mpint` s (RFC 5656 §3.1.2) from the two halves.
pub(super) fn ecdsa_to_mpints(halves: &[u8]) -> Vec<u8> {
    let (r, s) = halves.split_at(halves.len() / 2);
    let mut w = Writer::new();
    w.unsigned_mpint(r).unsigned_mpint(s);
    w.into_vec()
}

/// The two halves, each as long as the curve's scalars, from `mpint` r, `mpint` s.
pub(super) fn ecdsa_from_mpints(curve: EcdsaCurve, mpints: &[u8]) -> Result<Vec<u8>, KeyError> {
    let mut reader = Reader::new(mpints);
    let r = reader.unsigned_mpint("r of signature").map_err(malformed)?;
    let s = reader.unsigned_mpint("s of signature").map_err(malformed)?;
    reader.finish().map_err(malformed)?;
    let len = curve.scalar_len();
    let too_long = |field| malformed(WireError::BadValue(field));
    let mut halves = left_padded(r, len).ok_or_else(|| too_long("r of signature"))?;
    halves.extend(left_padded(s, len).ok_or_else(|| too_long("s of signature"))?);
    Ok(halves)
}

/// `bytes` with zeros in front until `len`; nothing if they are longer.
pub(super) fn left_padded(bytes: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut padded = vec![0; len.checked_sub(bytes.len())?];
    padded.reserve_exact(bytes.len());
    padded.extend_from_slice(bytes);
    Some(padded)
}

fn malformed(why: WireError) -> KeyError {
    KeyError::Malformed {
        what: "signature",
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecdsa_halves_survive_the_mpints() {
        for curve in EcdsaCurve::ALL {
            let len = curve.scalar_len();
            let mut halves = vec![0xff; 2 * len];
            halves[..3].fill(0); // a short r; s needs a sign byte
            let mpints = ecdsa_to_mpints(&halves);
            assert_eq!(mpints.len(), 4 + 1 + len - 3 + 4 + 1 + len);
            assert_eq!(ecdsa_from_mpints(curve, &mpints), Ok(halves));
        }
    }

    #[test]
    fn ecdsa_number_longer_than_the_curve_is_malformed() {
        let mut w = Writer::new();
        w.unsigned_mpint(&[1; 33]).unsigned_mpint(&[1; 32]);
        let error = ecdsa_from_mpints(EcdsaCurve::Nistp256, w.as_slice()).unwrap_err();
        assert_eq!(
            error,
            malformed(WireError::BadValue("r of signature")),
            "{error}"
        );
    }

    #[test]
    fn blob_of_another_algorithm_is_refused_by_name() {
        let blob = blob(SignatureAlgorithm::RsaSha256, b"s");
        assert_eq!(parse(SignatureAlgorithm::RsaSha256, &blob), Ok(&b"s"[..]));
        assert_eq!(
            parse(SignatureAlgorithm::RsaSha512, &blob)
                .unwrap_err()
                .to_string(),
            "cannot accept signature: it is of algorithm \"rsa-sha2-256\" instead of rsa-sha2-512"
        );
    }

    #[test]
    fn blob_with_missing_or_extra_bytes_is_malformed() {
        let good = blob(SignatureAlgorithm::Ed25519, &[7; 64]);
        let mut long = good.clone();
        long.push(0);
        for bad in (0..good.len()).map(|n| &good[..n]).chain([&long[..]]) {
            let error = parse(SignatureAlgorithm::Ed25519, bad).unwrap_err();
            assert!(matches!(error, KeyError::Malformed { .. }), "{error}");
        }
    }
}
