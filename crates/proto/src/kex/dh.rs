//! Diffie-Hellman over a prime field (RFC 4253 §8, RFC 8268), and in a group of the server's choice (RFC 4419): for
//! servers that have no elliptic curves.
//!
//! The power is `crypto-bigint`'s, constant-time in the exponent; nothing but its use stands here. The exponent is fresh
//! for every exchange. [ADR 9](../../../../docs/adr/0009-algorithms-for-old-peers.md) says why it is not aws-lc's.

use aws_lc_rs::rand;
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd, Resize};
use zeroize::Zeroizing;

use super::{KexError, dh_groups};
use crate::wire::Writer;

/// Bits of a prime that a server may choose: below it is too weak, above it is work for nothing. OpenSSH's bounds, too.
const PRIME_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;
/// Bits of our exponent: twice the strength of any of these groups, which are of safe primes.
const EXPONENT_BITS: u32 = 512;

/// A group that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedGroup {
    Group14,
    Group16,
    Group18,
}

/// A group: a safe prime and a generator.
pub(super) struct Group {
    params: BoxedMontyParams,
    generator: BoxedUint,
}

impl NamedGroup {
    pub(super) fn group(self) -> Result<Group, KexError> {
        let digits = match self {
            NamedGroup::Group14 => dh_groups::GROUP14,
            NamedGroup::Group16 => dh_groups::GROUP16,
            NamedGroup::Group18 => dh_groups::GROUP18,
        };
        let failed = KexError::Library("read a group of RFC 3526");
        let digits = digits.concat();
        let bits = u32::try_from(digits.len() * 4).map_err(|_| failed.clone())?;
        let prime = BoxedUint::from_be_hex(&digits, bits).into_option();
        let prime = prime.and_then(|p| Odd::new(p).into_option());
        let params = BoxedMontyParams::new(prime.ok_or(failed)?);
        let generator = BoxedUint::from(2u64).resize(bits);
        Ok(Group { params, generator })
    }
}

impl Group {
    /// The group that a server chose, as unsigned numbers.
    ///
    /// The prime is not tested for being a safe one, which takes seconds: a server that wants the secret to be known
    /// can have that for less, and one in the middle fails at the server's signature, which covers both numbers.
    pub(super) fn chosen(prime: &[u8], generator: &[u8]) -> Result<Self, KexError> {
        let refused = |value| KexError::Refused {
            value,
            by: "Diffie-Hellman group",
        };
        let bits = prime.len() * 8 - prime.first().map_or(0, |b| b.leading_zeros() as usize);
        let bits = u32::try_from(bits).map_err(|_| refused("p"))?;
        if !PRIME_BITS.contains(&bits) {
            return Err(refused("p"));
        }
        let precision = bits.next_multiple_of(u64::BITS);
        let odd = BoxedUint::from_be_slice(prime, precision).ok();
        let odd = odd.and_then(|p| Odd::new(p).into_option());
        let params = BoxedMontyParams::new(odd.ok_or_else(|| refused("p"))?);
        let group = Self {
            generator: BoxedUint::zero_with_precision(precision),
            params,
        };
        let generator = group.element(generator).ok_or_else(|| refused("g"))?;
        Ok(Self { generator, ..group })
    }

    /// A number between 1 and p - 1, both excluded (RFC 4253 §8, RFC 4419 §3), from its unsigned bytes.
    fn element(&self, bytes: &[u8]) -> Option<BoxedUint> {
        let prime = self.params.modulus().as_ref();
        let number = BoxedUint::from_be_slice(bytes, prime.bits_precision()).ok()?;
        let one = BoxedUint::one_with_precision(prime.bits_precision());
        let last = prime.wrapping_sub(&one);
        (number > one && number < last).then_some(number)
    }

    fn power(&self, base: &BoxedUint, exponent: &BoxedUint) -> BoxedUint {
        let base = BoxedMontyForm::new(base.clone(), &self.params);
        let mut power = base.pow_bounded_exp(exponent, EXPONENT_BITS);
        let result = power.retrieve();
        zeroize::Zeroize::zeroize(&mut power);
        result
    }
}

/// Our ephemeral key pair of one exchange.
pub(super) struct DhKey {
    group: Group,
    exponent: Zeroizing<BoxedUint>,
    public: Vec<u8>,
}

impl DhKey {
    pub(super) fn generate(group: Group) -> Result<Self, KexError> {
        let failed = KexError::Library("make an ephemeral exponent");
        let mut bytes = Zeroizing::new([0; EXPONENT_BITS as usize / 8]);
        rand::fill(bytes.as_mut_slice()).map_err(|_| failed.clone())?;
        let exponent = BoxedUint::from_be_slice(bytes.as_slice(), EXPONENT_BITS);
        Ok(Self::new(
            group,
            Zeroizing::new(exponent.map_err(|_| failed)?),
        ))
    }

    fn new(group: Group, exponent: Zeroizing<BoxedUint>) -> Self {
        let public = mpint(&group.power(&group.generator, &exponent).to_be_bytes());
        Self {
            group,
            exponent,
            public,
        }
    }

    /// The public value for the peer: the content of an `mpint`.
    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    /// The raw shared secret with the peer's public value, the content of an `mpint`, which errors call `value`.
    pub(super) fn agree(
        &self,
        peer: &[u8],
        value: &'static str,
    ) -> Result<Zeroizing<Vec<u8>>, KexError> {
        let refused = KexError::Refused {
            value,
            by: "Diffie-Hellman",
        };
        // A number without a sign byte would be negative.
        let is_positive = peer.first().is_some_and(|b| b & 0x80 == 0);
        let unsigned = peer.strip_prefix(&[0]).unwrap_or(peer);
        let number = self.group.element(unsigned).filter(|_| is_positive);
        let secret = Zeroizing::new(self.group.power(&number.ok_or(refused)?, &self.exponent));
        Ok(Zeroizing::new(secret.to_be_bytes().into_vec()))
    }
}

/// The content of an `mpint` (RFC 4251 §5).
fn mpint(unsigned: &[u8]) -> Vec<u8> {
    let mut w = Writer::new();
    w.unsigned_mpint(unsigned);
    w.into_vec().split_off(4)
}

#[cfg(test)]
mod tests {
    use super::super::vectors::hex;
    use super::*;

    fn key(group: NamedGroup, exponent: &str) -> DhKey {
        let exponent = BoxedUint::from_be_slice(&hex(exponent), EXPONENT_BITS).unwrap();
        DhKey::new(group.group().unwrap(), Zeroizing::new(exponent))
    }

    /// Made with Python: `pow(2, x, p)`, `pow(y, x, p)`, SHA-256 of the big-endian bytes as long as the prime.
    #[test]
    fn powers_match_an_independent_computation() {
        let ours = "11".repeat(64);
        let theirs = "fe".repeat(64);
        for (group, public, shared) in VECTORS {
            let (a, b) = (key(group, &ours), key(group, &theirs));
            assert_eq!(sha256(a.public()), public, "{group:?}");
            let secret = a.agree(b.public(), "f").unwrap();
            assert_eq!(sha256(&secret), shared, "{group:?}");
            assert_eq!(b.agree(a.public(), "e").unwrap(), secret);
        }
    }

    const VECTORS: [(NamedGroup, &str, &str); 3] = [
        (
            NamedGroup::Group14,
            "b747b7cfcf517fea5338da4a60f0e51925f37aeae62882ce3716938baf70c347",
            "0de5705d15b0096bc7d1457e401e48ce8f622be90cb3a18aa81627de8f783247",
        ),
        (
            NamedGroup::Group16,
            "db40c43e282a1fd423c402384b714f2a80ceeaaeab8fc7f49e821fd52776f683",
            "0c3bb2abd035faa6eb430baf5b39652e6efb01d6bc747c662d0953ef58aee140",
        ),
        (
            NamedGroup::Group18,
            "7e4f7aacba9a610ade1fb7bd040456995cddd4c63c5787a8f9ac29fc3862b26e",
            "680ea6c28265d12b1690c7b04334e67517e8c6e924bd3a23134e0b2ca5cc8ffb",
        ),
    ];

    fn sha256(bytes: &[u8]) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn values_that_give_the_secret_away_are_refused() {
        let key = key(NamedGroup::Group14, "07");
        let prime = key.group.params.modulus().as_ref().clone();
        let one = BoxedUint::one_with_precision(prime.bits_precision());
        let below = mpint(&prime.wrapping_sub(&one).to_be_bytes());
        let beyond = mpint(&prime.wrapping_add(&one).to_be_bytes());
        let prime = mpint(&prime.to_be_bytes());
        let negative = [&[0xff][..], &[1; 20]].concat();
        for bad in [&[][..], &[0], &[1], &below, &prime, &beyond, &negative] {
            let error = key.agree(bad, "f").unwrap_err();
            assert!(
                matches!(error, KexError::Refused { value: "f", .. }),
                "{error}"
            );
        }
        assert!(key.agree(&[2], "f").is_ok());
        let long = [&[1][..], &[0; 300]].concat();
        assert!(key.agree(&long, "f").is_err());
    }

    #[test]
    fn groups_of_servers_are_bounded() {
        let prime = hex(&dh_groups::GROUP14.concat());
        assert!(Group::chosen(&prime, &[2]).is_ok());
        let mut even = prime.clone();
        even[255] ^= 1;
        let small = &prime[1..];
        let large = [&[0xff][..], &vec![0xff; 1024]].concat();
        for (p, g) in [
            (&even[..], &[2][..]),
            (small, &[2]),
            (&large, &[2]),
            (&[], &[2]),
            (&prime, &[]),
            (&prime, &[1]),
            (&prime, &prime),
        ] {
            assert!(Group::chosen(p, g).is_err(), "{} {}", p.len(), g.len());
        }
    }

    #[test]
    fn group_of_a_server_is_the_named_one_with_the_same_numbers() {
        let prime = hex(&dh_groups::GROUP14.concat());
        let ours = DhKey::generate(Group::chosen(&prime, &[2]).unwrap()).unwrap();
        let theirs = DhKey::generate(NamedGroup::Group14.group().unwrap()).unwrap();
        let secret = ours.agree(theirs.public(), "f").unwrap();
        assert_eq!(secret, theirs.agree(ours.public(), "e").unwrap());
    }
}
