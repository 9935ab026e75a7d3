//! Source of configuration files: the disk, or memory for tests and fuzzing.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::ConfigError;
use crate::pattern::{Case, wildcard};
use crate::small_file::{SmallFile, names_descriptor};

/// The largest configuration file, in bytes.
pub const MAX_FILE: usize = 1024 * 1024;

/// Users who may own and write a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileTrust {
    /// Anybody.
    Anyone,
    /// Only the user or root, and nobody else may write: the user's own file and what it includes.
    OwnerOnly,
}

/// Source of configuration files.
#[derive(Debug, Clone)]
pub enum FileSource {
    /// The file system, and what came from it that cannot be read again.
    Disk(Streams),
    /// Files that exist only here, by absolute path.
    Memory(BTreeMap<PathBuf, Vec<u8>>),
}

/// Remembers what came through pipes that this program was given as descriptors (`<(…)`, `/dev/stdin`). The same file
/// is asked for more than once: for every host of a route, and where `Match final` starts over.
#[derive(Debug, Clone, Default)]
pub struct Streams(Arc<Mutex<BTreeMap<PathBuf, Vec<u8>>>>);

impl Streams {
    fn seen(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileSource {
    /// The file system.
    pub fn disk() -> Self {
        Self::Disk(Streams::default())
    }

    /// A file that was read and cannot be read again, if there is one.
    pub fn read_once(&self) -> Option<PathBuf> {
        match self {
            Self::Memory(_) => None,
            Self::Disk(streams) => streams.seen().keys().next().cloned(),
        }
    }

    /// Files in memory.
    pub fn memory<P: Into<PathBuf>, B: Into<Vec<u8>>>(
        files: impl IntoIterator<Item = (P, B)>,
    ) -> Self {
        Self::Memory(
            files
                .into_iter()
                .map(|(path, bytes)| (path.into(), bytes.into()))
                .collect(),
        )
    }

    /// Reads a file; `None` if there is none.
    pub(crate) fn read(
        &self,
        path: &Path,
        trust: FileTrust,
    ) -> Result<Option<Vec<u8>>, ConfigError> {
        let read = match self {
            Self::Memory(files) => Ok(files.get(path).cloned()),
            Self::Disk(streams) => read_disk(path, trust, streams),
        };
        let unreadable = |reason: String| ConfigError::Unreadable {
            path: path.to_path_buf(),
            reason,
        };
        match read {
            Ok(Some(bytes)) if bytes.len() > MAX_FILE => Err(unreadable("it is too large".into())),
            Ok(bytes) => Ok(bytes),
            Err(ReadRefusal::Owner) => Err(ConfigError::BadOwner(path.to_path_buf())),
            Err(ReadRefusal::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(ReadRefusal::Io(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(unreadable("it is too large".into()))
            }
            Err(ReadRefusal::Io(error)) => Err(unreadable(error.to_string())),
        }
    }

    /// The files that a pattern of shell wildcards matches, in lexical order.
    pub(crate) fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        match self {
            Self::Memory(files) => Ok(files
                .keys()
                .filter(|path| path_matches(pattern, path))
                .cloned()
                .collect()),
            Self::Disk(_) => matching_on_disk(pattern),
        }
    }
}

enum ReadRefusal {
    Owner,
    Io(io::Error),
}

impl From<io::Error> for ReadRefusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn read_disk(
    path: &Path,
    trust: FileTrust,
    streams: &Streams,
) -> Result<Option<Vec<u8>>, ReadRefusal> {
    if let Some(bytes) = streams.seen().get(path) {
        return Ok(Some(bytes.clone()));
    }
    let file = SmallFile::open(path)?;
    let metadata = file.metadata();
    // Asked of the open file, not of the path: the path could lead elsewhere a moment later.
    if trust == FileTrust::OwnerOnly && !owner_only(metadata) {
        return Err(ReadRefusal::Owner);
    }
    // A directory that a pattern caught, such as `conf.d/*`: nothing in it, as OpenSSH has it.
    if metadata.is_dir() {
        return Ok(Some(Vec::new()));
    }
    let is_stream = !metadata.is_file() && names_descriptor(path);
    let bytes = file.read(MAX_FILE as u64)?;
    if is_stream {
        streams.seen().insert(path.to_owned(), bytes.clone());
    }
    Ok(Some(bytes))
}

fn owner_only(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let owner = metadata.uid();
    let trusted = owner == 0 || owner == nix::unistd::getuid().as_raw();
    trusted && metadata.mode() & 0o022 == 0
}

fn matching_on_disk(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let Some(text) = pattern.to_str() else {
        return Err("it is not UTF-8 text".into());
    };
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let found = glob::glob_with(text, options).map_err(|error| error.msg.to_owned())?;
    // A directory that cannot be listed is passed over, as glob(3) does without GLOB_ERR.
    let mut paths: Vec<PathBuf> = found.filter_map(Result::ok).collect();
    paths.sort();
    Ok(paths)
}

/// True if a path matches, component by component. Only `*` and `?` are wildcards in memory.
fn path_matches(pattern: &Path, path: &Path) -> bool {
    let mut path = path.components();
    let all = pattern.components().all(|part| match (part, path.next()) {
        (Component::Normal(part), Some(Component::Normal(name))) => wildcard(
            part.as_encoded_bytes(),
            name.as_encoded_bytes(),
            Case::Sensitive,
        ),
        (part, name) => Some(part) == name,
    });
    all && path.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn memory_matches_component_by_component_in_order() {
        let source = FileSource::memory([
            ("/c/b.conf", ""),
            ("/c/a.conf", ""),
            ("/c/d/x.conf", ""),
            ("/c/a", ""),
        ]);
        let found = source.matching(Path::new("/c/*.conf")).unwrap();
        assert_eq!(found, [Path::new("/c/a.conf"), Path::new("/c/b.conf")]);
        assert_eq!(
            source.matching(Path::new("/c/*/x*")).unwrap(),
            [Path::new("/c/d/x.conf")]
        );
    }

    #[test]
    fn disk_patterns_leave_out_hidden_files_and_come_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.conf", "a.conf", ".c.conf", "d.txt"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let found = FileSource::disk()
            .matching(&dir.path().join("*.conf"))
            .unwrap();
        assert_eq!(
            found,
            [dir.path().join("a.conf"), dir.path().join("b.conf")]
        );
        assert!(FileSource::disk().matching(Path::new("/a/***")).is_err());
    }

    #[test]
    fn a_file_that_others_may_write_is_refused_where_it_matters() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        fs::write(&path, "User a").unwrap();
        for (mode, trusted) in [(0o600, true), (0o644, true), (0o664, false), (0o602, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let strict = FileSource::disk().read(&path, FileTrust::OwnerOnly);
            assert_eq!(strict.is_ok(), trusted, "{mode:o}");
            assert!(FileSource::disk().read(&path, FileTrust::Anyone).is_ok());
        }
        let error = FileSource::disk()
            .read(&path, FileTrust::OwnerOnly)
            .unwrap_err();
        let expected = format!("Bad owner or permissions on {}: ", path.display());
        assert!(error.to_string().starts_with(&expected), "{error}");
    }

    #[test]
    fn missing_and_oversized_files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        assert_eq!(FileSource::disk().read(&path, FileTrust::Anyone), Ok(None));
        fs::write(&path, vec![b'#'; MAX_FILE + 1]).unwrap();
        let error = FileSource::disk()
            .read(&path, FileTrust::Anyone)
            .unwrap_err();
        assert!(error.to_string().contains("too large"), "{error}");
        assert_eq!(
            FileSource::disk().read(dir.path(), FileTrust::Anyone),
            Ok(Some(Vec::new()))
        );
    }

    #[test]
    fn what_comes_through_a_pipe_is_there_for_the_second_reading_too() {
        use std::os::fd::AsRawFd as _;
        let (reader, mut writer) = io::pipe().unwrap();
        io::Write::write_all(&mut writer, b"ProxyJump gw").unwrap();
        drop(writer);
        let path = PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()));
        let source = FileSource::disk();
        assert_eq!(source.read_once(), None);
        for trust in [FileTrust::Anyone, FileTrust::OwnerOnly] {
            let read = source.read(&path, trust);
            assert_eq!(read, Ok(Some(b"ProxyJump gw".to_vec())));
        }
        assert_eq!(source.read_once(), Some(path));
    }

    #[test]
    fn regular_file_is_read_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        let source = FileSource::disk();
        for text in ["a", "b"] {
            fs::write(&path, text).unwrap();
            assert_eq!(source.read(&path, FileTrust::Anyone), Ok(Some(text.into())));
        }
        assert_eq!(source.read_once(), None);
    }
}
