//! Private keys in files: loading those of users and hosts, writing a new one for a host.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use adit_proto::key::{KeyError, PublicKey, SigningKey};
use adit_proto::residue::without_residue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey, PrivateKey};
use ssh_key::public::Ed25519PublicKey;
use zeroize::Zeroizing;

use super::encrypted;
use super::error::{IdentityError, KeyFileFault, MAX_FILE_LEN};
use super::openssh::{self, Container, KeyOpenError};
use super::pem::Pem;
use crate::small_file::{SmallFile, names_descriptor, open_to_write};

/// Permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;

/// Loads a private key; the passphrase is not looked at unless the key is encrypted.
///
/// Formats: OpenSSH's own, PKCS#8, PKCS#1 and SEC 1 in PEM, each encrypted or not. A file of ours that others can use is
/// refused, as OpenSSH does.
pub fn load(path: &Path, passphrase: Option<&str>) -> Result<SigningKey, IdentityError> {
    without_residue(|| load_by_value(path, passphrase))
}

fn load_by_value(path: &Path, passphrase: Option<&str>) -> Result<SigningKey, IdentityError> {
    let unusable = |why| IdentityError::unusable(path, why);
    let text = match read(path, Access::OwnerOnly) {
        // A public key is everybody's to read; what is wrong with it is another thing.
        Err(error @ IdentityError::Unprotected { .. }) => {
            let text = read(path, Access::Anyone)?;
            public_line(&text).ok_or(error)?;
            return Err(unusable(KeyFileFault::PublicKey));
        }
        read => read?,
    };
    let pem = Pem::parse(&text).map_err(|why| {
        unusable(match public_line(&text) {
            Some(_) => KeyFileFault::PublicKey,
            None => why,
        })
    })?;
    open(&pem, passphrase).map_err(|why| match why {
        KeyOpenError::NeedsPassphrase => IdentityError::NeedsPassphrase(path.to_owned()),
        KeyOpenError::WrongPassphrase => IdentityError::WrongPassphrase(path.to_owned()),
        KeyOpenError::Fault(fault) => unusable(fault),
    })
}

fn open(pem: &Pem<'_>, passphrase: Option<&str>) -> Result<SigningKey, KeyOpenError> {
    let der = &pem.content;
    let read: fn(&[u8]) -> Result<SigningKey, KeyError> = match pem.label {
        openssh::LABEL => return Container::parse(der)?.open(passphrase),
        "ENCRYPTED PRIVATE KEY" => return encrypted::open_pkcs8(der, passphrase),
        "PRIVATE KEY" => SigningKey::from_pkcs8_der,
        "RSA PRIVATE KEY" => SigningKey::from_pkcs1_der,
        "EC PRIVATE KEY" => SigningKey::from_sec1_der,
        _ => return Err(KeyFileFault::UnknownFormat.into()),
    };
    match pem.dek_info {
        Some(dek_info) => encrypted::open_old(der, dek_info, passphrase, read),
        None => Ok(read(der)?),
    }
}

/// The public half of a key, found without its passphrase: in the file's neighbour `.pub`, or in the
/// clear in the file itself, which may also be a public key (whose private half an agent holds).
///
/// None for a descriptor: a pipe can be read once, which is for [`load`].
pub fn public_half(path: &Path) -> Option<PublicKey> {
    if names_descriptor(path) {
        return None;
    }
    let neighbour = read(&neighbour(path), Access::Anyone).ok();
    if let Some(key) = neighbour.and_then(|text| public_line(&text)) {
        return Some(key);
    }
    let text = read(path, Access::Anyone).ok()?;
    match Pem::parse(&text) {
        Ok(pem) if pem.label == openssh::LABEL => {
            Container::parse(&pem.content).ok()?.public_key().ok()
        }
        _ => public_line(&text),
    }
}

/// Writes a new host key, Ed25519, not encrypted, in OpenSSH's format: `path` (0600) and `path.pub`.
///
/// A file at `path` is never overwritten; a `path.pub` without it is.
pub fn write_new_host_key(path: &Path, key: &SigningKey) -> Result<(), IdentityError> {
    let private = encode(key).map_err(|why| IdentityError::unusable(path, why))?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        |why| IdentityError::Io {
            act: "write",
            path,
            why,
        }
    };
    create_private(path, private.as_bytes()).map_err(failed(path))?;
    let public = key.public_key();
    let line = format!("{} {}\n", public.key_type(), STANDARD.encode(public.blob()));
    let neighbour = neighbour(path);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let opened = open_to_write(&mut options, &neighbour);
    let written = opened.and_then(|mut file| file.write_all(line.as_bytes()));
    written.map_err(failed(&neighbour))
}

/// Circle of those who can read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    OwnerOnly,
    Anyone,
}

/// Reads a whole file; the text is wiped when dropped.
fn read(path: &Path, access: Access) -> Result<Zeroizing<String>, IdentityError> {
    let failed = |why| IdentityError::Io {
        act: "read",
        path: path.to_owned(),
        why,
    };
    let file = SmallFile::open(path).map_err(failed)?;
    let about = file.metadata();
    // A file of another user is not ours to protect: containers mount keys as root's, for one.
    let ours = about.uid() == nix::unistd::getuid().as_raw();
    if access == Access::OwnerOnly && ours && about.mode() & OTHERS != 0 {
        return Err(IdentityError::Unprotected {
            path: path.to_owned(),
            mode: about.mode() & 0o7777,
        });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    match file.read_to(MAX_FILE_LEN, &mut bytes) {
        Err(why) if why.kind() == io::ErrorKind::FileTooLarge => {
            return Err(IdentityError::unusable(path, KeyFileFault::TooLong));
        }
        read => read.map_err(failed)?,
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(IdentityError::unusable(path, KeyFileFault::UnknownFormat)),
    }
}

fn neighbour(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".pub");
    name.into()
}

/// The key in the first line of a `.pub` file: type, base64, perhaps a comment.
fn public_line(text: &str) -> Option<PublicKey> {
    let mut fields = text.lines().next()?.split_ascii_whitespace();
    let (key_type, blob) = (fields.next()?, fields.next()?);
    let key = PublicKey::parse(&STANDARD.decode(blob).ok()?).ok()?;
    (key.key_type().as_str() == key_type).then_some(key)
}

fn encode(key: &SigningKey) -> Result<Zeroizing<String>, KeyFileFault> {
    let seed = key.ed25519_seed().ok_or(KeyFileFault::NotEd25519)?;
    // The point is what an Ed25519 blob ends with (RFC 8709 §4).
    let point = key.public_key().blob().last_chunk::<32>();
    let pair = Ed25519Keypair {
        public: Ed25519PublicKey(*point.ok_or(KeyFileFault::NotEd25519)?),
        private: Ed25519PrivateKey::from_bytes(&seed),
    };
    PrivateKey::from(pair)
        .to_openssh(ssh_key::LineEnding::LF)
        .map_err(|_| KeyFileFault::NotEd25519)
}

fn create_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key would stand in the way of the next attempt.
        let _ = fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests;
