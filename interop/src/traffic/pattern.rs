//! Bytes that look random and can be foretold: stronger than a checksum, because a mismatch has a place. A checksum of
//! both sides is kept all the same, for people who want to read one.

use super::conn::NARROW;
use crate::wait;
use std::io::{self, Read, Write};

const CHUNK: usize = 32 * 1024;

/// An endless stream of bytes grown from a seed.
pub(super) struct Pattern {
    state: u64,
    word: [u8; 8],
    used: usize,
}

impl Pattern {
    pub(super) fn new(seed: u64) -> Self {
        // Zero is the one state that xorshift never leaves.
        Self {
            state: seed | 1 << 63,
            word: [0; 8],
            used: 8,
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            if self.used == self.word.len() {
                self.step();
            }
            *byte = self.word[self.used];
            self.used += 1;
        }
    }

    fn step(&mut self) {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.word = self.state.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        self.used = 0;
    }
}

/// Sends the first `length` bytes that grow from `seed`.
pub(super) fn send(to: &mut impl Write, seed: u64, length: u64) -> io::Result<u32> {
    let mut pattern = Pattern::new(seed);
    let mut buffer = vec![0; CHUNK];
    let mut sum = Checksum::new();
    let mut left = length;
    while left > 0 {
        let part = &mut buffer[..usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK))];
        pattern.fill(part);
        sum.add(part);
        to.write_all(part)?;
        left -= part.len() as u64;
    }
    Ok(sum.0)
}

/// Reads to the end of the stream, which must come after exactly the `length` bytes that grow from `seed`. Returns
/// their checksum.
pub(super) fn expect(from: &mut impl Read, seed: u64, length: u64) -> Result<u32, String> {
    let mut pattern = Pattern::new(seed);
    let mut came = vec![0; CHUNK];
    let mut due = vec![0; CHUNK];
    let mut sum = Checksum::new();
    let mut place = 0;
    loop {
        let count = from
            .read(&mut came)
            .map_err(|error| format!("cannot read byte {place} of {length}: {error}"))?;
        if count == 0 {
            break;
        }
        pattern.fill(&mut due[..count]);
        if let Some(at) = (0..count).find(|&at| came[at] != due[at]) {
            return Err(format!("wrong byte at {} of {length}", place + at as u64));
        }
        sum.add(&came[..count]);
        place += count as u64;
    }
    if place != length {
        return Err(format!("stream ended after {place} bytes of {length}"));
    }
    Ok(sum.0)
}

/// A reader that takes its time: nothing at first, then small pieces with a pause before each.
pub(super) struct Sipping<'a, R>(pub(super) &'a mut R);

impl<R: Read> Read for Sipping<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        wait::pause();
        let piece = buffer.len().min(NARROW);
        self.0.read(&mut buffer[..piece])
    }
}

/// Adler-32, as in RFC 1950.
struct Checksum(u32);

impl Checksum {
    fn new() -> Self {
        Self(1)
    }

    fn add(&mut self, bytes: &[u8]) {
        const MODULUS: u32 = 65_521;
        let (mut low, mut high) = (self.0 & 0xffff, self.0 >> 16);
        // 5,552 bytes are the most that cannot overflow 32 bits between two reductions.
        for chunk in bytes.chunks(5_552) {
            for &byte in chunk {
                low += u32::from(byte);
                high += low;
            }
            low %= MODULUS;
            high %= MODULUS;
        }
        self.0 = high << 16 | low;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sent_and_expected_agree_whatever_the_pieces() {
        let mut wire = Vec::new();
        let sent = send(&mut wire, 7, 100_001).unwrap();
        struct Dribble<'a>(&'a [u8]);
        impl Read for Dribble<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let few = buffer.len().min(13);
                self.0.read(&mut buffer[..few])
            }
        }
        assert_eq!(expect(&mut Dribble(&wire), 7, 100_001), Ok(sent));
    }

    #[test]
    fn one_wrong_byte_is_found_at_its_place() {
        let mut wire = Vec::new();
        send(&mut wire, 7, 70_000).unwrap();
        wire[65_000] ^= 1;
        let found = expect(&mut wire.as_slice(), 7, 70_000);
        assert_eq!(found, Err("wrong byte at 65000 of 70000".into()));
    }

    #[test]
    fn a_missing_or_extra_byte_is_found() {
        let mut wire = Vec::new();
        send(&mut wire, 7, 10).unwrap();
        assert!(expect(&mut wire.as_slice(), 7, 9).is_err());
        assert!(expect(&mut wire.as_slice(), 7, 11).is_err());
    }

    #[test]
    fn the_checksum_is_adler_32() {
        let mut sum = Checksum::new();
        sum.add(b"Wikipedia");
        assert_eq!(sum.0, 0x11e6_0398);
    }
}
