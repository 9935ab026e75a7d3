//! Cookies of KEXINIT (RFC 4253 §7.1), generated from one seed: SHA-256 in counter mode.

use aws_lc_rs::digest;
use zeroize::Zeroizing;

/// Generator of the cookies of one connection.
#[derive(Debug)]
pub(super) struct Cookies {
    seed: Zeroizing<[u8; 32]>,
    counter: u64,
}

impl Cookies {
    /// Generator with `seed`, which must be fresh random bytes.
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self {
            seed: Zeroizing::new(seed),
            counter: 0,
        }
    }

    /// The next cookie.
    pub(super) fn draw(&mut self) -> [u8; 16] {
        self.counter += 1;
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&*self.seed);
        context.update(&self.counter.to_be_bytes());
        let mut cookie = [0; 16];
        cookie.copy_from_slice(&context.finish().as_ref()[..16]);
        cookie
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_differ_within_a_seed_and_between_seeds() {
        let (mut one, mut other) = (Cookies::new([1; 32]), Cookies::new([2; 32]));
        let drawn = [one.draw(), one.draw(), other.draw(), other.draw()];
        for (at, cookie) in drawn.iter().enumerate() {
            assert!(!drawn[..at].contains(cookie));
        }
    }
}
