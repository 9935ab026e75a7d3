//! The key of a line: its type and its blob in base64 (RFC 4253 §6.6).
//!
//! A key is its bytes: two keys are the same if their blobs are, and nothing here needs to understand an algorithm.

use adit_proto::wire::Reader;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The blob in `type base64 comment`; none if a field is missing or wrong, or the type is not the one inside.
pub(super) fn blob(line: &str) -> Option<Vec<u8>> {
    let (key_type, rest) = split_field(line)?;
    let (base64, _comment) = split_field(rest)?;
    let blob = STANDARD.decode(base64).ok()?;
    let mut reader = Reader::new(&blob);
    let inside = reader.text("key type").ok()?;
    let matches = inside == key_type && !reader.rest().is_empty();
    matches.then_some(blob)
}

/// Splits off the first field; fields are separated by blanks and tabs. `None` if there is none.
fn split_field(line: &str) -> Option<(&str, &str)> {
    let blank = |c: char| c == ' ' || c == '\t';
    let line = line.trim_matches(|c: char| blank(c) || c == '\r' || c == '\n');
    if line.is_empty() {
        return None;
    }
    let (field, rest) = line.split_once(blank).unwrap_or((line, ""));
    Some((field, rest.trim_start_matches(blank)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me@there now";

    #[test]
    fn line_gives_the_blob() {
        assert_eq!(blob(LINE).unwrap().len(), 51);
    }

    #[test]
    fn lines_that_are_no_keys_give_nothing() {
        let renamed = LINE.replacen("ssh-ed25519", "ssh-rsa", 1);
        for line in ["", "ssh-ed25519", "ssh-ed25519 A*", "x AAAA", &renamed] {
            assert_eq!(blob(line), None, "{line}");
        }
    }
}
