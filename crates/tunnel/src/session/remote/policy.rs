//! Policy of sessions: which program a session runs, on what, with which variables. Pure, asked at the moment of the act.
//!
//! The administrator's ForceCommand comes before the key's `command=`, and that before what the client asks for.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use super::start::Startup;
use crate::authorized_keys::KeyOptions;
use crate::config::sshd_config::{
    MAX_SESSIONS, ServerOptions, Subsystem, SubsystemProgram, UserEnvironment,
};
use crate::pattern::PatternList;
use crate::policy::Permission;

/// A command that stands for the server's own SFTP server.
const INTERNAL_SFTP: &str = "internal-sftp";

/// Rules of sshd_config about sessions.
#[derive(Debug, Clone)]
pub struct SessionRules {
    /// `MaxSessions`: of one connection.
    pub max_sessions: usize,
    /// `AcceptEnv`; none accepts nothing.
    pub accepted_variables: Option<PatternList>,
    /// `ForceCommand`.
    pub force_command: Option<String>,
    /// `PermitTTY`.
    pub terminal: Permission,
    /// `PermitUserRC`.
    pub user_rc: Permission,
    /// `PermitUserEnvironment`.
    pub user_environment: UserEnvironment,
    /// `SetEnv`.
    pub set_env: Vec<(String, String)>,
    /// `Subsystem`.
    pub subsystems: Vec<Subsystem>,
    /// `PrintMotd`.
    pub print_motd: Permission,
}

/// Rules of the key that let the user in.
#[derive(Debug, Clone)]
pub struct KeySessionRules {
    /// `command=`.
    pub command: Option<String>,
    /// `environment=`.
    pub environment: Vec<(String, String)>,
    /// `pty`, `no-pty`.
    pub terminal: Permission,
    /// `user-rc`, `no-user-rc`.
    pub user_rc: Permission,
}

impl SessionRules {
    /// The rules of a configuration, every default filled in.
    pub fn new(options: &ServerOptions) -> Self {
        let session = &options.session;
        let max_sessions = session.max_sessions.unwrap_or(MAX_SESSIONS);
        let force_command = session.force_command.as_ref();
        let user_environment = session.permit_user_environment.as_ref();
        Self {
            max_sessions: usize::try_from(max_sessions).unwrap_or(usize::MAX),
            accepted_variables: session.accepted_variables().ok(),
            force_command: force_command.filter(|command| !command.is_empty()).cloned(),
            terminal: Permission::unless_no(session.permit_tty),
            user_rc: Permission::unless_no(session.permit_user_rc),
            user_environment: user_environment
                .cloned()
                .unwrap_or(UserEnvironment::Refused),
            set_env: options.connection.set_env.clone().unwrap_or_default(),
            subsystems: session.subsystems.clone(),
            print_motd: Permission::unless_no(session.print_motd),
        }
    }
}

impl SessionRules {
    /// True where a key or a file may set some variable.
    pub fn permits_user_environment(&self) -> bool {
        self.user_environment != UserEnvironment::Refused
    }
}

impl From<KeyOptions> for KeySessionRules {
    fn from(options: KeyOptions) -> Self {
        Self {
            command: options.command,
            environment: options.environment,
            terminal: options.terminal,
            user_rc: options.user_rc,
        }
    }
}

/// Program that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The login shell.
    Shell,
    /// A line for the user's shell.
    Command(Vec<u8>),
    /// The subsystem of this name.
    Subsystem(String),
}

/// Program that a session runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// The login shell.
    Shell,
    /// A line for the user's shell.
    Command(OsString),
    /// The system's SFTP server, with these arguments.
    Sftp(Vec<OsString>),
    /// A sentence: nothing but SFTP is served here.
    SftpOnly,
}

/// Origin of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// The client said what to run.
    Client,
    /// It named a subsystem.
    Subsystem(String),
    /// `ForceCommand`.
    Configuration(String),
    /// `command=`.
    Key(String),
}

/// Decision on what a session runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The program.
    pub run: Run,
    /// The command that the client asked for, where it gets something else.
    pub original_command: Option<OsString>,
    /// The startup file before it.
    pub startup: Startup,
    origin: Origin,
    is_subsystem: bool,
}

impl Decision {
    /// True where the client may send the program signals: it is one that the client named.
    pub fn takes_signals(&self) -> bool {
        self.origin == Origin::Client && !self.is_subsystem
    }

    /// True where the program's errors go nowhere, as those of a subsystem.
    pub fn drops_errors(&self) -> bool {
        self.is_subsystem
    }

    /// Program as the log names it, in sshd's words: commands of clients are private.
    pub fn kind(&self) -> impl fmt::Display {
        match &self.origin {
            Origin::Configuration(command) => format!("forced-command (config) '{command}'"),
            Origin::Key(command) => format!("forced-command (key-option) '{command}'"),
            Origin::Subsystem(name) => format!("subsystem '{name}'"),
            Origin::Client if self.run == Run::Shell => "shell".to_owned(),
            Origin::Client => "command".to_owned(),
        }
    }
}

/// Permissions of one login about sessions.
#[derive(Debug, Clone)]
pub struct SessionGrant {
    rules: Arc<SessionRules>,
    key: KeySessionRules,
}

impl SessionGrant {
    /// The grant of a login: the server's rules and the key's.
    pub fn new(rules: Arc<SessionRules>, key: impl Into<KeySessionRules>) -> Self {
        let key = key.into();
        Self { rules, key }
    }

    /// The server's rules.
    pub fn rules(&self) -> &SessionRules {
        &self.rules
    }

    /// The key's variables (`environment=`), of which the server permits some.
    pub fn key_environment(&self) -> &[(String, String)] {
        &self.key.environment
    }

    /// Permission for a terminal.
    pub fn terminal(&self) -> Permission {
        self.rules.terminal.and(self.key.terminal)
    }

    /// Decides what a session runs for a client that asks for this; none where there is no such subsystem.
    pub fn decide(&self, asked: Asked) -> Option<Decision> {
        let is_subsystem = matches!(asked, Asked::Subsystem(_));
        let (name, run) = self.run_of(asked)?;
        let forced = match (&self.rules.force_command, &self.key.command) {
            (Some(command), _) => Some((command, Origin::Configuration(command.clone()))),
            (None, Some(command)) => Some((command, Origin::Key(command.clone()))),
            (None, None) => None,
        };
        let Some((command, origin)) = forced else {
            return Some(Decision {
                is_subsystem,
                startup: self.startup(is_subsystem),
                run,
                original_command: None,
                origin: name.map_or(Origin::Client, Origin::Subsystem),
            });
        };
        let sftp = sftp_arguments(command);
        let is_sftp = sftp.is_some();
        Some(Decision {
            run: match sftp {
                Some(arguments) if is_subsystem => Run::Sftp(arguments),
                Some(_) => Run::SftpOnly,
                None => Run::Command(command.into()),
            },
            original_command: original(run),
            startup: self.startup(is_subsystem || is_sftp),
            origin,
            is_subsystem: is_subsystem || is_sftp,
        })
    }

    /// The program that the client's words stand for, with the name of its subsystem.
    fn run_of(&self, asked: Asked) -> Option<(Option<String>, Run)> {
        let name = match asked {
            Asked::Shell => return Some((None, Run::Shell)),
            Asked::Command(command) => {
                return Some((None, Run::Command(OsString::from_vec(command))));
            }
            Asked::Subsystem(name) => name,
        };
        let mut subsystems = self.rules.subsystems.iter();
        let found = subsystems.find(|subsystem| subsystem.name == name)?;
        let run = match &found.program {
            SubsystemProgram::Command(command) => Run::Command(command.into()),
            SubsystemProgram::InternalSftp(arguments) => Run::Sftp(words(arguments)),
        };
        Some((Some(name), run))
    }

    /// The startup file: the user's own is for shells and commands that nobody forced by configuration.
    fn startup(&self, is_subsystem: bool) -> Startup {
        let permitted = self.rules.user_rc.and(self.key.user_rc).is_granted();
        match permitted && !is_subsystem && self.rules.force_command.is_none() {
            true => Startup::OfUser,
            false => Startup::OfSystem,
        }
    }
}

/// SSH_ORIGINAL_COMMAND of a session that runs something else.
fn original(run: Run) -> Option<OsString> {
    match run {
        Run::Shell | Run::SftpOnly => None,
        Run::Command(command) => Some(command),
        Run::Sftp(arguments) => {
            let mut command = OsString::from(INTERNAL_SFTP);
            for argument in arguments {
                command.push(" ");
                command.push(argument);
            }
            Some(command)
        }
    }
}

/// The arguments of `internal-sftp`, if the command is that.
fn sftp_arguments(command: &str) -> Option<Vec<OsString>> {
    let rest = command.strip_prefix(INTERNAL_SFTP)?;
    let is_whole = rest.is_empty() || rest.starts_with([' ', '\t']);
    is_whole.then(|| words(rest))
}

fn words(text: &str) -> Vec<OsString> {
    let words = text.split_ascii_whitespace();
    words.map(|word| OsStr::new(word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(change: impl FnOnce(&mut SessionRules), key: KeyOptions) -> SessionGrant {
        let mut rules = SessionRules::new(&ServerOptions::default());
        let subsystem = |name: &str, program| Subsystem {
            name: name.into(),
            program,
        };
        rules.subsystems = vec![
            subsystem("sftp", SubsystemProgram::InternalSftp("-u 077".into())),
            subsystem("upper", SubsystemProgram::Command("tr a-z A-Z".into())),
        ];
        change(&mut rules);
        SessionGrant::new(Arc::new(rules), key)
    }

    fn key_with(command: Option<&str>) -> KeyOptions {
        KeyOptions {
            command: command.map(str::to_owned),
            ..KeyOptions::none()
        }
    }

    fn command(text: &str) -> Run {
        Run::Command(text.into())
    }

    #[test]
    fn configuration_forces_before_the_key_and_the_key_before_the_client() {
        let table = [
            (None, None, command("client"), None, "command"),
            (
                None,
                Some("key"),
                command("key"),
                Some("client"),
                "forced-command (key-option) 'key'",
            ),
            (
                Some("config"),
                Some("key"),
                command("config"),
                Some("client"),
                "forced-command (config) 'config'",
            ),
        ];
        for (config, key, run, original, kind) in table {
            let force = |rules: &mut SessionRules| rules.force_command = config.map(str::to_owned);
            let grant = grant(force, key_with(key));
            let decision = grant.decide(Asked::Command(b"client".to_vec())).unwrap();
            assert_eq!(decision.run, run);
            assert_eq!(
                decision.original_command.as_deref(),
                original.map(OsStr::new)
            );
            assert_eq!(decision.kind().to_string(), kind);
            assert_eq!(decision.takes_signals(), original.is_none(), "{kind}");
            let shell = grant.decide(Asked::Shell).unwrap();
            assert_eq!(shell.original_command, None);
            assert_eq!(shell.run == Run::Shell, original.is_none());
        }
    }

    #[test]
    fn subsystem_is_found_by_its_name() {
        let grant = grant(|_| {}, KeyOptions::none());
        let decide = |name: &str| grant.decide(Asked::Subsystem(name.into()));
        let sftp = decide("sftp").unwrap();
        assert_eq!(sftp.run, Run::Sftp(vec!["-u".into(), "077".into()]));
        assert_eq!(sftp.kind().to_string(), "subsystem 'sftp'");
        assert!(sftp.drops_errors() && !sftp.takes_signals());
        assert_eq!(sftp.startup, Startup::OfSystem);
        assert_eq!(decide("upper").unwrap().run, command("tr a-z A-Z"));
        assert_eq!(decide("SFTP"), None);
    }

    #[test]
    fn forced_internal_sftp_serves_that_and_nothing_else() {
        let force = |rules: &mut SessionRules| {
            rules.force_command = Some("internal-sftp -R".into());
        };
        let grant = grant(force, KeyOptions::none());
        let sftp = grant.decide(Asked::Subsystem("sftp".into())).unwrap();
        assert_eq!(sftp.run, Run::Sftp(vec!["-R".into()]));
        let original = "internal-sftp -u 077";
        assert_eq!(sftp.original_command.as_deref(), Some(OsStr::new(original)));
        for asked in [Asked::Shell, Asked::Command(b"id".to_vec())] {
            assert_eq!(grant.decide(asked).unwrap().run, Run::SftpOnly);
        }
        assert_eq!(sftp_arguments("internal-sftp-server"), None);
    }

    #[test]
    fn users_startup_file_runs_where_key_and_server_permit_it_and_nothing_is_forced() {
        let startup = |change: fn(&mut SessionRules), key| {
            grant(change, key).decide(Asked::Shell).unwrap().startup
        };
        let refused_by_key = KeyOptions {
            user_rc: Permission::Refused,
            ..KeyOptions::none()
        };
        assert_eq!(startup(|_| {}, KeyOptions::none()), Startup::OfUser);
        assert_eq!(startup(|_| {}, key_with(Some("x"))), Startup::OfUser);
        assert_eq!(startup(|_| {}, refused_by_key), Startup::OfSystem);
        let refuse = |rules: &mut SessionRules| rules.user_rc = Permission::Refused;
        assert_eq!(startup(refuse, KeyOptions::none()), Startup::OfSystem);
        let force = |rules: &mut SessionRules| rules.force_command = Some("x".into());
        assert_eq!(startup(force, KeyOptions::none()), Startup::OfSystem);
    }

    #[test]
    fn terminal_needs_the_servers_permission_and_the_keys() {
        let terminal = |of_server, of_key| {
            let key = KeyOptions {
                terminal: of_key,
                ..KeyOptions::none()
            };
            grant(|rules| rules.terminal = of_server, key).terminal()
        };
        use Permission::{Granted, Refused};
        assert_eq!(terminal(Granted, Granted), Granted);
        for (server, key) in [(Granted, Refused), (Refused, Granted), (Refused, Refused)] {
            assert_eq!(terminal(server, key), Refused);
        }
    }
}
