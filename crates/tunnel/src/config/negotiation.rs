//! From the lists of `Ciphers`, `MACs`, `KexAlgorithms` and `HostKeyAlgorithms` to what the core offers.

use adit_proto::cipher::{CipherName, MacName};
use adit_proto::kex::KexAlgorithm;
use adit_proto::key::SignatureAlgorithm;
use adit_proto::transport::algorithms::{Algorithms, Compression};

use super::algorithms::{AlgorithmError, AlgorithmList};

/// The four lists as configured; none means the default.
#[derive(Debug, Clone, Copy)]
pub struct Lists<'a> {
    /// `Ciphers`.
    pub ciphers: Option<&'a AlgorithmList>,
    /// `MACs`.
    pub macs: Option<&'a AlgorithmList>,
    /// `KexAlgorithms`.
    pub kex: Option<&'a AlgorithmList>,
    /// `HostKeyAlgorithms`.
    pub host_key: Option<&'a AlgorithmList>,
}

/// What to offer, and the configured names that this program does not have.
#[derive(Debug, Clone)]
pub struct Offer {
    /// What to offer.
    pub algorithms: Algorithms,
    /// Names to warn about.
    pub passed_over: Vec<String>,
}

impl Lists<'_> {
    /// The offer these lists make.
    ///
    /// # Errors
    /// A list of which nothing is left.
    pub fn offer(&self, compression: Compression) -> Result<Offer, AlgorithmError> {
        let mut passed_over = Vec::new();
        let algorithms = Algorithms {
            ciphers: pick(
                self.ciphers,
                CipherName::ALL,
                CipherName::as_str,
                &mut passed_over,
            )?,
            macs: pick(self.macs, MacName::ALL, MacName::as_str, &mut passed_over)?,
            kex: pick(
                self.kex,
                &KexAlgorithm::ALL,
                KexAlgorithm::as_str,
                &mut passed_over,
            )?,
            host_key: pick(
                self.host_key,
                &SignatureAlgorithm::ALL,
                SignatureAlgorithm::as_str,
                &mut passed_over,
            )?,
            compression,
        };
        Ok(Offer {
            algorithms,
            passed_over,
        })
    }
}

fn pick<T: Copy>(
    list: Option<&AlgorithmList>,
    all: &[T],
    name: impl Fn(T) -> &'static str,
    passed_over: &mut Vec<String>,
) -> Result<Vec<T>, AlgorithmError> {
    let Some(list) = list else {
        return Ok(all.to_vec());
    };
    let names: Vec<&str> = all.iter().map(|&a| name(a)).collect();
    let resolved = list.resolve(&names, &names)?;
    passed_over.extend(resolved.passed_over);
    let chosen = resolved.names.iter();
    Ok(chosen
        .filter_map(|wanted| all.iter().copied().find(|&a| name(a) == wanted))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::algorithms::AlgorithmKind;

    #[test]
    fn lists_choose_and_order_what_is_offered() {
        let ciphers = AlgorithmList::parse(
            AlgorithmKind::Cipher,
            "aes128-ctr,3des-cbc,aes256-gcm@openssh.com",
        )
        .unwrap();
        let lists = Lists {
            ciphers: Some(&ciphers),
            macs: None,
            kex: None,
            host_key: None,
        };
        let offer = lists.offer(Compression::Off).unwrap();
        assert_eq!(
            offer.algorithms.ciphers,
            [CipherName::Aes128Ctr, CipherName::Aes256Gcm]
        );
        assert_eq!(offer.passed_over, ["3des-cbc"]);
        assert_eq!(offer.algorithms.macs, MacName::ALL);
    }
}
