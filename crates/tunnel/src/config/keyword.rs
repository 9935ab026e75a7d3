//! Keywords: one line of a table gives a keyword's name and its effect.
//!
//! A new keyword is one line in the table and one field in the options. Keywords that both programs have stand in
//! `connection.rs`, the others in the table of their program.

use std::path::PathBuf;

use super::connection::{self, ConnectionOptions};
use super::error::{ConfigError, FileLine, Findings, LineError, Warning};
use super::expand::Lookups;
use super::lines::{Arguments, Line};

/// Reads a keyword's arguments into the options.
pub(crate) type Apply<O> = fn(&mut O, &mut Arguments, &Lookups<'_>) -> Result<(), LineError>;

/// A keyword that steers the reading itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Block {
    Host,
    Match,
    Include,
}

/// Reads everything after a keyword, which may be a shell command with quotes of its own.
pub(crate) type ApplyRaw<O> = fn(&mut O, &str) -> Result<(), LineError>;

/// Effect of a keyword.
pub(crate) enum Class<O: 'static> {
    /// It steers the reading.
    Block(Block),
    /// It sets an option.
    Option(Apply<O>),
    /// It sets an option from the whole rest of the line; in an inactive block it is not looked at.
    Raw(ApplyRaw<O>),
    /// It says nothing about tunnels; passed over in silence.
    Moot,
    /// It is real and not supported; passed over with a warning, except for harmless values.
    Unsupported(&'static [&'static str]),
    /// It restricts and is not supported; an error, except for values that restrict nothing.
    Restricts(&'static [&'static str]),
    /// The same, except for arguments that the function finds to restrict nothing.
    RestrictsUnless(fn(Arguments) -> bool),
    /// It leads the connection another way and is not supported; an error with this hint, except for harmless values.
    Routes(&'static [&'static str], &'static str),
    /// OpenSSH no longer has it either; passed over with a warning.
    Deprecated,
}

/// One line of the table.
pub(crate) struct Keyword<O: 'static> {
    pub(crate) name: &'static str,
    pub(crate) class: Class<O>,
}

pub(crate) const fn block<O>(name: &'static str, block: Block) -> Keyword<O> {
    Keyword {
        name,
        class: Class::Block(block),
    }
}

pub(crate) const fn option<O>(name: &'static str, apply: Apply<O>) -> Keyword<O> {
    Keyword {
        name,
        class: Class::Option(apply),
    }
}

pub(crate) const fn raw<O>(name: &'static str, apply: ApplyRaw<O>) -> Keyword<O> {
    Keyword {
        name,
        class: Class::Raw(apply),
    }
}

pub(crate) const fn moot<O>(name: &'static str) -> Keyword<O> {
    Keyword {
        name,
        class: Class::Moot,
    }
}

pub(crate) const fn unsupported<O>(
    name: &'static str,
    harmless: &'static [&'static str],
) -> Keyword<O> {
    Keyword {
        name,
        class: Class::Unsupported(harmless),
    }
}

pub(crate) const fn restricts<O>(
    name: &'static str,
    harmless: &'static [&'static str],
) -> Keyword<O> {
    Keyword {
        name,
        class: Class::Restricts(harmless),
    }
}

pub(crate) const fn restricts_unless<O>(
    name: &'static str,
    harmless: fn(Arguments) -> bool,
) -> Keyword<O> {
    Keyword {
        name,
        class: Class::RestrictsUnless(harmless),
    }
}

pub(crate) const fn routes<O>(
    name: &'static str,
    harmless: &'static [&'static str],
    hint: &'static str,
) -> Keyword<O> {
    Keyword {
        name,
        class: Class::Routes(harmless, hint),
    }
}

pub(crate) const fn deprecated<O>(name: &'static str) -> Keyword<O> {
    Keyword {
        name,
        class: Class::Deprecated,
    }
}

/// The options of one of the two programs.
pub(crate) trait Options: Default + 'static {
    /// The keywords that only this program has.
    fn keywords() -> &'static [Keyword<Self>];

    /// Options for the keywords that both programs have.
    fn connection(&mut self) -> &mut ConnectionOptions;

    /// Treatment of a keyword that stands in no table.
    fn unknown(&self, line: &Line<'_>) -> Result<Option<String>, LineError> {
        Err(LineError::UnknownKeyword(line.keyword.to_owned()))
    }
}

/// Block that a keyword opens, if it is one of those that steer the reading.
pub(crate) fn block_of<O: Options>(line: &Line<'_>) -> Option<Block> {
    match find(O::keywords(), line.keyword)?.class {
        Class::Block(block) => Some(block),
        _ => None,
    }
}

/// Applies a line that steers nothing; what comes back is a warning.
pub(crate) fn apply<O: Options>(
    line: &Line<'_>,
    options: &mut O,
    activity: Activity,
    lookups: &Lookups<'_>,
) -> Result<Option<String>, LineError> {
    if let Some(own) = find(O::keywords(), line.keyword) {
        return own.class.apply(line, options, activity, lookups);
    }
    match find(connection::KEYWORDS, line.keyword) {
        Some(shared) => {
            let options = options.connection();
            shared.class.apply(line, options, activity, lookups)
        }
        None => options.unknown(line),
    }
}

/// Applies one `-o` option: `Keyword=value` or `"Keyword value"`.
pub(crate) fn apply_text<O: Options>(
    text: &str,
    options: &mut O,
    lookups: &Lookups<'_>,
) -> Result<Vec<Warning>, ConfigError> {
    let place = FileLine {
        file: PathBuf::from("command-line"),
        line: 0,
    };
    let outcome = match Line::parse(text.as_bytes()) {
        Err(error) => Err(error),
        Ok(None) => Err(LineError::MissingArgument("-o".to_owned())),
        Ok(Some(line)) => match block_of::<O>(&line) {
            Some(_) => Err(LineError::NotOnCommandLine(line.keyword.to_owned())),
            None => apply(&line, options, Activity::Active, lookups),
        },
    };
    let mut findings = Findings::default();
    findings.note(&place, outcome);
    findings.finish(&place.file)
}

/// Finds a keyword; upper case does not matter.
fn find<O>(table: &'static [Keyword<O>], word: &str) -> Option<&'static Keyword<O>> {
    table
        .iter()
        .find(|keyword| keyword.name.eq_ignore_ascii_case(word))
}

/// Sets an option. The first value wins; the result is for the table's sake, and never an error.
pub(crate) fn first<T>(slot: &mut Option<T>, value: T) -> Result<(), LineError> {
    slot.get_or_insert(value);
    Ok(())
}

/// Sets a command line: the rest of a line, or `none`, which is the empty one. The first value wins.
pub(crate) fn first_command(slot: &mut Option<String>, rest: &str) -> Result<(), LineError> {
    let command = match rest.eq_ignore_ascii_case("none") {
        true => "",
        false => rest,
    };
    first(slot, command.to_owned())
}

/// Adds to a list that accumulates, once each, up to a bound.
pub(crate) fn accumulate<T: PartialEq>(
    list: &mut Vec<T>,
    value: T,
    arguments: &Arguments,
    most: usize,
) -> Result<(), LineError> {
    if list.contains(&value) {
        return Ok(());
    }
    if list.len() >= most {
        return Err(LineError::TooMany(arguments.keyword().to_owned()));
    }
    list.push(value);
    Ok(())
}

/// Effect of a line: it counts, or it is read only for its mistakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It counts.
    Active,
    /// It stands in a block that does not match.
    Inactive,
}

impl<O: Default> Class<O> {
    /// Applies a keyword that is no block; what comes back is a warning.
    ///
    /// In an inactive block, values are checked and thrown away.
    fn apply(
        &self,
        line: &Line<'_>,
        options: &mut O,
        activity: Activity,
        lookups: &Lookups<'_>,
    ) -> Result<Option<String>, LineError> {
        let active = activity == Activity::Active;
        let harmless = |values: &[&str]| {
            let word = line.arguments().ok().and_then(Arguments::only);
            word.is_some_and(|word| values.iter().any(|value| value.eq_ignore_ascii_case(&word)))
        };
        let told = |what: &str| {
            Ok(Some(format!(
                "{} is {what} and is passed over",
                line.keyword
            )))
        };
        match self {
            Self::Option(apply) => {
                let mut scratch = O::default();
                let options = if active { options } else { &mut scratch };
                let mut arguments = line.arguments()?;
                apply(options, &mut arguments, lookups)?;
                arguments.finish().map(|()| None)
            }
            Self::Raw(apply) if active => apply(options, line.rest).map(|()| None),
            Self::Unsupported(values) if active && !harmless(values) => told("not supported"),
            Self::Deprecated if active => told("deprecated"),
            Self::Restricts(values) if active && !harmless(values) => {
                Err(LineError::Restricts(line.keyword.to_owned()))
            }
            Self::RestrictsUnless(harmless) if active && !harmless(line.arguments()?) => {
                Err(LineError::Restricts(line.keyword.to_owned()))
            }
            Self::Routes(values, hint) if active && !harmless(values) => {
                Err(LineError::NotSupported {
                    keyword: line.keyword.to_owned(),
                    hint,
                })
            }
            _ => Ok(None),
        }
    }
}

/// Reads lines as `-o` does, with look-ups that know nothing.
#[cfg(test)]
pub(crate) fn apply_lines<O: Options>(lines: &[&str]) -> Result<O, String> {
    let mut options = O::default();
    for line in lines {
        apply_text(line, &mut options, &Lookups::none()).map_err(|e| e.to_string())?;
    }
    Ok(options)
}

/// Panics unless every keyword of a program stands in one place, under a name that [`find`] can find.
#[cfg(test)]
pub(crate) fn assert_sound<O: Options>() {
    let own = O::keywords().iter().map(|keyword| keyword.name);
    let shared = connection::KEYWORDS.iter().map(|keyword| keyword.name);
    let mut names: Vec<&str> = own.chain(shared).collect();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    assert!(names.iter().all(|name| name.bytes().all(plain)));
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}
