//! Reading the client's files and options, in order.

use std::path::Path;

use crate::config::connection::ConnectionOptions;
use crate::config::error::{ConfigError, LineError, Place, Warning};
use crate::config::keyword::{Activity, Block, Keyword, Options, apply, apply_text, block_of};
use crate::config::lines::Line;
use crate::config::source::Trust;
use crate::config::walk::{IncludeBase, MAX_DEPTH, Walk, numbered};

use super::keywords::KEYWORDS;
use super::matching::{MatchOutcome, host_matches, match_matches};
use super::{ClientOptions, ConfigFiles, Context};

/// The system's file.
const SYSTEM_FILE: &str = "/etc/ssh/ssh_config";

/// The directory of the system's file.
const SYSTEM_DIRECTORY: &str = "/etc/ssh";

impl ClientOptions {
    /// Reads one `-o` option: `Keyword=value` or `"Keyword value"`.
    ///
    /// # Errors
    /// The option is not known, its value is wrong, or it may stand in a file only.
    pub fn apply_line(
        &mut self,
        text: &str,
        context: &Context<'_>,
    ) -> Result<Vec<Warning>, ConfigError> {
        apply_text(text, self, &context.lookups)
    }

    /// Reads the files. What is set already stays.
    ///
    /// # Errors
    /// A file that cannot be read or trusted, or lines that are wrong: all of them, with their places.
    pub fn load(
        &mut self,
        files: &ConfigFiles,
        context: &Context<'_>,
    ) -> Result<Vec<Warning>, ConfigError> {
        let user_file = context.home.join(".ssh/config");
        let user_directory = context.home.join(".ssh");
        let home = Some(context.home);
        let user = IncludeBase {
            directory: &user_directory,
            home,
        };
        let system = IncludeBase {
            directory: Path::new(SYSTEM_DIRECTORY),
            home: None,
        };
        match files {
            ConfigFiles::Nothing => Ok(Vec::new()),
            ConfigFiles::Only(path) => Reader::new(self, context, user).required(path),
            ConfigFiles::Standard => {
                let mut warnings =
                    Reader::new(self, context, user).optional(&user_file, Trust::OwnerOnly)?;
                let system = Reader::new(self, context, system);
                warnings.extend(system.optional(Path::new(SYSTEM_FILE), Trust::Anyone)?);
                Ok(warnings)
            }
        }
    }
}

impl Options for ClientOptions {
    fn keywords() -> &'static [Keyword<Self>] {
        KEYWORDS
    }

    fn connection(&mut self) -> &mut ConnectionOptions {
        &mut self.connection
    }

    fn unknown(&self, line: &Line<'_>) -> Result<Option<String>, LineError> {
        match &self.ignore_unknown {
            Some(patterns) if patterns.matches(line.keyword) => Ok(None),
            _ => Err(LineError::UnknownKeyword(line.keyword.to_owned())),
        }
    }
}

/// The position in nested files: whether lines count, and how deep we are.
#[derive(Debug, Clone, Copy)]
struct Scope {
    activity: Activity,
    /// What the file itself stands in; no `Host` within it can make an inactive one active.
    reachable: Activity,
    depth: usize,
}

/// One file and what it includes.
struct Reader<'a> {
    options: &'a mut ClientOptions,
    context: &'a Context<'a>,
    base: IncludeBase<'a>,
    walk: Walk<'a>,
}

impl<'a> Reader<'a> {
    fn new(
        options: &'a mut ClientOptions,
        context: &'a Context<'a>,
        base: IncludeBase<'a>,
    ) -> Self {
        Self {
            options,
            context,
            base,
            walk: Walk::new(context.files),
        }
    }

    fn required(mut self, path: &Path) -> Result<Vec<Warning>, ConfigError> {
        let bytes = self.walk.read_required(path)?;
        self.lines(path, &bytes, Scope::top())?;
        self.walk.findings.finish(path)
    }

    fn optional(mut self, path: &Path, trust: Trust) -> Result<Vec<Warning>, ConfigError> {
        self.file(path, trust, Scope::top())?;
        self.walk.findings.finish(path)
    }

    fn file(&mut self, path: &Path, trust: Trust, scope: Scope) -> Result<(), ConfigError> {
        match self.walk.read(path, trust)? {
            Some(bytes) => self.lines(path, &bytes, scope),
            None => Ok(()),
        }
    }

    /// `Host` and `Match` of this file change `scope`, which ends with the file.
    fn lines(&mut self, path: &Path, bytes: &[u8], mut scope: Scope) -> Result<(), ConfigError> {
        for (place, raw) in numbered(path, bytes) {
            match Line::parse(raw) {
                Ok(None) => {}
                Ok(Some(line)) => self.line(&line, &place, &mut scope)?,
                Err(error) => self.walk.findings.bad(&place, error),
            }
        }
        Ok(())
    }

    fn line(
        &mut self,
        line: &Line<'_>,
        place: &Place,
        scope: &mut Scope,
    ) -> Result<(), ConfigError> {
        let outcome = match block_of::<ClientOptions>(line) {
            Some(Block::Include) => return self.include(line, place, *scope),
            Some(block) => self.block(block, line, scope),
            None => apply(line, self.options, scope.activity, &self.context.lookups),
        };
        self.walk.findings.note(place, outcome);
        Ok(())
    }

    /// `Host` or `Match`: decides whether the lines that follow count.
    fn block(
        &self,
        block: Block,
        line: &Line<'_>,
        scope: &mut Scope,
    ) -> Result<Option<String>, LineError> {
        scope.activity = Activity::Inactive;
        let arguments = line.arguments()?;
        let outcome = match block {
            Block::Host => match host_matches(arguments, self.context)? {
                true => MatchOutcome::Matches,
                false => MatchOutcome::NoMatch,
            },
            _ => match_matches(arguments, self.options, self.context)?,
        };
        match outcome {
            MatchOutcome::NoMatch => Ok(None),
            MatchOutcome::Matches => {
                scope.activity = scope.reachable;
                Ok(None)
            }
            MatchOutcome::Undecided { .. } if scope.reachable == Activity::Inactive => Ok(None),
            MatchOutcome::Undecided { criterion } => Ok(Some(format!(
                "Match {criterion} is not supported: the block is passed over"
            ))),
        }
    }

    fn include(&mut self, line: &Line<'_>, place: &Place, scope: Scope) -> Result<(), ConfigError> {
        let patterns = match line.arguments().and_then(|mut arguments| arguments.all()) {
            Ok(patterns) => patterns,
            Err(error) => {
                self.walk.findings.bad(place, error);
                return Ok(());
            }
        };
        let paths = self
            .walk
            .included(&patterns, self.base, &self.context.lookups, place);
        if scope.depth >= MAX_DEPTH && !paths.is_empty() {
            return Err(ConfigError::TooDeep(place.clone()));
        }
        let inner = Scope {
            reachable: scope.activity,
            depth: scope.depth + 1,
            ..scope
        };
        for path in paths {
            self.file(&path, Trust::OwnerOnly, inner)?;
        }
        Ok(())
    }
}

impl Scope {
    fn top() -> Self {
        Self {
            activity: Activity::Active,
            reachable: Activity::Active,
            depth: 0,
        }
    }
}
