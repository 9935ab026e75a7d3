//! Filling in what a configuration leaves to the moment: `${VARIABLE}`, `%` tokens, `~`.
//!
//! Nothing here asks the machine: the answers come from [`Lookups`].

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The longest text that filling in may give, in bytes.
const MAX_EXPANDED: usize = 64 * 1024;

/// Questions of the parsers to the machine, as functions, so that they run without one.
#[derive(Clone, Copy)]
pub struct Lookups<'a> {
    /// The value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The TCP port of a service, as in `/etc/services`; see [`service_port`].
    pub service: &'a dyn Fn(&str) -> Option<u16>,
    /// The home directory of a user by name, for `~name/`.
    pub home_of: &'a dyn Fn(&str) -> Option<PathBuf>,
    /// The outcome of a command in the user's shell, for `Match exec`: true for exit status 0.
    pub exec: &'a dyn Fn(&str) -> Result<bool, String>,
    /// True for a host name that resolves, for `CanonicalizeHostname`.
    pub resolves: &'a dyn Fn(&str) -> bool,
    /// The addresses of this machine's interfaces, for `Match localnetwork`.
    pub local_addresses: &'a dyn Fn() -> Vec<IpAddr>,
}

impl Lookups<'static> {
    /// Lookups that know nothing.
    pub fn none() -> Self {
        Self {
            variable: &|_| None,
            service: &|_| None,
            home_of: &|_| None,
            exec: &|_| Err("commands cannot be run here".to_owned()),
            resolves: &|_| false,
            local_addresses: &Vec::new,
        }
    }
}

impl fmt::Debug for Lookups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookups")
    }
}

/// Finds a TCP service, by name or alias, in the text of `/etc/services`.
pub fn service_port(services: &str, name: &str) -> Option<u16> {
    services.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let first = words.next()?;
        let port = words.next()?.strip_suffix("/tcp")?;
        (first == name || words.any(|alias| alias == name)).then(|| port.parse().ok())?
    })
}

/// Reason why a text could not be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpandError {
    /// A `%` token that this text may not hold.
    UnknownToken {
        /// The text as written.
        text: String,
        /// The character after the `%`, if there is one.
        token: Option<char>,
    },
    /// `${NAME}` of a variable that is not set.
    UnsetVariable(String),
    /// `${` without its `}`.
    OpenVariable(String),
    /// `~name` of a user who is not known.
    UnknownUser(String),
    /// The result would be longer than 64 KiB.
    TooLong(String),
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownToken {
                text,
                token: Some(token),
            } => {
                write!(f, "cannot expand '{text}': unknown token %{token}")
            }
            Self::UnknownToken { text, token: None } => {
                write!(f, "cannot expand '{text}': it ends in a lone %")
            }
            Self::UnsetVariable(name) => {
                write!(
                    f,
                    "cannot expand ${{{name}}}: the environment variable is not set"
                )
            }
            Self::OpenVariable(text) => write!(f, "cannot expand '{text}': ${{ without }}"),
            Self::UnknownUser(name) => write!(f, "cannot expand ~{name}: no such user"),
            Self::TooLong(text) => write!(f, "cannot expand '{text}': the result is too long"),
        }
    }
}

impl std::error::Error for ExpandError {}

/// Replaces each `${NAME}`; values are taken as they are, never expanded again.
///
/// # Errors
/// A variable is not set, or a brace is missing.
pub fn expand_variables(text: &str, lookups: &Lookups<'_>) -> Result<String, ExpandError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, tail) = after
            .split_once('}')
            .ok_or_else(|| ExpandError::OpenVariable(text.to_owned()))?;
        let value =
            (lookups.variable)(name).ok_or_else(|| ExpandError::UnsetVariable(name.to_owned()))?;
        out.push_str(before);
        out.push_str(&value);
        check_length(&out, text)?;
        rest = tail;
    }
    out.push_str(rest);
    check_length(&out, text)?;
    Ok(out)
}

/// Keeps what a text has been filled in to within its bound.
pub(crate) fn check_length(filled: &str, text: &str) -> Result<(), ExpandError> {
    match filled.len() > MAX_EXPANDED {
        true => Err(ExpandError::TooLong(text.to_owned())),
        false => Ok(()),
    }
}

/// Replaces each `%x` by what `value` says for `x`; `%%` stands for `%`.
///
/// # Errors
/// A token that `value` does not know.
pub fn expand_tokens(
    text: &str,
    value: impl Fn(char) -> Option<String>,
) -> Result<String, ExpandError> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let token = chars.next();
        match token {
            Some('%') => out.push('%'),
            _ => match token.and_then(&value) {
                Some(filled) => out.push_str(&filled),
                None => {
                    return Err(ExpandError::UnknownToken {
                        text: text.to_owned(),
                        token,
                    });
                }
            },
        }
        check_length(&out, text)?;
    }
    check_length(&out, text)?;
    Ok(out)
}

/// Replaces a leading `~` or `~name` by the home directory.
///
/// # Errors
/// No such user.
pub fn expand_home(path: &str, home: &Path, lookups: &Lookups<'_>) -> Result<PathBuf, ExpandError> {
    let (home, rest) = split_home(path, home, lookups)?;
    Ok(join_home(home, rest))
}

/// Splits a leading `~` or `~name` off and says which directory it is.
pub(crate) fn split_home<'a>(
    path: &'a str,
    home: &Path,
    lookups: &Lookups<'_>,
) -> Result<(Option<PathBuf>, &'a str), ExpandError> {
    let Some(rest) = path.strip_prefix('~') else {
        return Ok((None, path));
    };
    let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let home = match name {
        "" => home.to_path_buf(),
        _ => (lookups.home_of)(name).ok_or_else(|| ExpandError::UnknownUser(name.to_owned()))?,
    };
    Ok((Some(home), rest))
}

/// Puts back together what [`split_home`] split.
pub(crate) fn join_home(home: Option<PathBuf>, rest: &str) -> PathBuf {
    match (home, rest.trim_start_matches('/')) {
        (None, _) => PathBuf::from(rest),
        (Some(home), "") => home,
        // Without its slashes, so that `~//x` cannot turn into the absolute `/x`.
        (Some(home), relative) => home.join(relative),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_variables<T>(run: impl Fn(&Lookups<'_>) -> T) -> T {
        run(&Lookups {
            variable: &|name| match name {
                "A" => Some("1".into()),
                "NESTED" => Some("${A}%h".into()),
                "BIG" => Some("x".repeat(40_000)),
                _ => None,
            },
            ..Lookups::none()
        })
    }

    #[test]
    fn variables_are_filled_in_once() {
        with_variables(|lookups| {
            let table = [
                ("a", "a"),
                ("${A}b${A}", "1b1"),
                ("$A", "$A"),
                ("${NESTED}", "${A}%h"),
                ("$", "$"),
            ];
            for (text, expected) in table {
                assert_eq!(
                    expand_variables(text, lookups).as_deref(),
                    Ok(expected),
                    "{text}"
                );
            }
            assert_eq!(
                expand_variables("${NO}", lookups),
                Err(ExpandError::UnsetVariable("NO".into()))
            );
            assert!(matches!(
                expand_variables("a${A", lookups),
                Err(ExpandError::OpenVariable(_))
            ));
            assert!(matches!(
                expand_variables("${BIG}${BIG}", lookups),
                Err(ExpandError::TooLong(_))
            ));
        });
    }

    #[test]
    fn tokens_are_filled_in_and_unknown_ones_are_errors() {
        let value = |c| (c == 'h').then(|| "host%h".to_owned());
        assert_eq!(expand_tokens("a%h%%h", value).as_deref(), Ok("ahost%h%h"));
        assert!(
            expand_tokens("%C", value)
                .unwrap_err()
                .to_string()
                .contains("unknown token %C")
        );
        assert!(
            expand_tokens("50%", value)
                .unwrap_err()
                .to_string()
                .contains("lone %")
        );
    }

    #[test]
    fn text_that_is_too_long_as_written_is_too_long() {
        let text = "x".repeat(MAX_EXPANDED + 1);
        let too_long = Err(ExpandError::TooLong(text.clone()));
        assert_eq!(expand_variables(&text, &Lookups::none()), too_long);
        assert_eq!(expand_tokens(&text, |_| None), too_long);
        assert!(expand_tokens(&text[1..], |_| None).is_ok());
    }

    #[test]
    fn home_directories_are_filled_in() {
        let lookups = Lookups {
            home_of: &|name| (name == "eve").then(|| PathBuf::from("/home/eve")),
            ..Lookups::none()
        };
        let table = [
            ("~/x", "/h/x"),
            ("~", "/h"),
            ("~//x", "/h/x"),
            ("~eve/x", "/home/eve/x"),
            ("/~/x", "/~/x"),
            ("x", "x"),
        ];
        for (path, expected) in table {
            let got = expand_home(path, Path::new("/h"), &lookups);
            assert_eq!(got.as_deref(), Ok(Path::new(expected)), "{path}");
        }
        assert!(expand_home("~bob/x", Path::new("/h"), &lookups).is_err());
    }

    #[test]
    fn services_are_found_by_name_and_alias_for_tcp_only() {
        let text = "# comment\nhttp\t80/tcp\twww # web\nntp 123/udp\nbad x/tcp\nssh 22/tcp\n";
        let table = [
            ("http", Some(80)),
            ("www", Some(80)),
            ("ssh", Some(22)),
            ("ntp", None),
            ("web", None),
            ("bad", None),
        ];
        for (name, expected) in table {
            assert_eq!(service_port(text, name), expected, "{name}");
        }
    }
}
