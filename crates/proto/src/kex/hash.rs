//! The hash of a key exchange, and the exchange hash `H` that the server signs.

use aws_lc_rs::digest::{self, Digest};

use super::{KexAlgorithm, SharedSecret};

/// The hash function that a key exchange algorithm names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// SHA-256: 32 bytes.
    Sha256,
    /// SHA-384: 48 bytes.
    Sha384,
    /// SHA-512: 64 bytes.
    Sha512,
}

impl HashAlgorithm {
    /// Bytes that the hash gives.
    pub fn output_len(self) -> usize {
        self.algorithm().output_len()
    }

    /// A computation of this hash that has seen nothing yet.
    pub(super) fn context(self) -> digest::Context {
        digest::Context::new(self.algorithm())
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            HashAlgorithm::Sha256 => &digest::SHA256,
            HashAlgorithm::Sha384 => &digest::SHA384,
            HashAlgorithm::Sha512 => &digest::SHA512,
        }
    }
}

/// Handshake as both sides saw it, in the order in which it is hashed (RFC 5656 §4, RFC 8731 §3,
/// draft-ietf-sshm-mlkem-hybrid-kex).
#[derive(Debug, Clone, Copy)]
pub struct ExchangeInput<'a> {
    /// `V_C`: the client's identification line, without CR and LF.
    pub client_ident: &'a [u8],
    /// `V_S`: the server's identification line, without CR and LF.
    pub server_ident: &'a [u8],
    /// `I_C`: the payload of the client's KEXINIT, from the message number on.
    pub client_kexinit: &'a [u8],
    /// `I_S`: the payload of the server's KEXINIT, from the message number on.
    pub server_kexinit: &'a [u8],
    /// `K_S`: the server's host key.
    pub host_key_blob: &'a [u8],
    /// Group of a group exchange (RFC 4419 §3), encoded: the sizes asked for, prime and generator. Empty otherwise.
    pub group: &'a [u8],
    /// `Q_C`, `C_INIT` or `e`: the client's public value.
    pub client_init: &'a [u8],
    /// `Q_S`, `S_REPLY` or `f`: the server's public value.
    pub server_reply: &'a [u8],
}

impl ExchangeInput<'_> {
    /// The exchange hash `H`: what the server signs and, of the first exchange, the session identifier.
    ///
    /// # Panics
    /// If a field is 4 GiB or longer; each of them came out of one packet.
    pub fn exchange_hash(&self, algorithm: KexAlgorithm, secret: &SharedSecret) -> Vec<u8> {
        let mut context = algorithm.hash().context();
        let mut string = |field: &[u8]| {
            context.update(&length(field.len()));
            context.update(field);
        };
        string(self.client_ident);
        string(self.server_ident);
        string(self.client_kexinit);
        string(self.server_kexinit);
        string(self.host_key_blob);
        context.update(self.group);
        for public_value in [self.client_init, self.server_reply] {
            context.update(&length(public_value.len()));
            context.update(public_value);
        }
        secret.feed(&mut context);
        context.finish().as_ref().to_vec()
    }
}

/// Ends a hash whose value is secret: appends the value to `out`, which has room for it, and wipes the other copy.
pub(super) fn finish_secret(context: digest::Context, out: &mut Vec<u8>) {
    let mut digest = context.finish();
    out.extend_from_slice(digest.as_ref());
    wipe(&mut digest);
}

/// The library neither wipes a digest that is dropped nor lends its bytes to be written to; it can be replaced by zeros.
/// What the library's own stack frames hold is out of reach.
fn wipe(digest: &mut Digest) {
    let zeros = &[0; digest::MAX_OUTPUT_LEN][..digest.as_ref().len()];
    if let Ok(zeros) = Digest::import_less_safe(zeros, digest.algorithm()) {
        *digest = zeros;
    }
    // Otherwise nobody reads the zeros, and the compiler need not write them.
    zeroize::optimization_barrier(digest);
}

/// The length in front of a `string` (RFC 4251 §5).
pub(super) fn length(len: usize) -> [u8; 4] {
    u32::try_from(len)
        .expect("an SSH string is shorter than 4 GiB")
        .to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::vectors::{EXCHANGES, hex};
    use super::*;

    #[test]
    fn wiped_digest_holds_nothing_of_the_secret() {
        for hash in [
            HashAlgorithm::Sha256,
            HashAlgorithm::Sha384,
            HashAlgorithm::Sha512,
        ] {
            let mut digest = hash.context().finish();
            wipe(&mut digest);
            assert_eq!(digest.as_ref(), vec![0; hash.output_len()]);
        }
    }

    #[test]
    fn exchange_hash_matches_an_independent_computation() {
        for case in EXCHANGES {
            let hash = case.hash(|_| {});
            assert_eq!(hash, hex(case.exchange_hash), "{}", case.algorithm);
            assert_eq!(hash.len(), case.algorithm.hash().output_len());
        }
    }

    #[test]
    fn every_field_changes_the_hash() {
        let case = &EXCHANGES[0];
        let mut seen = vec![
            case.hash(|_| {}),
            case.hash(|input| input.client_ident = b"other"),
            case.hash(|input| input.server_ident = b"other"),
            case.hash(|input| input.client_kexinit = b"other"),
            case.hash(|input| input.server_kexinit = b"other"),
            case.hash(|input| input.host_key_blob = b"other"),
            case.hash(|input| input.group = b"other"),
            case.hash(|input| input.client_init = b"other"),
            case.hash(|input| input.server_reply = b"other"),
        ];
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 9);
    }
}
