//! From the lists of `Ciphers`, `MACs`, `KexAlgorithms` and `HostKeyAlgorithms` to what the core offers, and from
//! `PubkeyAcceptedAlgorithms` to what keys of users sign with.

use adit_proto::cipher::{CipherName, MacName};
use adit_proto::kex::KexAlgorithm;
use adit_proto::key::SignatureAlgorithm;
use adit_proto::transport::algorithms::{Algorithms, Compression, WithoutStrictKex};

use super::algorithms::{AlgorithmError, AlgorithmList};
use super::connection::ConnectionOptions;

/// Offer to the peer, and the configured names that this program does not have.
#[derive(Debug, Clone)]
pub struct AlgorithmOffer {
    /// Algorithms to offer.
    pub algorithms: Algorithms,
    /// Names to warn about.
    pub passed_over: Vec<String>,
}

impl ConnectionOptions {
    /// The offer of a client that the four lists make; a list that is set nowhere offers everything.
    ///
    /// # Errors
    /// A list of which nothing is left.
    pub fn offer(&self, compression: Compression) -> Result<AlgorithmOffer, AlgorithmError> {
        self.offer_by_default(&KexAlgorithm::ALL, MacName::ALL, compression)
    }

    fn offer_by_default(
        &self,
        kex: &[KexAlgorithm],
        macs: &[MacName],
        compression: Compression,
    ) -> Result<AlgorithmOffer, AlgorithmError> {
        let mut passed_over = Vec::new();
        let algorithms = Algorithms {
            ciphers: pick(
                self.ciphers.as_ref(),
                [CipherName::ALL; 2],
                CipherName::as_str,
                &mut passed_over,
            )?,
            macs: pick(
                self.macs.as_ref(),
                [macs, MacName::ALL],
                MacName::as_str,
                &mut passed_over,
            )?,
            kex: pick(
                self.kex_algorithms.as_ref(),
                [kex, &KexAlgorithm::ALL],
                KexAlgorithm::as_str,
                &mut passed_over,
            )?,
            host_key: pick(
                self.host_key_algorithms.as_ref(),
                [&SignatureAlgorithm::ALL; 2],
                SignatureAlgorithm::as_str,
                &mut passed_over,
            )?,
            user_key: SignatureAlgorithm::ALL.to_vec(),
            compression,
            without_strict_kex: match self.allow_terrapin {
                Some(true) => WithoutStrictKex::GoOn,
                _ => WithoutStrictKex::Refuse,
            },
        };
        Ok(AlgorithmOffer {
            algorithms,
            passed_over,
        })
    }

    /// The same for a server, which offers what is for old servers only if a list names it, and takes from users only what `PubkeyAcceptedAlgorithms` names.
    ///
    /// # Errors
    /// A list of which nothing is left.
    pub fn server_offer(&self, compression: Compression) -> Result<AlgorithmOffer, AlgorithmError> {
        let mut offer =
            self.offer_by_default(KexAlgorithm::SERVER, MacName::SERVER, compression)?;
        // A server has no groups for a client to choose from.
        let kex = &mut offer.algorithms.kex;
        for without in kex.extract_if(.., |k| k.is_group_exchange()) {
            offer.passed_over.push(without.as_str().to_owned());
        }
        offer.algorithms.user_key = self.accepted(&mut offer.passed_over)?;
        Ok(offer)
    }

    /// Signature algorithms that `PubkeyAcceptedAlgorithms` allows for keys of users, the preferred first; all of them
    /// where it is not set. Names that this program does not have are passed over in silence: those lists mostly name
    /// certificates, too.
    ///
    /// # Errors
    /// Nothing is left.
    pub fn accepted_signatures(&self) -> Result<Vec<SignatureAlgorithm>, AlgorithmError> {
        self.accepted(&mut Vec::new())
    }

    fn accepted(
        &self,
        passed_over: &mut Vec<String>,
    ) -> Result<Vec<SignatureAlgorithm>, AlgorithmError> {
        pick(
            self.pubkey_accepted_algorithms.as_ref(),
            [&SignatureAlgorithm::ALL; 2],
            SignatureAlgorithm::as_str,
            passed_over,
        )
    }
}

impl AlgorithmOffer {
    /// The names that were passed over, in words.
    pub fn warnings(&self) -> Vec<String> {
        let names = self.passed_over.iter();
        names
            .map(|name| format!("{name}: adit does not have this algorithm"))
            .collect()
    }
}

/// Applies a list to the default, the first of the two, given all that there is.
fn pick<T: Copy>(
    list: Option<&AlgorithmList>,
    [default, all]: [&[T]; 2],
    name: impl Fn(T) -> &'static str,
    passed_over: &mut Vec<String>,
) -> Result<Vec<T>, AlgorithmError> {
    let Some(list) = list else {
        return Ok(default.to_vec());
    };
    let [default, names] = [default, all].map(|l| l.iter().map(|&a| name(a)).collect::<Vec<_>>());
    let resolved = list.resolve(&default, &names)?;
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
        let options = ConnectionOptions {
            ciphers: Some(ciphers),
            ..ConnectionOptions::default()
        };
        let offer = options.offer(Compression::Off).unwrap();
        assert_eq!(
            offer.algorithms.ciphers,
            [CipherName::Aes128Ctr, CipherName::Aes256Gcm]
        );
        assert_eq!(offer.passed_over, ["3des-cbc"]);
        assert_eq!(offer.algorithms.macs, MacName::ALL);
    }

    #[test]
    fn server_has_what_old_peers_need_only_if_a_list_names_it() {
        let options = |kex: Option<&str>, macs: Option<&str>| ConnectionOptions {
            kex_algorithms: kex.map(|l| AlgorithmList::parse(AlgorithmKind::Kex, l).unwrap()),
            macs: macs.map(|l| AlgorithmList::parse(AlgorithmKind::Mac, l).unwrap()),
            ..ConnectionOptions::default()
        };
        let client = options(None, None).offer(Compression::Off).unwrap();
        let has_dh = |o: &AlgorithmOffer| o.algorithms.kex.contains(&KexAlgorithm::DhGroup14Sha256);
        let has_sha1 = |o: &AlgorithmOffer| o.algorithms.macs.contains(&MacName::HmacSha1);
        assert!(has_dh(&client) && has_sha1(&client));
        let server = |kex, macs| options(kex, macs).server_offer(Compression::Off).unwrap();
        let default = server(None, None);
        assert!(!has_dh(&default) && !has_sha1(&default));
        let asked = server(
            Some("+diffie-hellman-group14-sha256,diffie-hellman-group-exchange-sha256"),
            Some("+hmac-sha1"),
        );
        assert!(has_dh(&asked) && has_sha1(&asked));
        assert_eq!(asked.passed_over, ["diffie-hellman-group-exchange-sha256"]);
        assert!(!has_dh(&server(Some("-ecdh*"), None)));
    }

    #[test]
    fn open_pairs_are_refused_unless_the_setting_allows_them() {
        for (setting, expected) in [
            (None, WithoutStrictKex::Refuse),
            (Some(false), WithoutStrictKex::Refuse),
            (Some(true), WithoutStrictKex::GoOn),
        ] {
            let options = ConnectionOptions {
                allow_terrapin: setting,
                ..ConnectionOptions::default()
            };
            let offer = options.offer(Compression::Off).unwrap();
            assert_eq!(offer.algorithms.without_strict_kex, expected);
        }
    }

    #[test]
    fn server_takes_the_keys_that_its_list_accepts() {
        let accepts = |list| {
            let list = AlgorithmList::parse(AlgorithmKind::Signature, list).unwrap();
            let options = ConnectionOptions {
                pubkey_accepted_algorithms: Some(list),
                ..ConnectionOptions::default()
            };
            options.server_offer(Compression::Off)
        };
        let offer = accepts("ssh-ed25519,ssh-rsa").unwrap();
        assert_eq!(offer.algorithms.user_key, [SignatureAlgorithm::Ed25519]);
        assert_eq!(offer.passed_over, ["ssh-rsa"]);
        let offer = accepts("-ecdsa-*,ssh-ed25519").unwrap();
        let rsa = [SignatureAlgorithm::RsaSha512, SignatureAlgorithm::RsaSha256];
        assert_eq!(offer.algorithms.user_key, rsa);
        // A list of keys that this server cannot check must not let in those that it can.
        assert!(accepts("sk-ssh-ed25519@openssh.com").is_err());
    }
}
