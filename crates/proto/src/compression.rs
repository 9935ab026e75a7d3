//! Compression of packet payloads: `zlib` streams that are flushed at every packet (RFC 4253 §6.2).
//!
//! The size that a packet inflates to is bounded, and memory for it grows with the bytes that really come out: a small
//! packet cannot claim a large one.

use std::fmt;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// A compression method that may be negotiated for one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompressionName {
    /// `none`.
    None,
    /// `zlib@openssh.com`: as `zlib`, but it starts after authentication has succeeded.
    ZlibOpenssh,
}

impl CompressionName {
    /// Every method, the usual one first.
    pub const ALL: &'static [CompressionName] =
        &[CompressionName::None, CompressionName::ZlibOpenssh];

    /// The name as it stands in `SSH_MSG_KEXINIT`.
    pub const fn as_str(self) -> &'static str {
        match self {
            CompressionName::None => "none",
            CompressionName::ZlibOpenssh => "zlib@openssh.com",
        }
    }

    /// The method with that name, if we have it.
    pub fn from_name(name: &str) -> Option<CompressionName> {
        Self::ALL.iter().copied().find(|c| c.as_str() == name)
    }
}

impl fmt::Display for CompressionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Failure to compress or inflate a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompressionError {
    /// The stream is not a `zlib` stream, or ends where it must go on.
    Corrupt,
    /// The output is longer than allowed.
    TooLarge,
}

/// The least room offered to `zlib` for output, in bytes.
const MIN_ROOM: usize = 512;

/// The outbound stream of one direction.
pub(crate) struct Compressor {
    stream: Compress,
    /// A payload went into the stream and not on the wire: the peer could inflate nothing more.
    lost: bool,
}

impl Compressor {
    /// A new stream; level 6 is what OpenSSH uses.
    pub(crate) fn new() -> Compressor {
        Compressor {
            stream: Compress::new(Compression::new(6), true),
            lost: false,
        }
    }

    /// Appends `payload`, compressed and flushed, to `out`: at most `limit` bytes of it.
    ///
    /// An error is final.
    pub(crate) fn compress(
        &mut self,
        payload: &[u8],
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), CompressionError> {
        if self.lost {
            return Err(CompressionError::Corrupt);
        }
        self.lost = true;
        let start = out.len();
        let mut rest = payload;
        loop {
            out.reserve(rest.len().max(MIN_ROOM));
            let before = self.stream.total_in();
            self.stream
                .compress_vec(rest, out, FlushCompress::Partial)
                .map_err(|_| CompressionError::Corrupt)?;
            rest = &rest[consumed(before, self.stream.total_in(), rest)..];
            if out.len() - start > limit {
                return Err(CompressionError::TooLarge);
            }
            // Room left over means that the flush is complete.
            if rest.is_empty() && out.len() < out.capacity() {
                self.lost = false;
                return Ok(());
            }
        }
    }
}

/// The inbound stream of one direction.
pub(crate) struct Decompressor(Decompress);

impl Decompressor {
    /// A new stream.
    pub(crate) fn new() -> Decompressor {
        Decompressor(Decompress::new(true))
    }

    /// Inflates one packet's payload, to `limit` bytes at most.
    pub(crate) fn inflate(
        &mut self,
        payload: &[u8],
        limit: usize,
    ) -> Result<Vec<u8>, CompressionError> {
        let mut out = Vec::with_capacity(payload.len().saturating_mul(2).min(limit));
        let mut rest = payload;
        loop {
            // One byte beyond the limit, so that exceeding it can be seen.
            out.reserve_exact(out.len().max(MIN_ROOM).min(limit + 1 - out.len()));
            let (before_in, before_out) = (self.0.total_in(), self.0.total_out());
            let status = self
                .0
                .decompress_vec(rest, &mut out, FlushDecompress::Sync)
                .map_err(|_| CompressionError::Corrupt)?;
            rest = &rest[consumed(before_in, self.0.total_in(), rest)..];
            if out.len() > limit {
                return Err(CompressionError::TooLarge);
            }
            if rest.is_empty() && out.len() < out.capacity() {
                return match status {
                    Status::StreamEnd => Err(CompressionError::Corrupt),
                    Status::Ok | Status::BufError => Ok(out),
                };
            }
            // The library makes progress whenever it has input and room; were it not to, this
            // loop would not end.
            let idle = (before_in, before_out) == (self.0.total_in(), self.0.total_out());
            if idle || status == Status::StreamEnd {
                return Err(CompressionError::Corrupt);
            }
        }
    }
}

/// Bytes of `rest` that the counter's step from `before` to `after` stands for.
fn consumed(before: u64, after: u64, rest: &[u8]) -> usize {
    usize::try_from(after - before).map_or(rest.len(), |n| n.min(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 257 * 1024;

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_u32;
        let step = |_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        };
        (0..len).map(step).collect()
    }

    #[test]
    fn each_packet_can_be_inflated_before_the_next_is_compressed() {
        let (mut compressor, mut decompressor) = (Compressor::new(), Decompressor::new());
        let payloads = [
            noise(1),
            vec![],
            vec![b'a'; 256 * 1024],
            noise(32 * 1024),
            noise(256 * 1024),
            b"the same words and the same words".to_vec(),
        ];
        for payload in payloads.iter().chain(&payloads) {
            let mut packed = vec![];
            compressor.compress(payload, &mut packed, LIMIT).unwrap();
            assert_eq!(&decompressor.inflate(&packed, LIMIT).unwrap(), payload);
        }
    }

    /// Made with Python's `zlib` (the C library, as in OpenSSH): `compressobj(6)`, and after each
    /// payload `flush(Z_PARTIAL_FLUSH)`.
    #[test]
    fn partial_flushes_of_the_c_library_are_inflated_at_once() {
        let packets: [(&[u8], &[u8]); 4] = [
            (
                b"\x78\x9c\xca\xcf\x4b\x55\x28\x48\x4c\xce\x4e\x2d\x01\x08",
                b"one packet",
            ),
            (
                b"\xa0\x7c\x38\x4b\x47\x21\x31\x2f\x45\x01\xc4\xcf\xcd\x2f\x82\x09\x02\x04",
                b"one packet, and one more packet",
            ),
            (b"\x10", b""),
            (b"\x40\x0c\xa3\x80\x68\x00\x10", &[0; 300]),
        ];
        let mut decompressor = Decompressor::new();
        for (packed, payload) in packets {
            assert_eq!(decompressor.inflate(packed, LIMIT).unwrap(), payload);
        }
    }

    #[test]
    fn the_stream_remembers_earlier_packets() {
        let mut compressor = Compressor::new();
        let payload = noise(1000);
        let (mut first, mut second) = (vec![], vec![]);
        compressor.compress(&payload, &mut first, LIMIT).unwrap();
        compressor.compress(&payload, &mut second, LIMIT).unwrap();
        assert!(first.len() > 900 && second.len() < 100);
    }

    #[test]
    fn inflating_stops_at_the_limit_and_allows_it() {
        for (len, limit, fits) in [
            (1000, 1000, true),
            (1001, 1000, false),
            (LIMIT, LIMIT, true),
            (100 << 20, LIMIT, false),
        ] {
            let mut packed = vec![];
            let zeros = vec![0; len];
            Compressor::new()
                .compress(&zeros, &mut packed, usize::MAX)
                .unwrap();
            let inflated = Decompressor::new().inflate(&packed, limit);
            match fits {
                true => assert_eq!(inflated.unwrap(), zeros),
                false => assert_eq!(inflated, Err(CompressionError::TooLarge)),
            }
        }
    }

    #[test]
    fn compressing_stops_at_the_limit() {
        let mut compressor = Compressor::new();
        let result = compressor.compress(&noise(4096), &mut vec![], 1000);
        assert_eq!(result, Err(CompressionError::TooLarge));
        let result = compressor.compress(b"more", &mut vec![], 1000);
        assert_eq!(result, Err(CompressionError::Corrupt), "the stream is lost");
    }

    #[test]
    fn garbage_and_ended_streams_are_corrupt() {
        assert_eq!(
            Decompressor::new().inflate(&noise(100), LIMIT),
            Err(CompressionError::Corrupt)
        );
        let mut ended = Vec::with_capacity(100);
        Compress::new(Compression::new(6), true)
            .compress_vec(b"the end", &mut ended, FlushCompress::Finish)
            .unwrap();
        assert_eq!(
            Decompressor::new().inflate(&ended, LIMIT),
            Err(CompressionError::Corrupt)
        );
        ended.extend_from_slice(&noise(1000));
        assert_eq!(
            Decompressor::new().inflate(&ended, LIMIT),
            Err(CompressionError::Corrupt)
        );
    }
}
