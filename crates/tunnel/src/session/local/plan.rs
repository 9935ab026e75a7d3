//! Plan of a session, from the command line and the configuration: its program, with or without a terminal, and its
//! input.

use std::fmt;

use crate::config::ssh_config::{EscapeChar, RequestTty, SessionOptions, SessionType};

/// The program that is asked for at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// None: forwards only.
    Nothing,
    /// The login shell.
    Shell,
    /// A command line for the login shell.
    Command(String),
    /// A subsystem, by name.
    Subsystem(String),
}

/// Terminal or streams of the program at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// A pseudo-terminal.
    Terminal,
    /// Three streams.
    Streams,
}

/// Source of the program's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Our standard input.
    Inherited,
    /// Nowhere: it reads EOF (`-n`, `-f`).
    Nothing,
}

/// Kind of our standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// A terminal.
    Terminal,
    /// Something else.
    Other,
}

/// A session as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The program.
    pub purpose: Purpose,
    /// Terminal or streams of the program at the server.
    pub ends: Ends,
    /// Source of its input.
    pub input: Input,
    /// Escape character of the session; none without a terminal.
    pub escapes: EscapeChar,
    /// A sentence for the user about something asked for and not done.
    pub notice: Option<&'static str>,
}

/// A session that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanError {
    /// A command was typed, and the configuration has another.
    TwoCommands,
    /// `-s` without a name.
    NoSubsystem,
    /// `-f` without a command and without `-N`.
    NothingForTheBackground,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PlanError::TwoCommands => "Cannot execute command-line and remote command.",
            PlanError::NoSubsystem => "You must specify a subsystem to invoke.",
            PlanError::NothingForTheBackground => {
                "Cannot fork into background without a command to execute."
            }
        })
    }
}

impl std::error::Error for PlanError {}

impl PlanError {
    /// Advice for the user.
    pub fn hint(self) -> Option<&'static str> {
        match self {
            PlanError::TwoCommands => Some("RemoteCommand=none takes the configuration's away"),
            PlanError::NoSubsystem => Some("adit -s user@host sftp"),
            PlanError::NothingForTheBackground => Some("add -N for forwards alone, or a command"),
        }
    }
}

/// Background or foreground: where the client runs after the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// `-f`.
    Background,
    /// It stays.
    Stay,
}

impl Plan {
    /// The plan for what was typed behind the host, with these options.
    ///
    /// # Errors
    /// A request that makes no sense, as [`PlanError`] says.
    pub fn new(
        typed: &[String],
        options: &SessionOptions,
        stdin: Stdin,
        fork: Fork,
    ) -> Result<Self, PlanError> {
        let purpose = purpose(typed, options)?;
        if fork == Fork::Background && purpose == Purpose::Shell {
            return Err(PlanError::NothingForTheBackground);
        }
        let input = match options.stdin_null == Some(true) || fork == Fork::Background {
            true => Input::Nothing,
            false => Input::Inherited,
        };
        let is_wanted = match options.request_tty.unwrap_or(RequestTty::Auto) {
            RequestTty::No => false,
            RequestTty::Yes | RequestTty::Force => purpose != Purpose::Nothing,
            RequestTty::Auto => purpose == Purpose::Shell,
        };
        let is_possible = (stdin == Stdin::Terminal && input == Input::Inherited)
            || options.request_tty == Some(RequestTty::Force);
        let (ends, notice) = match (is_wanted, is_possible) {
            (true, true) => (Ends::Terminal, None),
            (true, false) => (Ends::Streams, Some(NO_TERMINAL)),
            (false, _) => (Ends::Streams, None),
        };
        let escapes = match ends {
            Ends::Terminal => options.escape_char.unwrap_or_default(),
            Ends::Streams => EscapeChar::Nothing,
        };
        Ok(Self {
            purpose,
            ends,
            input,
            escapes,
            notice,
        })
    }
}

const NO_TERMINAL: &str = "Pseudo-terminal will not be allocated because stdin is not a terminal.";

fn purpose(typed: &[String], options: &SessionOptions) -> Result<Purpose, PlanError> {
    let configured = options.remote_command.as_deref().unwrap_or_default();
    if !typed.is_empty() && !configured.is_empty() {
        return Err(PlanError::TwoCommands);
    }
    let command = match typed {
        [] => configured.to_owned(),
        words => words.join(" "),
    };
    match options.session_type.unwrap_or(SessionType::Default) {
        // A command does not count then, as in ssh.
        SessionType::Nothing => Ok(Purpose::Nothing),
        SessionType::Subsystem if command.is_empty() => Err(PlanError::NoSubsystem),
        SessionType::Subsystem => Ok(Purpose::Subsystem(command)),
        SessionType::Default if command.is_empty() => Ok(Purpose::Shell),
        SessionType::Default => Ok(Purpose::Command(command)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(
        typed: &[&str],
        change: impl FnOnce(&mut SessionOptions),
        stdin: Stdin,
        fork: Fork,
    ) -> Result<Plan, PlanError> {
        let typed: Vec<String> = typed.iter().map(|&word| word.to_owned()).collect();
        let mut options = SessionOptions::default();
        change(&mut options);
        Plan::new(&typed, &options, stdin, fork)
    }

    #[test]
    fn terminal_is_for_shells_unless_the_user_says_otherwise() {
        use Ends::{Streams, Terminal};
        use RequestTty::{Auto, Force, No, Yes};
        for (typed, asked, stdin, ends) in [
            (&[][..], Auto, Stdin::Terminal, Terminal),
            (&[], Auto, Stdin::Other, Streams),
            (&[], No, Stdin::Terminal, Streams),
            (&[], Force, Stdin::Other, Terminal),
            (&["top"], Auto, Stdin::Terminal, Streams),
            (&["top"], Yes, Stdin::Terminal, Terminal),
            (&["top"], Yes, Stdin::Other, Streams),
            (&["top"], Force, Stdin::Other, Terminal),
        ] {
            let got = plan(typed, |o| o.request_tty = Some(asked), stdin, Fork::Stay).unwrap();
            assert_eq!(got.ends, ends, "{typed:?} {asked:?} {stdin:?}");
            let has_escapes = got.escapes != EscapeChar::Nothing;
            assert_eq!(has_escapes, ends == Terminal);
        }
        let shell = plan(&[], |_| {}, Stdin::Other, Fork::Stay).unwrap();
        assert_eq!(shell.notice, Some(NO_TERMINAL));
    }

    #[test]
    fn words_behind_the_host_are_one_command_line() {
        let got = plan(&["ls", "-l", "a b"], |_| {}, Stdin::Other, Fork::Stay).unwrap();
        assert_eq!(got.purpose, Purpose::Command("ls -l a b".into()));
        let subsystem = |o: &mut SessionOptions| o.session_type = Some(SessionType::Subsystem);
        let got = plan(&["sftp"], subsystem, Stdin::Other, Fork::Stay).unwrap();
        assert_eq!(got.purpose, Purpose::Subsystem("sftp".into()));
    }

    #[test]
    fn what_makes_no_sense_is_an_error_as_in_ssh() {
        let configured = |o: &mut SessionOptions| o.remote_command = Some("top".into());
        let (other, stay) = (Stdin::Other, Fork::Stay);
        let two = plan(&["ls"], configured, other, stay);
        assert_eq!(two, Err(PlanError::TwoCommands));
        let got = plan(&[], configured, other, stay).unwrap();
        assert_eq!(got.purpose, Purpose::Command("top".into()));

        let subsystem = |o: &mut SessionOptions| o.session_type = Some(SessionType::Subsystem);
        let unnamed = plan(&[], subsystem, other, stay);
        assert_eq!(unnamed, Err(PlanError::NoSubsystem));
        let nothing = |o: &mut SessionOptions| o.session_type = Some(SessionType::Nothing);
        let both = plan(&["ls"], nothing, other, stay).unwrap();
        assert_eq!(both.purpose, Purpose::Nothing);
        let background = plan(&[], |_| {}, other, Fork::Background);
        assert_eq!(background, Err(PlanError::NothingForTheBackground));
    }

    #[test]
    fn background_reads_nothing() {
        let got = plan(&["sleep", "5"], |_| {}, Stdin::Terminal, Fork::Background).unwrap();
        assert_eq!(got.input, Input::Nothing);
        let forwards = |o: &mut SessionOptions| o.session_type = Some(SessionType::Nothing);
        assert!(plan(&[], forwards, Stdin::Terminal, Fork::Background).is_ok());
    }
}
