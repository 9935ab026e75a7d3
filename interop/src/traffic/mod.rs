//! Traffic through the tunnels: a [`Target`] at the far end, a [`Visitor`] at the near end, and bytes that both can
//! foretell, so that every one of them is checked.
//!
//! A visitor opens with 17 bytes: what it wants to do, a seed and a length; from then on both ends know what must come.

mod conn;
mod http;
mod pattern;
mod target;
mod visitor;

pub use conn::Conn;
pub use http::WebServer;
pub use target::Target;
pub use visitor::{StalledReader, Visitor};

/// One MiB.
pub const MIB: u64 = 1 << 20;

/// Request of a visitor to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Whatever comes goes back, until the end of the stream.
    Echo,
    /// Both send `length` bytes at the same time.
    Exchange,
    /// The same, after the target has said that it is there.
    HeraldedExchange,
    /// The visitor sends and ends its direction; only then does the target answer.
    AnswerAfterEof,
    /// The target sends and ends its direction; only then does the visitor send.
    ListenAfterEof,
    /// The target sends, the visitor takes its time.
    Flood,
    /// The visitor sends, the target takes its time.
    Sip,
}

/// A visitor's first words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Greeting {
    mode: Mode,
    seed: u64,
    length: u64,
}

/// Byte that the target sends to show that it is there.
const HERALD: [u8; 1] = [b'!'];

const GREETING_LEN: usize = 17;

impl Greeting {
    fn to_bytes(self) -> [u8; GREETING_LEN] {
        let mut bytes = [0; GREETING_LEN];
        bytes[0] = match self.mode {
            Mode::Echo => b'e',
            Mode::Exchange => b'x',
            Mode::HeraldedExchange => b'h',
            Mode::AnswerAfterEof => b'a',
            Mode::ListenAfterEof => b'l',
            Mode::Flood => b'f',
            Mode::Sip => b's',
        };
        bytes[1..9].copy_from_slice(&self.seed.to_be_bytes());
        bytes[9..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; GREETING_LEN]) -> Result<Self, String> {
        let mode = match bytes[0] {
            b'e' => Mode::Echo,
            b'x' => Mode::Exchange,
            b'h' => Mode::HeraldedExchange,
            b'a' => Mode::AnswerAfterEof,
            b'l' => Mode::ListenAfterEof,
            b'f' => Mode::Flood,
            b's' => Mode::Sip,
            other => return Err(format!("greeting with unknown mode {other:#04x}")),
        };
        let number = |range: std::ops::Range<usize>| {
            bytes[range]
                .iter()
                .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
        };
        Ok(Self {
            mode,
            seed: number(1..9),
            length: number(9..GREETING_LEN),
        })
    }

    /// The seed of what the target sends; the visitor's own bytes grow from the seed itself.
    fn reply_seed(self) -> u64 {
        !self.seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::Address;

    #[test]
    fn a_greeting_survives_the_wire() {
        let greeting = Greeting {
            mode: Mode::Flood,
            seed: 0x0102_0304_0506_0708,
            length: 77,
        };
        assert_eq!(Greeting::from_bytes(greeting.to_bytes()), Ok(greeting));
    }

    #[test]
    fn every_kind_of_visit_works_without_a_tunnel() {
        let dir = tempfile::tempdir().unwrap();
        for target in [Target::tcp(), Target::unix(&dir.path().join("s"))] {
            let visitor = Visitor::new(target.address().clone());
            visitor.echo(b"hello").unwrap();
            visitor.exchange(3 * MIB).unwrap();
            visitor.talk(3 * MIB).unwrap();
            visitor.half_close().unwrap();
            visitor.many(8, MIB).unwrap();
            visitor.many_once_open(8, MIB).unwrap();
            let stalled = visitor.stall(8 * MIB).unwrap();
            visitor.exchange(MIB).unwrap();
            stalled.catch_up().unwrap();
            visitor.sip(&[1, 2 * MIB]).unwrap();
            visitor.pour(&[1, 2 * MIB]).unwrap();
            target.wait_for_sips(2);
            target.check();
        }
    }

    #[test]
    fn a_refused_visit_is_an_error() {
        let nobody = Visitor::new(Address::loopback(crate::ports::free_port()));
        assert!(nobody.echo(b"hello").is_err());
    }
}
