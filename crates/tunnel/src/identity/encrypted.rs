//! Private keys that are encrypted inside PEM: PKCS#8 (RFC 5958 §3, RFC 8018), and the way that OpenSSL had before
//! (`Proc-Type: 4,ENCRYPTED`).
//!
//! RustCrypto decrypts; the order in which the older way applies MD5 and a cipher is all that stands here.

use adit_proto::key::{KeyError, SigningKey};
use adit_proto::wire::WireError;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, KeyIvInit};
use md5::{Digest as _, Md5};
use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::pkcs5::pbes2::Kdf;
use zeroize::Zeroizing;

use super::error::KeyFileFault;
use super::openssh::KeyOpenError;

/// Rounds of PBKDF2 that we go through: OpenSSL makes 2,048, careful people a million, each takes half a microsecond.
const MAX_ROUNDS: u32 = 10_000_000;
/// Bytes that scrypt may take; ten times what careful people give it.
const MAX_SCRYPT_MEMORY: u64 = 1 << 30;
/// Passes of scrypt over them.
const MAX_SCRYPT_PASSES: u16 = 16;

/// Bytes of the initialization vector that are the salt of the key, too.
const DEK_SALT_LEN: usize = 8;

/// The key in a document with the label `ENCRYPTED PRIVATE KEY`.
pub(super) fn open_pkcs8(der: &[u8], passphrase: Option<&str>) -> Result<SigningKey, KeyOpenError> {
    let malformed = |_| KeyFileFault::from(WireError::BadValue("encrypted PKCS#8 key"));
    let info = EncryptedPrivateKeyInfo::try_from(der).map_err(malformed)?;
    let scheme = &info.encryption_algorithm;
    let Some(parameters) = scheme.pbes2() else {
        return Err(unsupported(&format!("PBES1 ({})", scheme.oid())).into());
    };
    check_work(&parameters.kdf)?;
    let passphrase = passphrase.ok_or(KeyOpenError::NeedsPassphrase)?;
    let plain = info
        .decrypt(passphrase)
        .map_err(|_| KeyOpenError::WrongPassphrase)?;
    decrypted(SigningKey::from_pkcs8_der(plain.as_bytes()))
}

/// A file must not keep the login busy for minutes.
fn check_work(kdf: &Kdf<'_>) -> Result<(), KeyFileFault> {
    match kdf {
        Kdf::Pbkdf2(p) if p.iteration_count > MAX_ROUNDS => Err(unsupported(&format!(
            "PBKDF2 of {} rounds",
            p.iteration_count
        ))),
        Kdf::Scrypt(p) => {
            let memory = p
                .cost_parameter
                .saturating_mul(128 * u64::from(p.block_size));
            match memory > MAX_SCRYPT_MEMORY || p.parallelization > MAX_SCRYPT_PASSES {
                true => Err(unsupported(&format!("scrypt of {memory} bytes"))),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// The key in a document with a `DEK-Info` header, whose value is `dek_info`: cipher and initialization vector.
pub(super) fn open_old(
    content: &[u8],
    dek_info: &str,
    passphrase: Option<&str>,
    read: impl Fn(&[u8]) -> Result<SigningKey, KeyError>,
) -> Result<SigningKey, KeyOpenError> {
    let (cipher, iv) = dek_info.split_once(',').unwrap_or((dek_info, ""));
    let decrypt = match cipher.trim() {
        "AES-128-CBC" => decrypt::<cbc::Decryptor<aes::Aes128>>,
        "AES-192-CBC" => decrypt::<cbc::Decryptor<aes::Aes192>>,
        "AES-256-CBC" => decrypt::<cbc::Decryptor<aes::Aes256>>,
        "DES-EDE3-CBC" => decrypt::<cbc::Decryptor<des::TdesEde3>>,
        other => return Err(unsupported(other).into()),
    };
    let iv = from_hex(iv.trim()).filter(|iv| iv.len() >= DEK_SALT_LEN);
    let iv = iv.ok_or_else(|| KeyFileFault::from(WireError::BadValue("DEK-Info")))?;
    let passphrase = passphrase.ok_or(KeyOpenError::NeedsPassphrase)?;
    let plain = decrypt(content, &iv, passphrase).ok_or(KeyOpenError::WrongPassphrase)?;
    decrypted(read(&plain))
}

/// One wrong passphrase in 256 leaves a padding that looks right, and then no key.
fn decrypted(key: Result<SigningKey, KeyError>) -> Result<SigningKey, KeyOpenError> {
    match key {
        Err(KeyError::BadPrivateKey { .. }) => Err(KeyOpenError::WrongPassphrase),
        key => Ok(key?),
    }
}

/// None if the padding is wrong, or the vector has another length than the cipher's.
fn decrypt<D>(content: &[u8], iv: &[u8], passphrase: &str) -> Option<Zeroizing<Vec<u8>>>
where
    D: KeyIvInit + BlockDecryptMut,
{
    let key = stretch(passphrase, &iv[..DEK_SALT_LEN], D::key_size());
    let cipher = D::new_from_slices(&key, iv).ok()?;
    let mut plain = Zeroizing::new(content.to_vec());
    let len = cipher.decrypt_padded_mut::<Pkcs7>(&mut plain).ok()?.len();
    plain.truncate(len);
    Some(plain)
}

/// The key of a passphrase, as OpenSSL derives it: MD5 over the block before, passphrase and salt, block after block.
fn stretch(passphrase: &str, salt: &[u8], len: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(len.next_multiple_of(16)));
    while key.len() < len {
        let mut hash = Md5::new();
        hash.update(&key[key.len().saturating_sub(16)..]);
        hash.update(passphrase);
        hash.update(salt);
        let block = Zeroizing::new(<[u8; 16]>::from(hash.finalize()));
        key.extend_from_slice(block.as_slice());
    }
    key.truncate(len);
    key
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            let text = std::str::from_utf8(pair).ok().filter(|t| t.len() == 2)?;
            u8::from_str_radix(text, 16).ok()
        })
        .collect()
}

fn unsupported(what: &str) -> KeyFileFault {
    KeyFileFault::Encryption(what.chars().filter(|c| !c.is_control()).take(64).collect())
}
