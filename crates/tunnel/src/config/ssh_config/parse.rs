//! Reading the client's files and options, in order.

use std::net::IpAddr;
use std::path::Path;

use crate::config::connection::ConnectionOptions;
use crate::config::error::{ConfigError, FileLine, LineError, Warning};
use crate::config::keyword::{Activity, Block, Keyword, Options, apply, apply_text, block_of};
use crate::config::lines::Line;
use crate::config::source::FileTrust;
use crate::config::walk::{IncludeBase, MAX_DEPTH, Walk, numbered};

use super::keywords::KEYWORDS;
use super::matching::{Criteria, Pass, ReadingStage, host_matches};
use super::{Canonicalize, ClientOptions, ConfigFiles, Context, canonical};

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

    /// Reads the files; once more, with the host's final name, if they ask for it by `Match final` or
    /// `CanonicalizeHostname`. What is set already stays.
    ///
    /// # Errors
    /// A file that cannot be read or trusted, lines that are wrong (all of them, with their places), or a host that
    /// does not resolve where `CanonicalizeFallbackLocal` is no.
    pub fn load(
        &mut self,
        files: &ConfigFiles,
        context: &Context<'_>,
    ) -> Result<Vec<Warning>, ConfigError> {
        let first = Pass {
            host: context.host,
            stage: ReadingStage::First,
        };
        let mut found = self.read(files, context, first)?;
        // A name that cannot be filled in is reported when everything is.
        let Ok(name) = self.expanded_host_name(context) else {
            return Ok(found.warnings);
        };
        let host = canonical::host_name(self, &name, &context.lookups)?;
        if host.parse::<IpAddr>().is_ok() && host != name {
            // The writing that known_hosts has.
            self.host_name = Some(host.clone());
        }
        let is_canonical = !matches!(self.canonicalize_hostname, None | Some(Canonicalize::No));
        if found.wants_final || is_canonical {
            let last = Pass {
                host: &host,
                stage: ReadingStage::Final,
            };
            // Its percent signs (a scope's) are no tokens.
            self.host_name = Some(host.replace('%', "%%"));
            let more = self.read(files, context, last)?.warnings;
            let is_new = |warning: &Warning| !found.warnings.contains(warning);
            let more: Vec<Warning> = more.into_iter().filter(is_new).collect();
            found.warnings.extend(more);
        }
        Ok(found.warnings)
    }

    /// Reads the files once.
    fn read(
        &mut self,
        files: &ConfigFiles,
        context: &Context<'_>,
        pass: Pass<'_>,
    ) -> Result<ReadOptions, ConfigError> {
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
            ConfigFiles::Nothing => Ok(ReadOptions::default()),
            ConfigFiles::Only(path) => {
                ClientFileReader::new(self, context, user, pass).required(path)
            }
            ConfigFiles::Standard => {
                let mut found = ClientFileReader::new(self, context, user, pass)
                    .optional(&user_file, FileTrust::OwnerOnly)?;
                let system = ClientFileReader::new(self, context, system, pass);
                let more = system.optional(Path::new(SYSTEM_FILE), FileTrust::Anyone)?;
                found.warnings.extend(more.warnings);
                found.wants_final |= more.wants_final;
                Ok(found)
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
    /// Activity of the place that includes the file; no `Host` within it can make an inactive one active.
    reachable: Activity,
    depth: usize,
}

/// Result of reading the files, apart from the options.
#[derive(Debug, Default)]
struct ReadOptions {
    warnings: Vec<Warning>,
    wants_final: bool,
}

/// One file and what it includes.
struct ClientFileReader<'a> {
    options: &'a mut ClientOptions,
    context: &'a Context<'a>,
    base: IncludeBase<'a>,
    pass: Pass<'a>,
    wants_final: bool,
    walk: Walk<'a>,
}

impl<'a> ClientFileReader<'a> {
    fn new(
        options: &'a mut ClientOptions,
        context: &'a Context<'a>,
        base: IncludeBase<'a>,
        pass: Pass<'a>,
    ) -> Self {
        Self {
            options,
            context,
            base,
            pass,
            wants_final: false,
            walk: Walk::new(context.files),
        }
    }

    fn required(mut self, path: &Path) -> Result<ReadOptions, ConfigError> {
        let bytes = self.walk.read_required(path)?;
        self.lines(path, &bytes, Scope::top())?;
        self.finish(path)
    }

    fn optional(mut self, path: &Path, trust: FileTrust) -> Result<ReadOptions, ConfigError> {
        self.file(path, trust, Scope::top())?;
        self.finish(path)
    }

    fn finish(self, path: &Path) -> Result<ReadOptions, ConfigError> {
        Ok(ReadOptions {
            warnings: self.walk.findings.finish(path)?,
            wants_final: self.wants_final,
        })
    }

    fn file(&mut self, path: &Path, trust: FileTrust, scope: Scope) -> Result<(), ConfigError> {
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
        place: &FileLine,
        scope: &mut Scope,
    ) -> Result<(), ConfigError> {
        let outcome = match block_of::<ClientOptions>(line) {
            Some(Block::Include) => return self.include(line, place, *scope),
            Some(block) => self.block(block, line, scope).map(|()| None),
            None => apply(line, self.options, scope.activity, &self.context.lookups),
        };
        self.walk.findings.note(place, outcome);
        Ok(())
    }

    /// `Host` or `Match`: decides whether the lines that follow count.
    ///
    /// Nothing is judged, and no command run, where the file itself stands in a block that does not apply.
    fn block(&mut self, block: Block, line: &Line<'_>, scope: &mut Scope) -> Result<(), LineError> {
        scope.activity = Activity::Inactive;
        let arguments = line.arguments()?;
        let applies = match block {
            Block::Host => host_matches(arguments, self.pass)?,
            _ => {
                let criteria = Criteria::read(arguments)?;
                if scope.reachable == Activity::Inactive {
                    return Ok(());
                }
                let outcome = criteria.judge(self.options, self.context, self.pass)?;
                self.wants_final |= outcome.wants_final;
                outcome.applies
            }
        };
        if applies {
            scope.activity = scope.reachable;
        }
        Ok(())
    }

    fn include(
        &mut self,
        line: &Line<'_>,
        place: &FileLine,
        scope: Scope,
    ) -> Result<(), ConfigError> {
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
            self.file(&path, FileTrust::OwnerOnly, inner)?;
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
