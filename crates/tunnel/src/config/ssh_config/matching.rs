//! `Host` and `Match`: the blocks that apply to this destination.

use crate::config::destination::check_host;
use crate::config::error::LineError;
use crate::config::lines::Arguments;
use crate::pattern::{Case, Network, PatternList};

use super::{ClientOptions, Context, SessionType};

/// Version that `Match version` compares; OpenSSH has its own release there.
const VERSION: &str = concat!("adit_", env!("CARGO_PKG_VERSION"));

/// One reading of the files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass<'a> {
    /// Host that `Host` lines are compared with: as typed, in the final pass its final name.
    pub(super) host: &'a str,
    pub(super) stage: ReadingStage,
}

/// The first reading, or the one with the host's final name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadingStage {
    First,
    Final,
}

/// Result of a `Match` line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MatchOutcome {
    /// The block applies.
    pub(super) applies: bool,
    /// It asks for a final pass: `final`, or `!final`, which holds in the first pass only.
    pub(super) wants_final: bool,
}

/// `Host`: patterns against the host of this pass; upper case matters, as in OpenSSH.
pub(super) fn host_matches(mut arguments: Arguments, pass: Pass<'_>) -> Result<bool, LineError> {
    let words = arguments.all()?;
    PatternList::from_words(words.iter().map(String::as_str), Case::Sensitive)
        .map(|list| list.matches(pass.host))
        .map_err(|expected| arguments.bad_value("", expected))
}

/// A `Match` line, read.
pub(super) struct Criteria(Vec<Criterion>);

/// One criterion of a `Match` line.
struct Criterion {
    name: String,
    negated: bool,
    value: String,
}

impl Criteria {
    /// Splits a `Match` line into criteria: `[!]name [value]` or `[!]name=value`.
    pub(super) fn read(mut arguments: Arguments) -> Result<Self, LineError> {
        let mut criteria: Vec<Criterion> = Vec::new();
        while let Some(word) = arguments.optional() {
            let (word, attached) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            };
            let (name, negated) = match word.strip_prefix('!') {
                Some(name) => (name.to_ascii_lowercase(), true),
                None => (word.to_ascii_lowercase(), false),
            };
            let value = match name.as_str() {
                "all" | "canonical" | "final" => Some(String::new()),
                // The tag or the command that is not there.
                "tagged" | "command" => attached.or_else(|| arguments.even_empty()),
                _ => attached
                    .or_else(|| arguments.optional())
                    .filter(|value| !value.is_empty()),
            };
            let Some(value) = value else {
                return Err(LineError::Match(format!("nothing follows {name}")));
            };
            criteria.push(Criterion {
                name,
                negated,
                value,
            });
        }
        check_all(&criteria)?;
        Ok(Self(criteria))
    }

    /// All criteria must hold. A command is run only if those before it do.
    pub(super) fn judge(
        &self,
        options: &ClientOptions,
        context: &Context<'_>,
        pass: Pass<'_>,
    ) -> Result<MatchOutcome, LineError> {
        let judge = MatchFacts {
            options,
            context,
            pass,
        };
        let mut outcome = MatchOutcome {
            applies: true,
            wants_final: false,
        };
        for criterion in &self.0 {
            outcome.wants_final |= criterion.name == "final";
            if criterion.name == "exec" && !outcome.applies {
                continue;
            }
            // Read to the end all the same: a mistake further on is to be reported.
            outcome.applies &= judge.holds(criterion)? != criterion.negated;
        }
        Ok(outcome)
    }
}

/// `all` stands alone, or after `canonical` or `final`.
fn check_all(criteria: &[Criterion]) -> Result<(), LineError> {
    let names: Vec<&str> = criteria
        .iter()
        .map(|criterion| criterion.name.as_str())
        .collect();
    match names.as_slice() {
        [] => Err(LineError::Match("there are no criteria".into())),
        ["all"] | ["canonical" | "final", "all"] => Ok(()),
        names if names.contains(&"all") => Err(LineError::Match(
            "all cannot be combined with other criteria".into(),
        )),
        _ => Ok(()),
    }
}

/// Facts that decide a criterion.
struct MatchFacts<'a> {
    options: &'a ClientOptions,
    context: &'a Context<'a>,
    pass: Pass<'a>,
}

impl MatchFacts<'_> {
    /// True if a criterion holds, its `!` aside.
    fn holds(&self, criterion: &Criterion) -> Result<bool, LineError> {
        let Self {
            options, context, ..
        } = self;
        let value = criterion.value.as_str();
        let listed = |text: &str, case| {
            PatternList::parse(value, case)
                .map(|list| list.matches(text))
                .map_err(|expected| LineError::Match(format!("expected {expected}")))
        };
        match criterion.name.as_str() {
            "all" => Ok(true),
            "canonical" | "final" => Ok(self.pass.stage == ReadingStage::Final),
            "host" => listed(&self.host_name()?, Case::Insensitive),
            "originalhost" => listed(context.host, Case::Insensitive),
            "user" => listed(
                options.user.as_deref().unwrap_or(context.local_user),
                Case::Sensitive,
            ),
            "localuser" => listed(context.local_user, Case::Sensitive),
            "localnetwork" => self.is_local_network(value),
            "tagged" => match options.tag.as_deref() {
                None => Ok(value.is_empty()),
                Some(tag) => listed(tag, Case::Sensitive),
            },
            // There is never a command: only the empty one matches.
            "command" => Ok(value.is_empty()),
            "sessiontype" => listed(self.session_type(), Case::Sensitive),
            "version" => listed(VERSION, Case::Sensitive),
            "exec" => self.succeeds(value),
            name => Err(LineError::Match(format!("unsupported attribute {name}"))),
        }
    }

    /// Host that the connection would go to, by what is known so far.
    fn host_name(&self) -> Result<String, LineError> {
        match self.pass.stage {
            ReadingStage::First => Ok(self.options.expanded_host_name(self.context)?),
            ReadingStage::Final => Ok(self.pass.host.to_owned()),
        }
    }

    /// The word that OpenSSH has for it.
    fn session_type(&self) -> &'static str {
        match self.options.session.session_type {
            Some(SessionType::Nothing) => "none",
            Some(SessionType::Subsystem) => "subsystem",
            Some(SessionType::Default) | None => "shell",
        }
    }

    fn is_local_network(&self, list: &str) -> Result<bool, LineError> {
        let network = |text| match Network::parse(text) {
            Some(Ok(network)) if !network.is_mapped() => Ok(network),
            _ => Err(LineError::Match(format!(
                "localnetwork {text:?} is no address and no network"
            ))),
        };
        let networks: Vec<Network> = list.split(',').map(network).collect::<Result<_, _>>()?;
        let own = (self.context.lookups.local_addresses)();
        Ok(own
            .iter()
            .any(|address| networks.iter().any(|network| network.contains(*address))))
    }

    /// Runs a command. What a shell would take apart has been kept out of the user's name and of the host as typed;
    /// the name that a file gives to the host is looked at here.
    fn succeeds(&self, command: &str) -> Result<bool, LineError> {
        let failed = |why: &str| LineError::Match(format!("exec {command:?}: {why}"));
        let host = self.host_name()?;
        check_host(&host).map_err(|expected| failed(&format!("expected {expected}")))?;
        let command = self
            .options
            .expanded_command(command, &host, self.context)?;
        (self.context.lookups.exec)(&command).map_err(|why| failed(&why))
    }
}
