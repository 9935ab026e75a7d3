//! Options of ssh_config about a session: what runs at the server, which variables it gets, what this side's terminal does.

use std::str::FromStr;

use crate::config::error::LineError;
use crate::config::lines::Arguments;
use crate::config::values::choose;
use crate::pattern::{Case, PatternList};

use super::options::ClientOptions;

/// Limit of the patterns of `SendEnv`.
const MAX_PATTERNS: usize = 1024;

/// Purpose of the connection (`SessionType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionType {
    /// Forwarding only, as `-N`.
    Nothing,
    /// A subsystem, as `-s`.
    Subsystem,
    /// A shell or a command.
    Default,
}

/// Wish for a terminal (`RequestTTY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestTty {
    /// Never.
    No,
    /// One if standard input is a terminal.
    Yes,
    /// Always.
    Force,
    /// For a shell, if standard input is a terminal.
    Auto,
}

/// The key that opens an escape sequence (`EscapeChar`, `-e`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EscapeChar {
    /// This byte, `~` unless the user says otherwise.
    Key(u8),
    /// No key: the session is transparent.
    Nothing,
}

impl Default for EscapeChar {
    fn default() -> Self {
        EscapeChar::Key(b'~')
    }
}

impl FromStr for EscapeChar {
    type Err = &'static str;

    /// Reads a single character, `^` with a letter for a control character, or `none`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.as_bytes() {
            b"none" => Ok(EscapeChar::Nothing),
            &[key] => Ok(EscapeChar::Key(key)),
            &[b'^', letter @ 64..=127] => Ok(EscapeChar::Key(letter & 31)),
            _ => Err("expected a single character, ^ and a letter, or none"),
        }
    }
}

/// Options of a session. A field that is `None` was set nowhere.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionOptions {
    /// `SessionType`; default a shell or a command.
    pub session_type: Option<SessionType>,
    /// `RequestTTY`; default auto.
    pub request_tty: Option<RequestTty>,
    /// `StdinNull`; default no.
    pub stdin_null: Option<bool>,
    /// `RemoteCommand`; empty: `none`.
    pub remote_command: Option<String>,
    /// `SendEnv`: patterns of names, those that `-pattern` took out left out.
    pub send_env: Vec<String>,
    /// `LocalCommand`; runs where `PermitLocalCommand` lets it.
    pub local_command: Option<String>,
    /// `PermitLocalCommand`; default no.
    pub permit_local_command: Option<bool>,
    /// `EscapeChar`; default `~`.
    pub escape_char: Option<EscapeChar>,
}

impl SessionOptions {
    /// Tells whether a variable of this name is sent to the server.
    pub fn sends(&self, name: &str) -> bool {
        let patterns = self.send_env.iter();
        patterns
            .filter_map(|text| PatternList::parse(text, Case::Sensitive).ok())
            .any(|pattern| pattern.matches(name))
    }
}

pub(super) fn session_type(word: &str) -> Result<SessionType, &'static str> {
    let table = [
        ("none", SessionType::Nothing),
        ("subsystem", SessionType::Subsystem),
        ("default", SessionType::Default),
    ];
    choose(word, &table).ok_or("none, subsystem or default")
}

pub(super) fn request_tty(word: &str) -> Result<RequestTty, &'static str> {
    let table = [
        ("no", RequestTty::No),
        ("false", RequestTty::No),
        ("yes", RequestTty::Yes),
        ("true", RequestTty::Yes),
        ("force", RequestTty::Force),
        ("auto", RequestTty::Auto),
    ];
    choose(word, &table).ok_or("no, yes, force or auto")
}

/// `SendEnv`: patterns that add, and behind a minus patterns that take out what was added before.
pub(super) fn send_env(
    options: &mut ClientOptions,
    arguments: &mut Arguments,
) -> Result<(), LineError> {
    let list = &mut options.session.send_env;
    for word in arguments.all()? {
        if word.contains('=') {
            return Err(arguments.bad_value(&word, "patterns of names, without ="));
        }
        let pattern = word.strip_prefix('-').unwrap_or(&word);
        let parsed = PatternList::parse(pattern, Case::Sensitive);
        let parsed = parsed.map_err(|expected| arguments.bad_value(&word, expected))?;
        if word.starts_with('-') {
            list.retain(|name| !parsed.matches(name));
        } else if list.len() >= MAX_PATTERNS {
            return Err(LineError::TooMany(arguments.keyword().to_owned()));
        } else if !list.contains(&word) {
            list.push(word);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keyword::apply_lines;

    fn read(lines: &[&str]) -> Result<ClientOptions, String> {
        apply_lines(lines)
    }

    #[test]
    fn escape_characters_are_read_as_ssh_reads_them() {
        for (text, key) in [
            ("~", Ok(EscapeChar::Key(b'~'))),
            ("^]", Ok(EscapeChar::Key(0x1d))),
            ("^a", Ok(EscapeChar::Key(1))),
            ("none", Ok(EscapeChar::Nothing)),
        ] {
            assert_eq!(text.parse(), key, "{text}");
        }
        for text in ["", "ab", "^", "^é", "^1", "é"] {
            let parsed = text.parse::<EscapeChar>();
            assert_eq!(parsed.is_ok(), text == "^", "{text}");
        }
    }

    #[test]
    fn variables_are_sent_that_a_pattern_names_and_none_took_out() {
        let lines = ["SendEnv LANG LC_*", "SendEnv -LC_* TZ"];
        let session = read(&lines).unwrap().session;
        for (name, sent) in [("LANG", true), ("TZ", true), ("LC_ALL", false)] {
            assert_eq!(session.sends(name), sent, "{name}");
        }
        assert!(read(&["SendEnv A=b"]).is_err());
    }

    #[test]
    fn first_line_of_set_env_counts_and_first_value_of_a_name() {
        let options = read(&["SetEnv A=1 B=2=3 A=4 C=", "SetEnv D=5"]).unwrap();
        let pairs = [("A", "1"), ("B", "2=3"), ("C", "")];
        let expected = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(options.connection.set_env.as_deref(), Some(&expected[..]));
        assert!(read(&["SetEnv A"]).is_err() && read(&["SetEnv =1"]).is_err());
    }

    #[test]
    fn command_is_the_rest_of_the_line() {
        let lines = ["RemoteCommand echo \"a  b\" # c", "RemoteCommand none"];
        let session = read(&lines).unwrap().session;
        let command = session.remote_command.as_deref();
        assert_eq!(command, Some("echo \"a  b\" # c"));
        let none = read(&["RemoteCommand none"]).unwrap().session;
        assert_eq!(none.remote_command.as_deref(), Some(""));
    }
}
