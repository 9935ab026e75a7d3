//! The text armour of key files (RFC 7468, RFC 1421): a label, perhaps headers, and base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::error::KeyFileFault;

/// A document taken out of its armour.
pub(super) struct Pem<'a> {
    /// Kind of key: `OPENSSH PRIVATE KEY`, `RSA PRIVATE KEY`, ...
    pub(super) label: &'a str,
    /// Its bytes, wiped when dropped.
    pub(super) content: Zeroizing<Vec<u8>>,
    /// Encryption, where a header names it: cipher and initialization vector.
    pub(super) dek_info: Option<&'a str>,
}

impl<'a> Pem<'a> {
    /// Reads the first document in `text`; what stands around it is ignored.
    pub(super) fn parse(text: &'a str) -> Result<Self, KeyFileFault> {
        let mut lines = text.lines().map(str::trim);
        let label = lines
            .find_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
            .ok_or(KeyFileFault::UnknownFormat)?;
        let mut base64 = Zeroizing::new(String::with_capacity(text.len()));
        let mut dek_info = None;
        for line in lines {
            if line.starts_with("-----END ") {
                let content = STANDARD.decode(base64.as_bytes());
                return Ok(Self {
                    label,
                    content: Zeroizing::new(content.map_err(|_| KeyFileFault::BadPem)?),
                    dek_info,
                });
            }
            match line.split_once(':') {
                Some(("DEK-Info", value)) => dek_info = Some(value.trim()),
                Some(_) => {}
                None => base64.push_str(line),
            }
        }
        Err(KeyFileFault::BadPem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_is_found_among_other_text() {
        let text = "Bag\n-----BEGIN A B-----\r\nName: x\r\n\r\nAQI\r\nD\r\n-----END A B-----\r\n";
        let pem = Pem::parse(text).unwrap();
        assert_eq!((pem.label, &pem.content[..]), ("A B", &[1, 2, 3][..]));
    }

    #[test]
    fn encryption_is_found_in_a_header() {
        let text =
            "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X,00\n\nAQID\n-----END A-----\n";
        assert_eq!(Pem::parse(text).unwrap().dek_info, Some("X,00"));
    }

    #[test]
    fn broken_documents_are_told_apart() {
        for (text, fault) in [
            ("", KeyFileFault::UnknownFormat),
            ("ssh-ed25519 AAAA", KeyFileFault::UnknownFormat),
            ("-----BEGIN A-----\nAQID\n", KeyFileFault::BadPem),
            (
                "-----BEGIN A-----\nAQ!D\n-----END A-----",
                KeyFileFault::BadPem,
            ),
        ] {
            assert_eq!(Pem::parse(text).err(), Some(fault), "{text}");
        }
    }
}
