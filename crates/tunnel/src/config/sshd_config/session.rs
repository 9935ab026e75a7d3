//! Options of sshd_config about sessions: which programs run, with which variables, on which terminals.

use std::path::PathBuf;

use crate::config::error::LineError;
use crate::config::keyword::accumulate;
use crate::config::lines::Arguments;
use crate::config::values::yes_no;
use crate::pattern::{Case, PatternList};

use super::options::ServerOptions;

/// Limit of the patterns of `AcceptEnv`, and of the subsystems.
const MAX_ENTRIES: usize = 1024;

/// The name by which sshd_config calls the server's own SFTP server.
const INTERNAL_SFTP: &str = "internal-sftp";

/// Sessions per connection where nobody says another number (`MaxSessions`).
pub const MAX_SESSIONS: u32 = 10;

/// A program that a client asks for by the name of its service (`Subsystem`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subsystem {
    /// Name that the client says.
    pub name: String,
    /// Program that serves it.
    pub program: SubsystemProgram,
}

/// The program of a subsystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubsystemProgram {
    /// This command line, in the user's shell.
    Command(String),
    /// The SFTP server that comes with the server, with these arguments (`internal-sftp`).
    InternalSftp(String),
}

/// The variables that keys (`environment=`) and `~/.ssh/environment` may set (`PermitUserEnvironment`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserEnvironment {
    /// None.
    Refused,
    /// Those whose names match.
    Matching(PatternList),
}

/// Options of sessions. A field that is `None` was set nowhere.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionOptions {
    /// `AcceptEnv`: patterns of names.
    pub accept_env: Vec<String>,
    /// `ForceCommand`; empty: `none`.
    pub force_command: Option<String>,
    /// `PermitTTY`; default yes.
    pub permit_tty: Option<bool>,
    /// `PermitUserRC`; default yes.
    pub permit_user_rc: Option<bool>,
    /// `PermitUserEnvironment`; default no.
    pub permit_user_environment: Option<UserEnvironment>,
    /// `MaxSessions`; default [`MAX_SESSIONS`].
    pub max_sessions: Option<u32>,
    /// `Subsystem`, each name once.
    pub subsystems: Vec<Subsystem>,
    /// `Banner`: a file that is shown before the login; an empty path: `none`.
    pub banner: Option<PathBuf>,
    /// `PrintMotd`; default yes.
    pub print_motd: Option<bool>,
    /// `PrintLastLog`; default yes.
    pub print_last_log: Option<bool>,
    /// `AllowAgentForwarding`; default yes.
    pub allow_agent_forwarding: Option<bool>,
}

impl SessionOptions {
    /// The subsystem of this name.
    pub fn subsystem(&self, name: &str) -> Option<&Subsystem> {
        let mut subsystems = self.subsystems.iter();
        subsystems.find(|subsystem| subsystem.name == name)
    }

    /// The patterns of `AcceptEnv` as one list.
    ///
    /// # Errors
    /// None for patterns that were read from a file, each of which was checked.
    pub fn accepted_variables(&self) -> Result<PatternList, &'static str> {
        let words = self.accept_env.iter().map(String::as_str);
        PatternList::from_words(words, Case::Sensitive)
    }
}

pub(super) fn accept_env(
    options: &mut ServerOptions,
    arguments: &mut Arguments,
) -> Result<(), LineError> {
    for word in arguments.all()? {
        let pattern = PatternList::parse(&word, Case::Sensitive);
        pattern.map_err(|expected| arguments.bad_value(&word, expected))?;
        if word.contains('=') {
            return Err(arguments.bad_value(&word, "patterns of names, without ="));
        }
        let list = &mut options.session.accept_env;
        accumulate(list, word, arguments, MAX_ENTRIES)?;
    }
    Ok(())
}

pub(super) fn user_environment(word: &str) -> Result<UserEnvironment, &'static str> {
    match yes_no(word) {
        Ok(false) => Ok(UserEnvironment::Refused),
        Ok(true) => PatternList::parse("*", Case::Sensitive).map(UserEnvironment::Matching),
        Err(_) => PatternList::parse(word, Case::Sensitive).map(UserEnvironment::Matching),
    }
}

/// A name and a command line. A name that was there before keeps its command.
pub(super) fn subsystem(
    options: &mut ServerOptions,
    arguments: &mut Arguments,
) -> Result<(), LineError> {
    let name = arguments.word()?;
    let command = arguments.all()?.join(" ");
    let program = match command.strip_prefix(INTERNAL_SFTP) {
        Some(rest) if rest.is_empty() || rest.starts_with(' ') => {
            SubsystemProgram::InternalSftp(rest.trim_start().to_owned())
        }
        _ => SubsystemProgram::Command(command),
    };
    if options.session.subsystem(&name).is_some() {
        return Ok(());
    }
    let subsystem = Subsystem { name, program };
    let list = &mut options.session.subsystems;
    accumulate(list, subsystem, arguments, MAX_ENTRIES)
}

pub(super) fn banner(word: &str) -> Result<PathBuf, &'static str> {
    match word {
        "none" => Ok(PathBuf::new()),
        path => Ok(PathBuf::from(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keyword::apply_lines;

    fn read(lines: &[&str]) -> Result<SessionOptions, String> {
        apply_lines::<ServerOptions>(lines).map(|options| options.session)
    }

    #[test]
    fn variables_are_accepted_by_patterns_that_add_up() {
        let session = read(&["AcceptEnv LANG LC_*", "AcceptEnv TZ"]).unwrap();
        let accepted = session.accepted_variables().unwrap();
        for (name, is_accepted) in [
            ("LANG", true),
            ("LC_X", true),
            ("TZ", true),
            ("PATH", false),
        ] {
            assert_eq!(accepted.matches(name), is_accepted, "{name}");
        }
        let nothing = read(&[]).unwrap().accepted_variables().unwrap();
        assert!(!nothing.matches("LANG"));
    }

    #[test]
    fn first_subsystem_of_a_name_counts() {
        let lines = [
            "Subsystem sftp internal-sftp -u 077",
            "Subsystem sftp /bin/false",
        ];
        let session = read(&lines).unwrap();
        let program = &session.subsystem("sftp").unwrap().program;
        assert_eq!(*program, SubsystemProgram::InternalSftp("-u 077".into()));
        let session = read(&["Subsystem sftp /usr/lib/sftp-server -l INFO"]).unwrap();
        let command = "/usr/lib/sftp-server -l INFO".to_owned();
        let program = &session.subsystem("sftp").unwrap().program;
        assert_eq!(*program, SubsystemProgram::Command(command));
        assert!(session.subsystem("other").is_none());
        assert!(read(&["Subsystem sftp"]).is_err());
    }

    #[test]
    fn users_variables_are_refused_taken_or_chosen_by_pattern() {
        let permitted = |value: &str| {
            let line = format!("PermitUserEnvironment {value}");
            read(&[&line]).unwrap().permit_user_environment.unwrap()
        };
        assert_eq!(permitted("no"), UserEnvironment::Refused);
        for (value, name, is_permitted) in [
            ("yes", "A", true),
            ("LANG,L*", "LC", true),
            ("L*", "A", false),
        ] {
            let UserEnvironment::Matching(list) = permitted(value) else {
                panic!("{value}")
            };
            assert_eq!(list.matches(name), is_permitted, "{value} {name}");
        }
    }

    #[test]
    fn forced_command_is_the_rest_of_the_line() {
        let session = read(&["ForceCommand echo \"a  b\""]).unwrap();
        assert_eq!(session.force_command.as_deref(), Some("echo \"a  b\""));
    }
}
