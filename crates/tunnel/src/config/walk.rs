//! Going through a file and what it includes, within bounds.

use std::path::{Path, PathBuf};

use super::error::{ConfigError, FileLine, Findings, LineError};
use super::expand::{Lookups, expand_home, expand_variables};
use super::source::{FileSource, FileTrust};

/// Depth that `Include` may reach, as in OpenSSH.
pub(crate) const MAX_DEPTH: usize = 16;

/// Number of files that one configuration may consist of.
const MAX_FILES: usize = 4096;

/// Number of bytes that one configuration may consist of.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Folders that `Include` starts from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IncludeBase<'a> {
    /// The directory that relative patterns start from.
    pub(crate) directory: &'a Path,
    /// Folder that `~` stands for; `None` in a file that is not the user's and may not use `~`.
    pub(crate) home: Option<&'a Path>,
}

/// One walk through a configuration: what was found, and how much may still be read.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    source: &'a FileSource,
    pub(crate) findings: Findings,
    files: usize,
    bytes: usize,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(source: &'a FileSource) -> Self {
        Self {
            source,
            findings: Findings::default(),
            files: 0,
            bytes: 0,
        }
    }

    /// Reads a file; `None` if there is none.
    pub(crate) fn read(
        &mut self,
        path: &Path,
        trust: FileTrust,
    ) -> Result<Option<Vec<u8>>, ConfigError> {
        let bytes = self.source.read(path, trust)?;
        self.files += 1;
        self.bytes += bytes.as_ref().map_or(0, Vec::len);
        if self.files > MAX_FILES || self.bytes > MAX_BYTES {
            return Err(ConfigError::TooMuch(path.to_path_buf()));
        }
        Ok(bytes)
    }

    /// Reads a file that must exist, whoever owns it: the user named it.
    pub(crate) fn read_required(&mut self, path: &Path) -> Result<Vec<u8>, ConfigError> {
        let missing = || ConfigError::Unreadable {
            path: path.to_path_buf(),
            reason: "No such file or directory".to_owned(),
        };
        self.read(path, FileTrust::Anyone)?.ok_or_else(missing)
    }

    /// The files that the words after an `Include` bring in. A pattern may match none.
    pub(crate) fn included(
        &mut self,
        patterns: &[String],
        base: IncludeBase<'_>,
        lookups: &Lookups<'_>,
        place: &FileLine,
    ) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for pattern in patterns {
            match self.matching(pattern, base, lookups) {
                Ok(found) => paths.extend(found),
                Err(error) => self.findings.bad(place, error),
            }
        }
        paths
    }

    fn matching(
        &self,
        pattern: &str,
        base: IncludeBase<'_>,
        lookups: &Lookups<'_>,
    ) -> Result<Vec<PathBuf>, LineError> {
        let bad = |reason: String| LineError::BadInclude {
            pattern: pattern.to_owned(),
            reason,
        };
        let expanded = expand_variables(pattern, lookups)?;
        let path = match base.home {
            Some(home) => expand_home(&expanded, home, lookups)?,
            None if expanded.starts_with('~') => {
                return Err(bad("~ is for the user's own file".into()));
            }
            None => PathBuf::from(expanded),
        };
        // An absolute path replaces the directory.
        self.source
            .matching(&base.directory.join(path))
            .map_err(bad)
    }
}

/// The lines of a file with their places.
pub(crate) fn numbered<'b>(
    path: &'b Path,
    bytes: &'b [u8],
) -> impl Iterator<Item = (FileLine, &'b [u8])> {
    bytes
        .split(|&byte| byte == b'\n')
        .enumerate()
        .map(|(index, raw)| {
            (
                FileLine {
                    file: path.to_path_buf(),
                    line: index + 1,
                },
                raw,
            )
        })
}
