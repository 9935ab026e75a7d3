//! `known_hosts` files on the disk: reading them, adding a host to them.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use adit_proto::key::PublicKey;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::line::{HASH_LEN, HASH_MAGIC, host_hash};
use super::name;
use crate::net::listener::describe;
use crate::small_file::{self, open_to_write};

/// The longest file that is read, in bytes.
const MAX_LEN: u64 = 16 << 20;

/// Form in which a file holds the names of its hosts: plain or hashed (`HashKnownHosts`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hashing {
    /// Names can be read.
    #[default]
    Plain,
    /// Names can only be compared.
    Hashed,
}

/// Files of known hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownHostsFiles {
    /// Files of the user; new hosts are added to the first.
    pub user: Vec<PathBuf>,
    /// Files of the system, which are read only.
    pub global: Vec<PathBuf>,
}

/// Reason why a file was not read or written.
#[derive(Debug)]
pub enum KnownHostsError {
    /// The operating system failed.
    Io {
        /// The attempt: `read`, `add a host to`.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        why: io::Error,
    },
    /// The file is longer than 16 MiB.
    TooLong(PathBuf),
    /// A host whose name would be read as something else than a name.
    BadHost(String),
    /// Our own cryptographic library failed.
    Random,
}

impl fmt::Display for KnownHostsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { act, path, why } => {
                write!(f, "cannot {act} {}: {}", path.display(), describe(why))
            }
            Self::TooLong(path) => write!(
                f,
                "cannot read {}: it is longer than {MAX_LEN} bytes",
                path.display()
            ),
            Self::BadHost(host) => write!(
                f,
                "cannot add host {host:?} to known hosts: its name has characters of patterns or white space"
            ),
            Self::Random => write!(f, "cannot hash host name: no random bytes"),
        }
    }
}

impl std::error::Error for KnownHostsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { why, .. } => Some(why),
            _ => None,
        }
    }
}

/// Reads files for [`check`](super::check), the user's first; those that do not exist are left out. One of the system's
/// that cannot be read is left out with a warning: the user cannot mend it.
///
/// # Errors
/// If a file of the user exists but cannot be read: it may hold the line that would have refused the host.
pub fn read_all(paths: &KnownHostsFiles) -> Result<Vec<(PathBuf, String)>, KnownHostsError> {
    let mut files = Vec::new();
    for path in &paths.user {
        files.extend(read(path)?.map(|text| (path.clone(), text)));
    }
    for path in &paths.global {
        match read(path) {
            Ok(text) => files.extend(text.map(|text| (path.clone(), text))),
            Err(error) => log::warn!("{error}"),
        }
    }
    Ok(files)
}

/// Adds a host's key at the end of a file, which is made (0600, its folder 0700) if need be.
///
/// The line is one write, so that two clients at once do not mix theirs.
///
/// # Errors
/// As [`entry`], or the file cannot be written.
pub fn append(
    path: &Path,
    host: &str,
    port: u16,
    key: &PublicKey,
    hashing: Hashing,
) -> Result<(), KnownHostsError> {
    let line = entry(host, port, key, hashing)?;
    write_line(path, line).map_err(|why| KnownHostsError::Io {
        act: "add a host to",
        path: path.to_owned(),
        why,
    })
}

/// The line, with its end, that makes a host's key known to [`check`](super::check).
///
/// # Errors
/// If the host's name would be read as something else than a name, or there are no random bytes to hash it with.
pub fn entry(
    host: &str,
    port: u16,
    key: &PublicKey,
    hashing: Hashing,
) -> Result<String, KnownHostsError> {
    if !is_plain_name(host) {
        return Err(KnownHostsError::BadHost(host.chars().take(256).collect()));
    }
    let host = match hashing {
        Hashing::Plain => name(host, port),
        Hashing::Hashed => hashed(&name(host, port))?,
    };
    Ok(format!(
        "{host} {} {}\n",
        key.key_type(),
        STANDARD.encode(key.blob())
    ))
}

fn read(path: &Path) -> Result<Option<String>, KnownHostsError> {
    let failed = |why| KnownHostsError::Io {
        act: "read",
        path: path.to_owned(),
        why,
    };
    let bytes = match small_file::read(path, MAX_LEN) {
        Ok(bytes) => bytes,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) if why.kind() == io::ErrorKind::FileTooLarge => {
            return Err(KnownHostsError::TooLong(path.to_owned()));
        }
        Err(why) => return Err(failed(why)),
    };
    // Comments may be in any encoding; hosts and keys are ASCII.
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// True if a host can stand in the host field and mean itself only.
fn is_plain_name(host: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || ",*?!".contains(c);
    !host.is_empty() && !host.contains(odd) && !host.starts_with(['|', '#', '@'])
}

fn hashed(name: &str) -> Result<String, KnownHostsError> {
    let mut salt = [0; HASH_LEN];
    rand::fill(&mut salt).map_err(|_| KnownHostsError::Random)?;
    let hash = STANDARD.encode(host_hash(&salt, name));
    Ok(format!("{HASH_MAGIC}{}|{hash}", STANDARD.encode(salt)))
}

fn write_line(path: &Path, mut line: String) -> io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    let mut file = open_to_write(&mut options, path)?;
    if lacks_line_end(&mut file)? {
        line.insert(0, '\n');
    }
    file.write_all(line.as_bytes())
}

fn lacks_line_end(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use adit_proto::key::SigningKey;

    use super::super::{HostKeyStatus, check};
    use super::*;

    fn key() -> PublicKey {
        SigningKey::generate_ed25519().unwrap().public_key().clone()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn status(path: &Path, host: &str, port: u16, key: &PublicKey) -> HostKeyStatus {
        check(&read_all(&of_user(path)).unwrap(), host, port, key)
    }

    fn of_user(path: &Path) -> KnownHostsFiles {
        KnownHostsFiles {
            user: vec![path.to_owned()],
            global: Vec::new(),
        }
    }

    fn ssh_keygen(args: &[&str]) -> String {
        let out = Command::new("ssh-keygen").args(args).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    }

    #[test]
    fn added_hosts_are_known_and_the_files_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/.ssh/known_hosts");
        let (one, two) = (key(), key());
        append(&path, "One", 22, &one, Hashing::Plain).unwrap();
        append(&path, "two", 2222, &two, Hashing::Hashed).unwrap();
        assert_eq!(status(&path, "one", 22, &one), HostKeyStatus::Known);
        assert_eq!(status(&path, "two", 2222, &two), HostKeyStatus::Known);
        assert!(matches!(
            status(&path, "two", 2222, &one),
            HostKeyStatus::Changed { line: 2, .. }
        ));
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("one ssh-ed25519 ") && !text.contains("two"),
            "{text}"
        );
    }

    #[test]
    fn last_line_without_an_end_is_ended_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        fs::write(&path, "# last").unwrap();
        let key = key();
        append(&path, "a", 22, &key, Hashing::Plain).unwrap();
        append(&path, "b", 22, &key, Hashing::Plain).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().map(|line| &line[..2]).collect();
        assert_eq!(lines, ["# ", "a ", "b "]);
    }

    #[test]
    fn names_that_would_be_patterns_or_lines_are_not_added() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        for host in [
            "", "*", "a,b", "a b", "a\nb", "@revoked", "#a", "|1|", "!a", "a?",
        ] {
            let error = append(&path, host, 22, &key(), Hashing::Hashed).unwrap_err();
            assert!(matches!(error, KnownHostsError::BadHost(_)), "{error}");
        }
        assert!(!path.exists());
    }

    #[test]
    fn missing_files_are_left_out_but_unreadable_ones_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none");
        assert!(read_all(&of_user(&missing)).unwrap().is_empty());
        let error = read_all(&of_user(folder.path())).unwrap_err();
        assert!(error.to_string().starts_with("cannot read /"), "{error}");
        let long = folder.path().join("long");
        File::create(&long).unwrap().set_len(MAX_LEN + 1).unwrap();
        let error = read_all(&of_user(&long)).unwrap_err();
        assert!(matches!(error, KnownHostsError::TooLong(_)), "{error}");
    }

    #[test]
    fn unreadable_file_of_the_system_leaves_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        fs::write(&path, "# last").unwrap();
        let files = KnownHostsFiles {
            user: Vec::new(),
            global: vec![folder.path().to_owned(), path.clone()],
        };
        assert_eq!(read_all(&files).unwrap(), [(path, "# last".to_owned())]);
    }

    #[test]
    fn names_hashed_by_ssh_keygen_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let file = path.to_str().unwrap();
        let (one, two) = (key(), key());
        append(&path, "one.example", 22, &one, Hashing::Plain).unwrap();
        append(&path, "two.example", 2222, &two, Hashing::Plain).unwrap();
        ssh_keygen(&["-q", "-H", "-f", file]);
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains("example") && text.matches("|1|").count() == 2,
            "{text}"
        );
        assert_eq!(status(&path, "one.example", 22, &one), HostKeyStatus::Known);
        assert_eq!(
            status(&path, "two.example", 2222, &two),
            HostKeyStatus::Known
        );
        let unknown = HostKeyStatus::Unknown {
            other_types: Vec::new(),
        };
        assert_eq!(status(&path, "two.example", 22, &two), unknown);
    }

    #[test]
    fn ssh_keygen_finds_the_names_that_we_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let key = key();
        append(&path, "one.example", 2222, &key, Hashing::Hashed).unwrap();
        let found = ssh_keygen(&[
            "-l",
            "-F",
            "[one.example]:2222",
            "-f",
            path.to_str().unwrap(),
        ]);
        assert!(found.contains(&key.fingerprint_sha256()), "{found}");
    }
}
