//! Reading the server's file and options.

use std::path::Path;

use crate::config::connection::ConnectionOptions;
use crate::config::error::{ConfigError, FileLine, LineError, Warning};
use crate::config::expand::Lookups;
use crate::config::keyword::{Activity, Block, Keyword, Options, apply, apply_text, block_of};
use crate::config::lines::Line;
use crate::config::source::{FileSource, FileTrust};
use crate::config::walk::{IncludeBase, MAX_DEPTH, Walk, numbered};

use super::ServerOptions;
use super::keywords::KEYWORDS;

/// Folder that relative `Include` patterns start from.
const SYSTEM_DIRECTORY: &str = "/etc/ssh";

impl ServerOptions {
    /// Reads one `-o` option: `Keyword=value` or `"Keyword value"`.
    ///
    /// # Errors
    /// The option is not known, its value is wrong, or it may stand in a file only.
    pub fn apply_line(
        &mut self,
        text: &str,
        lookups: &Lookups<'_>,
    ) -> Result<Vec<Warning>, ConfigError> {
        apply_text(text, self, lookups)
    }

    /// Reads a file, which must exist. What is set already stays.
    ///
    /// # Errors
    /// A file that cannot be read, or lines that are wrong: all of them, with their places.
    pub fn load(
        &mut self,
        path: &Path,
        files: &FileSource,
        lookups: &Lookups<'_>,
    ) -> Result<Vec<Warning>, ConfigError> {
        let mut reader = ServerFileReader {
            options: self,
            lookups,
            walk: Walk::new(files),
        };
        let bytes = reader.walk.read_required(path)?;
        reader.lines(path, &bytes, 0)?;
        reader.walk.findings.finish(path)
    }
}

impl Options for ServerOptions {
    fn keywords() -> &'static [Keyword<Self>] {
        KEYWORDS
    }

    fn connection(&mut self) -> &mut ConnectionOptions {
        &mut self.connection
    }
}

/// One file and what it includes.
struct ServerFileReader<'a> {
    options: &'a mut ServerOptions,
    lookups: &'a Lookups<'a>,
    walk: Walk<'a>,
}

impl ServerFileReader<'_> {
    fn lines(&mut self, path: &Path, bytes: &[u8], depth: usize) -> Result<(), ConfigError> {
        for (place, raw) in numbered(path, bytes) {
            match Line::parse(raw) {
                Ok(None) => {}
                Ok(Some(line)) => self.line(&line, &place, depth)?,
                Err(error) => self.walk.findings.bad(&place, error),
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &Line<'_>, place: &FileLine, depth: usize) -> Result<(), ConfigError> {
        let outcome = match block_of::<ServerOptions>(line) {
            Some(Block::Include) => return self.include(line, place, depth),
            Some(_) => only_match_all(line).map(|()| None),
            None => apply(line, self.options, Activity::Active, self.lookups),
        };
        self.walk.findings.note(place, outcome);
        Ok(())
    }

    fn include(
        &mut self,
        line: &Line<'_>,
        place: &FileLine,
        depth: usize,
    ) -> Result<(), ConfigError> {
        let patterns = match line.arguments().and_then(|mut arguments| arguments.all()) {
            Ok(patterns) => patterns,
            Err(error) => {
                self.walk.findings.bad(place, error);
                return Ok(());
            }
        };
        let base = IncludeBase {
            directory: Path::new(SYSTEM_DIRECTORY),
            home: None,
        };
        let paths = self.walk.included(&patterns, base, self.lookups, place);
        if depth >= MAX_DEPTH && !paths.is_empty() {
            return Err(ConfigError::TooDeep(place.clone()));
        }
        for path in paths {
            if let Some(bytes) = self.walk.read(&path, FileTrust::Anyone)? {
                self.lines(&path, &bytes, depth + 1)?;
            }
        }
        Ok(())
    }
}

/// `Match all` changes nothing. Any other block could take away what the lines before it allow, so it
/// must not be passed over.
fn only_match_all(line: &Line<'_>) -> Result<(), LineError> {
    let mut arguments = line.arguments()?;
    match arguments.word()?.eq_ignore_ascii_case("all") {
        true => arguments.finish(),
        false => Err(LineError::Match(
            "Match is not supported yet, and ignoring it could allow more than the file says"
                .into(),
        )),
    }
}
