//! Private keys in OpenSSH's own format (its PROTOCOL.key): a public key in the clear and, mostly
//! encrypted, the private one.
//!
//! The `ssh-key` crate derives the key of the encryption and decrypts. Its own parser is not used: it
//! takes no ECDSA scalar with a leading zero byte, which every other P-521 key has.

use adit_proto::key::{EcdsaCurve, KeyError, KeyType, PublicKey, RsaComponents, SigningKey};
use adit_proto::wire::{Reader, WireError};
use ssh_key::{Cipher, Kdf};
use zeroize::Zeroizing;

use super::error::KeyFileFault;

/// The label of such files.
pub(super) const LABEL: &str = "OPENSSH PRIVATE KEY";

const MAGIC: &[u8] = b"openssh-key-v1\0";
/// Rounds of bcrypt that we go through: `ssh-keygen` makes 16 or 24, each takes some milliseconds.
const MAX_ROUNDS: u32 = 4096;
/// Bytes of the tag that an authenticating cipher leaves behind the ciphertext.
const TAG_LEN: usize = 16;

/// A key file's content, not yet decrypted.
pub(super) struct Container<'a> {
    cipher: &'a str,
    kdf: &'a str,
    kdf_options: &'a [u8],
    public: &'a [u8],
    private: &'a [u8],
    tag: &'a [u8],
}

/// Reason why there is no key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyOpenError {
    NeedsPassphrase,
    WrongPassphrase,
    Fault(KeyFileFault),
}

impl<T: Into<KeyFileFault>> From<T> for KeyOpenError {
    fn from(why: T) -> Self {
        Self::Fault(why.into())
    }
}

impl<'a> Container<'a> {
    /// Splits the content into its fields.
    pub(super) fn parse(content: &'a [u8]) -> Result<Self, KeyFileFault> {
        let rest = content
            .strip_prefix(MAGIC)
            .ok_or(WireError::BadValue("magic of an OpenSSH key"))?;
        let mut r = Reader::new(rest);
        let (cipher, kdf) = (r.text("cipher")?, r.text("key derivation")?);
        let kdf_options = r.string("key derivation options")?;
        if r.u32("number of keys")? != 1 {
            return Err(WireError::BadValue("number of keys").into());
        }
        Ok(Self {
            cipher,
            kdf,
            kdf_options,
            public: r.string("public key")?,
            private: r.string("private key")?,
            tag: r.rest(),
        })
    }

    /// The public key, for which no passphrase is needed.
    pub(super) fn public_key(&self) -> Result<PublicKey, KeyError> {
        PublicKey::parse(self.public)
    }

    /// The private key, decrypted if need be.
    pub(super) fn open(&self, passphrase: Option<&str>) -> Result<SigningKey, KeyOpenError> {
        if self.cipher == "none" {
            if !self.tag.is_empty() {
                return Err(bad("end of file").into());
            }
            return self.read_private(self.private);
        }
        let passphrase = passphrase.ok_or(KeyOpenError::NeedsPassphrase)?;
        let plain = self.decrypt(passphrase)?;
        self.read_private(&plain)
    }

    fn decrypt(&self, passphrase: &str) -> Result<Zeroizing<Vec<u8>>, KeyOpenError> {
        let unsupported = |what: &str| {
            KeyFileFault::Encryption(what.chars().filter(|c| !c.is_control()).take(64).collect())
        };
        let cipher = Cipher::new(self.cipher).map_err(|_| unsupported(self.cipher))?;
        // The library knows its name only.
        if cipher == Cipher::TDesCbc {
            return Err(unsupported(self.cipher).into());
        }
        if self.kdf != "bcrypt" {
            return Err(unsupported(self.kdf).into());
        }
        let mut options = Reader::new(self.kdf_options);
        let salt = options.string("salt")?.to_vec();
        let rounds = options.u32("rounds")?;
        options.finish()?;
        if !(1..=MAX_ROUNDS).contains(&rounds) {
            return Err(unsupported(&format!("bcrypt of {rounds} rounds")).into());
        }
        let tag = match cipher.has_tag() {
            true => Some(<[u8; TAG_LEN]>::try_from(self.tag).map_err(|_| bad("tag"))?),
            false if !self.tag.is_empty() => return Err(bad("end of file").into()),
            false => None,
        };
        if !self.private.len().is_multiple_of(cipher.block_size()) {
            return Err(bad("length of private key").into());
        }
        // The library refuses an empty passphrase, with which nothing can be encrypted.
        let (key, iv) = Kdf::Bcrypt { salt, rounds }
            .derive_key_and_iv(cipher, passphrase)
            .map_err(|_| KeyOpenError::WrongPassphrase)?;
        let mut plain = Zeroizing::new(self.private.to_vec());
        let decrypted = cipher.decrypt(&key, &iv, &mut plain, tag);
        decrypted.map_err(|_| KeyOpenError::WrongPassphrase)?;
        Ok(plain)
    }

    /// Reads the decrypted part: twice the same random number, key, comment, padding 1, 2, 3, ...
    fn read_private(&self, plain: &[u8]) -> Result<SigningKey, KeyOpenError> {
        let mut r = Reader::new(plain);
        if r.u32("check number")? != r.u32("check number")? {
            return Err(match self.cipher {
                "none" => bad("check number").into(),
                _ => KeyOpenError::WrongPassphrase,
            });
        }
        let key = read_key(&mut r)?;
        r.string("comment")?;
        if !(1..=u8::MAX).zip(r.rest()).all(|(n, &pad)| n == pad) || r.rest().len() > 255 {
            return Err(bad("padding").into());
        }
        if key.public_key().blob() != self.public {
            return Err(KeyFileFault::PublicMismatch.into());
        }
        Ok(key)
    }
}

fn bad(field: &'static str) -> KeyFileFault {
    WireError::BadValue(field).into()
}

fn read_key(r: &mut Reader<'_>) -> Result<SigningKey, KeyFileFault> {
    let name = r.text("key type")?;
    match KeyType::from_name(name) {
        Some(KeyType::Ed25519) => read_ed25519(r),
        Some(KeyType::Ecdsa(curve)) => read_ecdsa(r, curve),
        Some(KeyType::Rsa) => read_rsa(r),
        None => {
            let shown = name.chars().take(64).collect();
            Err(KeyError::UnknownKeyType(shown).into())
        }
    }
}

fn read_ed25519(r: &mut Reader<'_>) -> Result<SigningKey, KeyFileFault> {
    let public = r.string("Ed25519 point")?;
    let pair = r.string("Ed25519 key")?;
    let (seed, again) = pair
        .split_first_chunk::<32>()
        .ok_or(WireError::Truncated("Ed25519 key"))?;
    if again != public {
        return Err(KeyFileFault::PublicMismatch);
    }
    // That the point belongs to the seed shows when the blobs are compared.
    Ok(SigningKey::from_ed25519_seed(seed)?)
}

fn read_ecdsa(r: &mut Reader<'_>, curve: EcdsaCurve) -> Result<SigningKey, KeyFileFault> {
    if r.string("curve")? != curve.as_str().as_bytes() {
        return Err(bad("curve"));
    }
    let point = r.string("ECDSA point")?;
    Ok(SigningKey::from_ecdsa(
        curve,
        r.unsigned_mpint("ECDSA scalar")?,
        point,
    )?)
}

fn read_rsa(r: &mut Reader<'_>) -> Result<SigningKey, KeyFileFault> {
    // Fields are evaluated in the order written here, which is that of the file.
    Ok(SigningKey::from_rsa(&RsaComponents {
        n: r.unsigned_mpint("RSA n")?,
        e: r.unsigned_mpint("RSA e")?,
        d: r.unsigned_mpint("RSA d")?,
        iqmp: r.unsigned_mpint("RSA iqmp")?,
        p: r.unsigned_mpint("RSA p")?,
        q: r.unsigned_mpint("RSA q")?,
    })?)
}
