//! Reading `authorized_keys` safely: the one place of this module that touches the disk.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::small_file::SmallFile;

/// A larger file is refused.
const MAX_FILE: u64 = 16 << 20;

/// `StrictModes`: whether files that others can change are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrictModes {
    /// They are refused.
    Yes,
    /// They are read.
    No,
}

/// Reason why a file of keys was not read.
#[derive(Debug)]
pub enum ReadError {
    /// The system refused; a missing file is [`io::ErrorKind::NotFound`].
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A directory, device or pipe.
    NotAFile(PathBuf),
    /// Larger than 16 MiB.
    TooLarge(PathBuf),
    /// Neither the user nor root owns it.
    BadOwner {
        /// The file or directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// The group or everybody may write to it.
    Writable {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// Reads `path`, the keys of the user `owner` whose home is `home`.
///
/// With [`StrictModes::Yes`] the file and every directory above it, up to `home` or the root, must
/// belong to the user or root, and be writable by nobody else.
///
/// # Errors
/// If it cannot be read, is no ordinary file, is too large, or can be changed by others.
pub fn read(
    path: &Path,
    home: &Path,
    owner: Uid,
    strict: StrictModes,
) -> Result<Vec<u8>, ReadError> {
    let io_error = |source| ReadError::Io {
        path: path.to_owned(),
        source,
    };
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::InvalidInput => ReadError::NotAFile(path.to_owned()),
        io::ErrorKind::FileTooLarge => ReadError::TooLarge(path.to_owned()),
        _ => io_error(source),
    };
    let file = SmallFile::open(path).map_err(refused)?;
    if !file.metadata().is_file() {
        return Err(ReadError::NotAFile(path.to_owned()));
    }
    if strict == StrictModes::Yes {
        check_modes(file.file(), path, home, owner)?;
    }
    file.read(MAX_FILE).map_err(refused)
}

/// Checks the open file, and the directories above `path` once symbolic links are resolved.
fn check_modes(file: &File, path: &Path, home: &Path, owner: Uid) -> Result<(), ReadError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| ReadError::Io { path, source }
    };
    check_one(path, &file.metadata().map_err(at(path))?, owner)?;
    let real = path.canonicalize().map_err(at(path))?;
    // A home that does not exist ends no walk: everything up to the root is checked.
    let real_home = home.canonicalize().ok();
    for directory in real.ancestors().skip(1) {
        let metadata = directory.metadata().map_err(at(directory))?;
        check_one(directory, &metadata, owner)?;
        if Some(directory) == real_home.as_deref() {
            break;
        }
    }
    Ok(())
}

fn check_one(path: &Path, metadata: &Metadata, owner: Uid) -> Result<(), ReadError> {
    let path = path.to_owned();
    if metadata.uid() != 0 && metadata.uid() != owner.as_raw() {
        let owner = metadata.uid();
        return Err(ReadError::BadOwner { path, owner });
    }
    match metadata.mode() & 0o7777 {
        mode if mode & 0o022 != 0 => Err(ReadError::Writable { path, mode }),
        _ => Ok(()),
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Io { path, source } => {
                write!(f, "cannot read {}: {source}", path.display())
            }
            ReadError::NotAFile(path) => {
                write!(f, "cannot read {}: not an ordinary file", path.display())
            }
            ReadError::TooLarge(path) => {
                write!(f, "cannot read {}: larger than 16 MiB", path.display())
            }
            ReadError::BadOwner { path, owner } => write!(
                f,
                "bad ownership or modes for {}: it belongs to user {owner}, \
                 neither the user logging in nor root (StrictModes)",
                path.display()
            ),
            ReadError::Writable { path, mode } => write!(
                f,
                "bad ownership or modes for {}: mode {mode:04o} lets others write, \
                 chmod go-w it (StrictModes)",
                path.display()
            ),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    /// A home with `.ssh/authorized_keys`, all of it private.
    fn home() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join(".ssh");
        fs::create_dir(&directory).unwrap();
        let file = directory.join("authorized_keys");
        fs::write(&file, b"# keys\n").unwrap();
        for (path, mode) in [(home.path(), 0o755), (&directory, 0o700), (&file, 0o600)] {
            chmod(path, mode);
        }
        (home, file)
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn strictly(file: &Path, home: &Path) -> Result<Vec<u8>, ReadError> {
        read(file, home, Uid::current(), StrictModes::Yes)
    }

    #[test]
    fn private_file_is_read() {
        let (home, file) = home();
        assert_eq!(strictly(&file, home.path()).unwrap(), b"# keys\n");
    }

    #[test]
    fn anything_up_to_home_that_others_can_write_is_refused() {
        for part in ["", ".ssh", ".ssh/authorized_keys"] {
            for mode in [0o720, 0o702] {
                let (home, file) = home();
                let culprit = home.path().join(part);
                chmod(&culprit, mode);
                match strictly(&file, home.path()) {
                    Err(ReadError::Writable { path, mode: found }) => {
                        assert_eq!(
                            path.canonicalize().unwrap(),
                            culprit.canonicalize().unwrap()
                        );
                        assert_eq!(found, mode);
                    }
                    other => panic!("{part}: {other:?}"),
                }
                let lax = read(&file, home.path(), Uid::current(), StrictModes::No);
                assert_eq!(lax.unwrap(), b"# keys\n");
            }
        }
    }

    #[test]
    fn directories_above_home_do_not_count() {
        let (home, file) = home();
        let directory = home.path().join(".ssh");
        chmod(home.path(), 0o777);
        assert!(strictly(&file, &directory).is_ok());
        assert!(strictly(&file, home.path()).is_err());
        assert!(strictly(&file, Path::new("/no/such/home")).is_err());
    }

    #[test]
    fn symbolic_link_is_judged_by_where_it_leads() {
        let (home, file) = home();
        let elsewhere = tempfile::tempdir().unwrap();
        let target = elsewhere.path().join("keys");
        fs::write(&target, b"x").unwrap();
        chmod(&target, 0o600);
        chmod(elsewhere.path(), 0o777);
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&target, &file).unwrap();
        assert!(matches!(
            strictly(&file, home.path()),
            Err(ReadError::Writable { .. })
        ));
    }

    #[test]
    fn foreign_owner_is_refused_and_root_is_not() {
        let (_home, file) = home();
        let metadata = file.metadata().unwrap();
        let stranger = Uid::from_raw(metadata.uid() + 1);
        let verdict = check_one(&file, &metadata, stranger);
        match metadata.uid() {
            0 => assert!(verdict.is_ok()),
            _ => assert!(matches!(verdict, Err(ReadError::BadOwner { .. }))),
        }
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(4242), None).unwrap();
            let verdict = check_one(&file, &file.metadata().unwrap(), Uid::from_raw(4243));
            assert!(matches!(
                verdict,
                Err(ReadError::BadOwner { owner: 4242, .. })
            ));
        }
    }

    #[test]
    fn pipe_and_directory_are_no_files() {
        let (home, file) = home();
        fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let pipe = strictly(&file, home.path());
        assert!(matches!(pipe, Err(ReadError::NotAFile(_))));
        let directory = strictly(&home.path().join(".ssh"), home.path());
        assert!(matches!(directory, Err(ReadError::NotAFile(_))));
    }

    #[test]
    fn missing_file_says_not_found() {
        let (home, file) = home();
        fs::remove_file(&file).unwrap();
        match strictly(&file, home.path()) {
            Err(ReadError::Io { source, .. }) => assert_eq!(source.kind(), io::ErrorKind::NotFound),
            other => panic!("{other:?}"),
        }
    }
}
