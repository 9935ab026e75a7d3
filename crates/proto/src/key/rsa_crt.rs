//! The two RSA exponents that OpenSSH's key files leave out: `d mod (p - 1)` and `d mod (q - 1)`.
//!
//! The library wants them and offers no arithmetic to compute them. The result needs no trust: the
//! library checks that all parts of a key belong together.

use zeroize::Zeroizing;

/// The CRT exponent `d mod (prime - 1)`, big-endian; nothing if `prime` is even and so none.
///
/// Takes time in proportion to `d.len() * prime.len()`; the caller bounds both.
pub(super) fn exponent(d: &[u8], prime: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut below = Zeroizing::new(prime.to_vec());
    let last = below.last_mut()?;
    if *last & 1 == 0 {
        return None;
    }
    *last &= !1;
    Some(reduce(d, &below))
}

/// `value mod modulus`, bit by bit: double the remainder, add a bit, take the modulus off if it fits.
/// No branch and no index depends on the numbers.
fn reduce(value: &[u8], modulus: &[u8]) -> Zeroizing<Vec<u8>> {
    let modulus = limbs(modulus);
    let mut remainder = Zeroizing::new(vec![0u64; modulus.len()]);
    let mut less = Zeroizing::new(vec![0u64; modulus.len()]);
    for bit in value
        .iter()
        .flat_map(|b| (0..8).rev().map(move |i| (b >> i) & 1))
    {
        double_and_add(&mut remainder, u64::from(bit));
        let borrow = subtract(&remainder, &modulus, &mut less);
        // All ones where the modulus did not fit, and the remainder stays.
        let keep = 0u64.wrapping_sub(borrow);
        for (r, l) in remainder.iter_mut().zip(less.iter()) {
            *r = (*r & keep) | (*l & !keep);
        }
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(8 * remainder.len()));
    for limb in remainder.iter().rev() {
        bytes.extend_from_slice(&limb.to_be_bytes());
    }
    bytes
}

/// Little-endian limbs of a big-endian number, and one more for the doubled remainder.
fn limbs(bytes: &[u8]) -> Zeroizing<Vec<u64>> {
    let mut limbs = Zeroizing::new(Vec::with_capacity(bytes.len() / 8 + 2));
    for chunk in bytes.rchunks(8) {
        limbs.push(chunk.iter().fold(0, |limb, &b| (limb << 8) | u64::from(b)));
    }
    limbs.push(0);
    limbs
}

fn double_and_add(number: &mut [u64], bit: u64) {
    let mut carry = bit;
    for limb in number {
        let next = *limb >> 63;
        *limb = (*limb << 1) | carry;
        carry = next;
    }
}

/// `out = a - b`; gives 1 if that would be negative, else 0.
fn subtract(a: &[u64], b: &[u64], out: &mut [u64]) -> u64 {
    let mut borrow = 0;
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        let (part, first) = a.overflowing_sub(b);
        let (part, second) = part.overflowing_sub(borrow);
        *out = part;
        borrow = u64::from(first | second);
    }
    borrow
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(bytes: &[u8]) -> u128 {
        bytes.iter().fold(0, |n, &b| (n << 8) | u128::from(b))
    }

    #[test]
    fn remainder_matches_native_arithmetic() {
        // A fixed congruential sequence: any spread of numbers of every length will do.
        let mut state = 0x9e37_79b9_7f4a_7c15_u128;
        let mut next = |bits: u32| {
            state = state
                .wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645)
                .wrapping_add(0x5851_f42d_4c95_7f2d);
            state >> (128 - bits)
        };
        for round in 0..2000 {
            let value = next(1 + round % 128);
            let modulus = next(1 + (round * 7) % 127) | 1;
            let remainder = reduce(&value.to_be_bytes(), &modulus.to_be_bytes());
            assert_eq!(small(&remainder), value % modulus, "{value} mod {modulus}");
        }
    }

    #[test]
    fn extremes_of_a_limb_are_right() {
        for (value, modulus) in [
            (0, 1),
            (u128::MAX, 1),
            (u128::MAX, u128::MAX),
            (u128::MAX, u128::MAX - 1),
            (u128::MAX, u128::from(u64::MAX)),
            (u128::MAX - 1, 1 << 127),
            (1 << 64, u128::from(u64::MAX)),
        ] {
            let remainder = reduce(&value.to_be_bytes(), &modulus.to_be_bytes());
            assert_eq!(small(&remainder), value % modulus, "{value} mod {modulus}");
        }
    }

    #[test]
    fn even_or_missing_prime_has_no_exponent() {
        assert!(exponent(&[5], &[]).is_none());
        assert!(exponent(&[5], &[8]).is_none());
        assert_eq!(small(&exponent(&[9], &[7]).unwrap()), 9 % 6);
    }
}
