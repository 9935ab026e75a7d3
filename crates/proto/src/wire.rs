//! The data types of SSH (RFC 4251 §5): reading them from a peer's bytes, writing them for a peer.
//!
//! Reading never allocates and never panics: a length that the peer claims is only ever compared
//! with the bytes that are really there.

use std::fmt;

/// Deviation of a peer's bytes from the layout of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// The message ends before the named field does.
    Truncated(&'static str),
    /// The field must be text, and is not.
    NotText(&'static str),
    /// An `mpint` is negative, or longer than its value needs (RFC 4251 §5).
    BadMpint,
    /// Bytes are left after the last field.
    TrailingBytes(usize),
    /// A field has a value that its definition does not allow.
    BadValue(&'static str),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Truncated(field) => write!(f, "message ends inside {field}"),
            WireError::NotText(field) => write!(f, "{field} is not text"),
            WireError::BadMpint => write!(f, "badly encoded mpint"),
            WireError::TrailingBytes(n) => write!(f, "{n} bytes after the end of the message"),
            WireError::BadValue(field) => write!(f, "illegal value of {field}"),
        }
    }
}

impl std::error::Error for WireError {}

/// Takes SSH data types off the front of a byte slice.
///
/// Each method names the field it reads, for the error message.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes not yet read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes exactly `n` bytes.
    pub fn bytes(&mut self, n: usize, field: &'static str) -> Result<&'a [u8], WireError> {
        let (head, tail) = self
            .rest
            .split_at_checked(n)
            .ok_or(WireError::Truncated(field))?;
        self.rest = tail;
        Ok(head)
    }

    /// Takes one `byte`.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, WireError> {
        Ok(self.bytes(1, field)?[0])
    }

    /// Takes a `boolean`: every value but zero is true.
    pub fn boolean(&mut self, field: &'static str) -> Result<bool, WireError> {
        Ok(self.u8(field)? != 0)
    }

    /// Takes a `uint32`.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, WireError> {
        let bytes = self.bytes(4, field)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Takes a `string`: a `uint32` length and as many bytes.
    pub fn string(&mut self, field: &'static str) -> Result<&'a [u8], WireError> {
        let len = self.u32(field)?;
        let len = usize::try_from(len).map_err(|_| WireError::Truncated(field))?;
        self.bytes(len, field)
    }

    /// Takes a `string` that must be UTF-8.
    pub fn text(&mut self, field: &'static str) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.string(field)?).map_err(|_| WireError::NotText(field))
    }

    /// Takes a `name-list` of printable ASCII without spaces; the names come out in their order of preference.
    pub fn name_list(&mut self, field: &'static str) -> Result<NameList<'a>, WireError> {
        let list = self.text(field)?;
        // Printable (RFC 4251 §6): names are shown to people when nothing matches.
        match list.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(NameList(list)),
            false => Err(WireError::NotText(field)),
        }
    }

    /// Takes an `mpint` that must not be negative; gives its magnitude, big-endian, without leading zeros.
    pub fn unsigned_mpint(&mut self, field: &'static str) -> Result<&'a [u8], WireError> {
        let bytes = self.string(field)?;
        match bytes {
            [0, second, ..] if second & 0x80 == 0 => Err(WireError::BadMpint),
            [0] => Err(WireError::BadMpint),
            [0, magnitude @ ..] => Ok(magnitude),
            [first, ..] if first & 0x80 != 0 => Err(WireError::BadMpint),
            magnitude => Ok(magnitude),
        }
    }

    /// Ends the reading: every byte must have been taken.
    pub fn finish(self) -> Result<(), WireError> {
        match self.rest.len() {
            0 => Ok(()),
            n => Err(WireError::TrailingBytes(n)),
        }
    }
}

/// A comma-separated list of names, in order of preference (RFC 4251 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameList<'a>(&'a str);

impl<'a> NameList<'a> {
    /// The names, most preferred first.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.0.split(',').filter(|name| !name.is_empty())
    }

    /// True if `name` is in the list.
    pub fn contains(&self, name: &str) -> bool {
        self.iter().any(|n| n == name)
    }

    /// The list as it stood on the wire.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

/// Builds a message by appending SSH data types.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// A message that begins with its number.
    pub fn message(number: u8) -> Self {
        Self {
            bytes: vec![number],
        }
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends one `byte`.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    /// Appends a `boolean`.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.u8(u8::from(value))
    }

    /// Appends a `uint32`.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// Appends a `string`.
    ///
    /// # Panics
    /// If `value` is 4 GiB or longer; no caller builds such a field.
    pub fn string(&mut self, value: impl AsRef<[u8]>) -> &mut Self {
        let value = value.as_ref();
        self.u32(u32::try_from(value.len()).expect("an SSH string is shorter than 4 GiB"));
        self.raw(value)
    }

    /// Appends a `name-list`.
    pub fn name_list<S: AsRef<str>>(&mut self, names: impl IntoIterator<Item = S>) -> &mut Self {
        self.nested(|list| {
            for (i, name) in names.into_iter().enumerate() {
                if i > 0 {
                    list.u8(b',');
                }
                list.raw(name.as_ref().as_bytes());
            }
        })
    }

    /// Appends a non-negative `mpint` given by its big-endian magnitude.
    pub fn unsigned_mpint(&mut self, magnitude: &[u8]) -> &mut Self {
        let start = magnitude
            .iter()
            .position(|&b| b != 0)
            .unwrap_or(magnitude.len());
        let magnitude = &magnitude[start..];
        self.nested(|out| {
            if magnitude.first().is_some_and(|b| b & 0x80 != 0) {
                out.u8(0);
            }
            out.raw(magnitude);
        })
    }

    /// Appends a `string` whose content `fill` writes; the length cannot be got wrong.
    pub fn nested(&mut self, fill: impl FnOnce(&mut Writer)) -> &mut Self {
        let at = self.bytes.len();
        self.u32(0);
        fill(self);
        let len =
            u32::try_from(self.bytes.len() - at - 4).expect("an SSH string is shorter than 4 GiB");
        self.bytes[at..at + 4].copy_from_slice(&len.to_be_bytes());
        self
    }

    /// The bytes so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// The finished message.
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_list_that_would_write_to_a_terminal_is_no_text() {
        for list in ["a\nb", "a,\x1b[2J", "a b", "\u{e9}"] {
            let mut w = Writer::message(0);
            w.string(list);
            let mut reader = Reader::new(&w.as_slice()[1..]);
            assert_eq!(reader.name_list("list"), Err(WireError::NotText("list")));
        }
    }

    fn encoded_mpint(magnitude: &[u8]) -> Vec<u8> {
        let mut w = Writer::new();
        w.unsigned_mpint(magnitude);
        w.into_vec()
    }

    #[test]
    fn mpint_matches_the_examples_of_rfc_4251() {
        assert_eq!(encoded_mpint(&[]), [0, 0, 0, 0]);
        assert_eq!(
            encoded_mpint(&[0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7]),
            [0, 0, 0, 8, 0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7]
        );
        assert_eq!(encoded_mpint(&[0x80]), [0, 0, 0, 2, 0, 0x80]);
    }

    #[test]
    fn mpint_that_is_negative_or_padded_is_refused() {
        for bad in [&[0x80][..], &[0, 1], &[0]] {
            let mut w = Writer::new();
            w.string(bad);
            assert_eq!(
                Reader::new(w.as_slice()).unsigned_mpint("p"),
                Err(WireError::BadMpint)
            );
        }
    }

    #[test]
    fn claimed_length_beyond_the_message_is_truncation() {
        let mut r = Reader::new(&[0xff, 0xff, 0xff, 0xff, 1]);
        assert_eq!(r.string("name"), Err(WireError::Truncated("name")));
    }

    #[test]
    fn name_list_round_trips() {
        let mut w = Writer::new();
        w.name_list(["a", "b@c"]);
        assert_eq!(w.as_slice(), b"\0\0\0\x05a,b@c");
        let list = Reader::new(w.as_slice()).name_list("list").unwrap();
        assert_eq!(list.iter().collect::<Vec<_>>(), ["a", "b@c"]);
        assert!(list.contains("b@c") && !list.contains("b"));
    }

    #[test]
    fn finish_reports_bytes_left_over() {
        let mut r = Reader::new(&[1, 2, 3]);
        r.u8("first").unwrap();
        assert_eq!(r.finish(), Err(WireError::TrailingBytes(2)));
    }
}
