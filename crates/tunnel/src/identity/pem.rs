//! The text armour of key files (RFC 7468, RFC 1421): a label, perhaps headers, and base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::error::KeyFileFault;

/// A document taken out of its armour.
pub(super) struct Pem<'a> {
    /// What it is: `OPENSSH PRIVATE KEY`, `RSA PRIVATE KEY`, ...
    pub(super) label: &'a str,
    /// Its bytes, wiped when dropped.
    pub(super) content: Zeroizing<Vec<u8>>,
}

impl<'a> Pem<'a> {
    /// Reads the first document in `text`; what stands around it is ignored.
    pub(super) fn parse(text: &'a str) -> Result<Self, KeyFileFault> {
        let mut lines = text.lines().map(str::trim);
        let label = lines
            .find_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
            .ok_or(KeyFileFault::UnknownFormat)?;
        if label == "ENCRYPTED PRIVATE KEY" {
            return Err(KeyFileFault::EncryptedPem);
        }
        let mut base64 = Zeroizing::new(String::with_capacity(text.len()));
        for line in lines {
            if line.starts_with("-----END ") {
                let content = STANDARD.decode(base64.as_bytes());
                return Ok(Self {
                    label,
                    content: Zeroizing::new(content.map_err(|_| KeyFileFault::BadPem)?),
                });
            }
            match line.split_once(':') {
                Some(("Proc-Type", value)) if value.contains("ENCRYPTED") => {
                    return Err(KeyFileFault::EncryptedPem);
                }
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
    fn broken_documents_are_told_apart() {
        for (text, fault) in [
            ("", KeyFileFault::UnknownFormat),
            ("ssh-ed25519 AAAA", KeyFileFault::UnknownFormat),
            ("-----BEGIN A-----\nAQID\n", KeyFileFault::BadPem),
            (
                "-----BEGIN A-----\nAQ!D\n-----END A-----",
                KeyFileFault::BadPem,
            ),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
                KeyFileFault::EncryptedPem,
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
                KeyFileFault::EncryptedPem,
            ),
        ] {
            assert_eq!(Pem::parse(text).err(), Some(fault), "{text}");
        }
    }
}
