//! The identification exchange (RFC 4253 §4.2): the first line of either side.

use crate::Side;
use crate::error::Misbehaviour;

/// Software name in our identification line; a version of ours would help only those who look for old ones.
const SOFTWARE: &str = concat!("adit_", env!("CARGO_PKG_VERSION"));

/// The longest identification, with its line end (RFC 4253 §4.2).
const MAX_LINE: usize = 255;
/// The longest other line of a server, with its line end: the RFC sets no limit, OpenSSH takes 8 KiB.
const MAX_OTHER_LINE: usize = (8 << 10) + 2;
/// Lines that a server may send before its identification; OpenSSH takes as many.
const MAX_LINES_BEFORE: usize = 1024;

/// Our identification, without the line end.
pub fn ours() -> String {
    format!("SSH-2.0-{SOFTWARE}")
}

/// Looks for the peer's identification, line by line.
#[derive(Debug)]
pub struct IdentReader {
    side: Side,
    lines_before: usize,
}

/// Result of a look at the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// No whole line yet.
    Incomplete,
    /// A line before the identification; take so many bytes off and look again.
    OtherLine(usize),
    /// The identification, without its line end, and the bytes it took.
    Ident(String, usize),
}

impl IdentReader {
    /// A reader for one side: only a server may send other lines first.
    pub fn new(side: Side) -> Self {
        Self {
            side,
            lines_before: 0,
        }
    }

    /// Looks at the front of the input.
    pub fn read(&mut self, input: &[u8]) -> Result<Progress, Misbehaviour> {
        let longest = self.longest(input);
        let Some(end) = input.iter().take(longest).position(|&b| b == b'\n') else {
            if input.len() >= longest {
                return Err(Misbehaviour::Identification("line too long"));
            }
            return Ok(Progress::Incomplete);
        };
        let line = &input[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.starts_with(b"SSH-") {
            return self.other_line(end + 1);
        }
        let text = std::str::from_utf8(line)
            .ok()
            .filter(|text| text.bytes().all(|b| (0x20..0x7f).contains(&b)))
            .ok_or(Misbehaviour::Identification("not printable text"))?;
        if !text.starts_with("SSH-2.0-") && !text.starts_with("SSH-1.99-") {
            return Err(Misbehaviour::Identification(
                "protocol major versions differ",
            ));
        }
        Ok(Progress::Ident(text.to_owned(), end + 1))
    }

    /// Longest length that the line at the front of the input may have, in bytes.
    fn longest(&self, input: &[u8]) -> usize {
        match self.side {
            Side::Client if !input.starts_with(b"SSH-") => MAX_OTHER_LINE,
            _ => MAX_LINE,
        }
    }

    fn other_line(&mut self, len: usize) -> Result<Progress, Misbehaviour> {
        self.lines_before += 1;
        if self.side == Side::Server {
            return Err(Misbehaviour::Identification("it does not begin with SSH-"));
        }
        if self.lines_before > MAX_LINES_BEFORE {
            return Err(Misbehaviour::Identification("too many lines before it"));
        }
        Ok(Progress::OtherLine(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_passes_over_lines_before_the_identification() {
        let mut r = IdentReader::new(Side::Client);
        assert_eq!(
            r.read(b"welcome\r\nSSH-2.0-x\r\n"),
            Ok(Progress::OtherLine(9))
        );
        assert_eq!(
            r.read(b"SSH-2.0-x comment\r\nrest"),
            Ok(Progress::Ident("SSH-2.0-x comment".into(), 19))
        );
    }

    #[test]
    fn server_takes_nothing_before_the_identification() {
        let mut r = IdentReader::new(Side::Server);
        assert!(r.read(b"GET / HTTP/1.1\r\n").is_err());
    }

    #[test]
    fn old_protocols_and_endless_lines_are_refused() {
        let mut r = IdentReader::new(Side::Client);
        assert!(r.read(b"SSH-1.5-old\n").is_err());
        let mut r = IdentReader::new(Side::Client);
        assert!((0..2000).any(|_| r.read(b"spam\n").is_err()));
    }

    #[test]
    fn servers_other_lines_may_be_longer_than_an_identification() {
        let too_long = Err(Misbehaviour::Identification("line too long"));
        let read = |side, line: &[u8]| IdentReader::new(side).read(line);
        let other = [b'x'; MAX_OTHER_LINE];
        for (side, line, max) in [
            (Side::Client, &other[..], MAX_OTHER_LINE),
            (Side::Client, &[b"SSH-2.0-", &other[..]].concat(), MAX_LINE),
            (Side::Server, &other, MAX_LINE),
        ] {
            assert_eq!(read(side, &line[..max - 1]), Ok(Progress::Incomplete));
            assert_eq!(read(side, &line[..max]), too_long);
            let with_end = |len| [&line[..len - 1], b"\n"].concat();
            assert_ne!(read(side, &with_end(max)), too_long);
            assert_eq!(read(side, &with_end(max + 1)), too_long);
        }
        let line = [&other[..8 << 10], b"\r\n"].concat();
        let passed = Ok(Progress::OtherLine(MAX_OTHER_LINE));
        assert_eq!(read(Side::Client, &line), passed);
    }
}
