//! `Host` and `Match`: does a block apply to this destination?

use crate::config::error::LineError;
use crate::config::lines::Arguments;
use crate::pattern::{Case, PatternList};

use super::{ClientOptions, Context};

/// What a `Match` line comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MatchOutcome {
    /// The block applies.
    Matches,
    /// It does not.
    NoMatch,
    /// It hangs on a criterion that adit cannot decide, and so does not apply.
    Undecided {
        /// The criterion.
        criterion: String,
    },
}

/// `Host`: patterns against the host as typed; upper case matters, as in OpenSSH.
pub(super) fn host_matches(
    mut arguments: Arguments,
    context: &Context<'_>,
) -> Result<bool, LineError> {
    let words = arguments.all()?;
    PatternList::from_words(words.iter().map(String::as_str), Case::Sensitive)
        .map(|list| list.matches(context.host))
        .map_err(|expected| arguments.bad_value("", expected))
}

/// One criterion of a `Match` line.
struct Criterion {
    name: String,
    negated: bool,
    value: Option<String>,
}

/// `Match`: all criteria must hold. They are asked in order, and none after the first that fails.
pub(super) fn match_matches(
    arguments: Arguments,
    options: &ClientOptions,
    context: &Context<'_>,
) -> Result<MatchOutcome, LineError> {
    let criteria = read_criteria(arguments)?;
    let mut outcome = MatchOutcome::Matches;
    for criterion in &criteria {
        // Read to the end all the same: a mistake further on is to be reported.
        let decided = decide(criterion, options, context)?;
        if outcome == MatchOutcome::Matches {
            outcome = match decided {
                Some(holds) if holds != criterion.negated => continue,
                Some(_) => MatchOutcome::NoMatch,
                None => MatchOutcome::Undecided {
                    criterion: criterion.name.clone(),
                },
            };
        }
    }
    Ok(outcome)
}

/// Splits a `Match` line into criteria: `[!]name [value]` or `[!]name=value`.
fn read_criteria(mut arguments: Arguments) -> Result<Vec<Criterion>, LineError> {
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
            "all" | "canonical" | "final" => attached,
            _ => match attached.or_else(|| arguments.optional()) {
                Some(value) => Some(value),
                None => return Err(LineError::Match(format!("nothing follows {name}"))),
            },
        };
        criteria.push(Criterion {
            name,
            negated,
            value,
        });
    }
    check_all(&criteria)?;
    Ok(criteria)
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

/// Does a criterion hold, its `!` aside? `None` if adit cannot tell.
fn decide(
    criterion: &Criterion,
    options: &ClientOptions,
    context: &Context<'_>,
) -> Result<Option<bool>, LineError> {
    let value = criterion.value.as_deref().unwrap_or_default();
    let listed = |text: &str, case| {
        PatternList::parse(value, case)
            .map(|list| Some(list.matches(text)))
            .map_err(|expected| LineError::Match(format!("expected {expected}")))
    };
    match criterion.name.as_str() {
        "all" => Ok(Some(true)),
        "host" => {
            let host = options.expanded_host_name(context)?;
            listed(&host, Case::Insensitive)
        }
        "originalhost" => listed(context.host, Case::Insensitive),
        "user" => listed(
            options.user.as_deref().unwrap_or(context.local_user),
            Case::Sensitive,
        ),
        "localuser" => listed(context.local_user, Case::Sensitive),
        // Running a command while reading a file is a thing to decide on, not to inherit.
        "exec" | "canonical" | "final" | "localnetwork" | "tagged" | "command" | "version"
        | "sessiontype" => Ok(None),
        name => Err(LineError::Match(format!("unsupported attribute {name}"))),
    }
}
