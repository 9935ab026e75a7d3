//! The environment of a session's program, as sshd makes it.
//!
//! Sources in their order, each of which replaces what came before under the same name: what the client sent (AcceptEnv),
//! the account's own (USER, HOME, PATH, …), the key's (`environment=`) and the file's (`~/.ssh/environment`) where
//! PermitUserEnvironment lets them, the administrator's (SetEnv), and what is known of the connection (SSH_CLIENT, …).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::pattern::PatternList;

/// Variables that one session may send; further ones are refused.
pub const MAX_VARIABLES: usize = 128;

/// The longest name and the longest value that a client may send, in bytes.
pub const MAX_LENGTH: usize = 32 << 10;

/// The search path where nobody says another, as Debian's sshd has it.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/games";
/// The same for root.
const ROOT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Addresses of the two ends, for SSH_CLIENT and SSH_CONNECTION.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The client's.
    pub peer: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
}

/// The account that the program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account<'a> {
    /// Name of the user.
    pub name: &'a str,
    /// The home directory.
    pub home: &'a Path,
    /// The login shell.
    pub shell: &'a Path,
    /// The user's number; root has a search path of its own.
    pub uid: u32,
}

/// Facts about the session that its program gets as variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts<'a> {
    /// The two ends of the connection; unknown on pipes.
    pub ends: Option<Ends>,
    /// Kind of the client's terminal, `TERM`, and the name of ours, where there is one.
    pub terminal: Option<(&'a str, &'a Path)>,
    /// Command of the client, if another one runs.
    pub original_command: Option<&'a str>,
    /// Socket of the forwarded agent.
    pub agent: Option<PathBuf>,
}

/// The variables, each name once, in the order in which they were first set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// Sets a variable, in the place of one of the same name.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// Takes a variable from the client, if `accepted` (AcceptEnv) has its name; tells whether it did.
    pub fn accept(&mut self, name: &str, value: &str, accepted: &PatternList) -> Accepted {
        let fits = name.len() <= MAX_LENGTH && value.len() <= MAX_LENGTH;
        let sound = is_name(name) && !value.contains('\0');
        if !fits || !sound || self.0.len() >= MAX_VARIABLES || !accepted.matches(name) {
            return Accepted::No;
        }
        self.set(name, value);
        Accepted::Yes
    }

    /// Sets what a login has.
    pub fn set_account(&mut self, account: &Account<'_>) {
        let path = match account.uid {
            0 => ROOT_PATH,
            _ => PATH,
        };
        self.set("USER", account.name);
        self.set("LOGNAME", account.name);
        self.set("HOME", account.home.to_string_lossy());
        self.set("PATH", path);
        self.set("MAIL", format!("/var/mail/{}", account.name));
        self.set("SHELL", account.shell.to_string_lossy());
    }

    /// Sets the lines `NAME=value` of an environment file; empty lines and those behind `#` are passed over. Gives the
    /// numbers of those that are neither.
    pub fn set_lines(&mut self, text: &str) -> Vec<usize> {
        let mut bad = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.split_once('=') {
                Some((name, value)) if is_name(name) && !value.contains('\0') => {
                    self.set(name, value);
                }
                _ => bad.push(index + 1),
            }
        }
        bad
    }

    /// Sets what is known of the connection and the session; nothing of before may stand in for it.
    pub fn set_facts(&mut self, facts: &Facts<'_>) {
        let (client, connection) = match facts.ends {
            Some(Ends { peer, local }) => {
                let (from, to) = (peer.ip().to_canonical(), local.ip().to_canonical());
                let (port, ours) = (peer.port(), local.port());
                (
                    format!("{from} {port} {ours}"),
                    format!("{from} {port} {to} {ours}"),
                )
            }
            None => (
                "UNKNOWN 65535 65535".into(),
                "UNKNOWN 65535 UNKNOWN 65535".into(),
            ),
        };
        self.set("SSH_CLIENT", client);
        self.set("SSH_CONNECTION", connection);
        if let Some((kind, path)) = facts.terminal {
            self.set("TERM", kind);
            self.set("SSH_TTY", path.to_string_lossy());
        }
        if let Some(command) = facts.original_command {
            self.set("SSH_ORIGINAL_COMMAND", command);
        }
        if let Some(agent) = &facts.agent {
            self.set("SSH_AUTH_SOCK", agent.to_string_lossy());
        }
    }

    /// The value of a variable.
    pub fn value(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The fate of a variable that the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is set.
    Yes,
    /// It is not.
    No,
}

/// True for what can be a variable's name.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Case;

    fn accepting(patterns: &str) -> PatternList {
        PatternList::parse(patterns, Case::Sensitive).unwrap()
    }

    fn account() -> Account<'static> {
        Account {
            name: "ada",
            home: Path::new("/home/ada"),
            shell: Path::new("/bin/bash"),
            uid: 1000,
        }
    }

    #[test]
    fn client_sets_what_it_may_and_nothing_of_the_account() {
        let mut environment = Environment::default();
        let accepted = accepting("LANG,LC_*,HOME");
        for (name, fate) in [
            ("LANG", Accepted::Yes),
            ("LC_ALL", Accepted::Yes),
            ("HOME", Accepted::Yes),
            ("LD_PRELOAD", Accepted::No),
            ("", Accepted::No),
            ("LC_=x", Accepted::No),
        ] {
            assert_eq!(environment.accept(name, "x", &accepted), fate, "{name}");
        }
        assert_eq!(environment.accept("LANG", "a\0b", &accepted), Accepted::No);
        environment.set_account(&account());
        assert_eq!(environment.value("HOME"), Some("/home/ada"));
        assert_eq!(environment.value("LANG"), Some("x"));
    }

    #[test]
    fn variables_of_a_client_are_bounded() {
        let mut environment = Environment::default();
        let all = accepting("*");
        let long = "x".repeat(MAX_LENGTH + 1);
        assert_eq!(environment.accept("A", &long, &all), Accepted::No);
        assert_eq!(environment.accept(&long, "x", &all), Accepted::No);
        let set =
            (0..1000).filter(|n| environment.accept(&format!("V{n}"), "x", &all) == Accepted::Yes);
        assert_eq!(set.count(), MAX_VARIABLES);
    }

    #[test]
    fn connection_is_told_as_sshd_tells_it() {
        let mut environment = Environment::default();
        environment.set("SSH_CONNECTION", "forged");
        let facts = Facts {
            ends: Some(Ends {
                peer: "[::ffff:192.0.2.7]:51000".parse().unwrap(),
                local: "192.0.2.1:22".parse().unwrap(),
            }),
            terminal: Some(("xterm", Path::new("/dev/pts/3"))),
            original_command: Some("rm -rf /"),
            agent: None,
        };
        environment.set_facts(&facts);
        for (name, value) in [
            ("SSH_CLIENT", "192.0.2.7 51000 22"),
            ("SSH_CONNECTION", "192.0.2.7 51000 192.0.2.1 22"),
            ("TERM", "xterm"),
            ("SSH_TTY", "/dev/pts/3"),
            ("SSH_ORIGINAL_COMMAND", "rm -rf /"),
        ] {
            assert_eq!(environment.value(name), Some(value), "{name}");
        }
        environment.set_facts(&Facts::default());
        let unknown = Some("UNKNOWN 65535 UNKNOWN 65535");
        assert_eq!(environment.value("SSH_CONNECTION"), unknown);
    }

    #[test]
    fn lines_of_a_file_that_are_no_variables_are_named() {
        let mut environment = Environment::default();
        let bad = environment.set_lines("# comment\n\nA=1\n B=two words\nnonsense\n=x\nA=3\n");
        assert_eq!(bad, [5, 6]);
        let all: Vec<_> = environment.iter().collect();
        assert_eq!(all, [("A", "3"), ("B", "two words")]);
    }
}
