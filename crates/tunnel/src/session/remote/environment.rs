//! The environment of a session's program, as sshd makes it.
//!
//! Sources in their order, each of which replaces what came before under the same name: what the client sent (AcceptEnv),
//! the account's own (USER, HOME, PATH, …), the key's (`environment=`) and the file's (`~/.ssh/environment`) where
//! PermitUserEnvironment lets them, the administrator's (SetEnv), and what is known of the connection (SSH_CLIENT, …).

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::config::sshd_config::UserEnvironment;
use crate::pattern::PatternList;

/// Variables that one session may send; further ones are refused.
pub const MAX_VARIABLES: usize = 128;

/// Bytes that the variables of one session may have together, names and values.
pub const MAX_BYTES: usize = 256 << 10;

/// Lines of an environment file that are read, as in sshd.
const MAX_LINES: usize = 1000;

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
    /// The name of our terminal, where there is one.
    pub terminal: Option<&'a Path>,
    /// The command that the client asked for, where something else is run.
    pub original_command: Option<&'a OsStr>,
    /// Socket of the forwarded agent.
    pub agent: Option<PathBuf>,
}

/// The variables, each name once, in the order in which they were first set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// Sets a variable, in the place of one of the same name.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// Takes a variable from the client, if `accepted` (AcceptEnv) has its name; tells whether it did.
    pub fn accept(&mut self, name: &str, value: Vec<u8>, accepted: &PatternList) -> Accepted {
        let bytes = self.len() + name.len() + value.len();
        let sound = is_name(name.as_bytes()) && !value.contains(&0);
        let fits = bytes <= MAX_BYTES && self.0.len() < MAX_VARIABLES;
        if !fits || !sound || !accepted.matches(name) {
            return Accepted::No;
        }
        self.set(name, OsString::from_vec(value));
        Accepted::Yes
    }

    /// Bytes of all names and values.
    fn len(&self) -> usize {
        let bytes = |(name, value): &(OsString, OsString)| name.len() + value.len();
        self.0.iter().map(bytes).sum()
    }

    /// Sets what a login has.
    pub fn set_account(&mut self, account: &Account<'_>) {
        let path = match account.uid {
            0 => ROOT_PATH,
            _ => PATH,
        };
        self.set("USER", account.name);
        self.set("LOGNAME", account.name);
        self.set("HOME", account.home);
        self.set("PATH", path);
        self.set("MAIL", format!("/var/mail/{}", account.name));
        self.set("SHELL", account.shell);
    }

    /// Sets a variable of the user's own, from a key or a file, if PermitUserEnvironment lets it.
    pub fn set_of_user(&mut self, name: &OsStr, value: &OsStr, permitted: &UserEnvironment) {
        let is_permitted = match permitted {
            UserEnvironment::Refused => false,
            UserEnvironment::Matching(names) => names.matches(&name.to_string_lossy()),
        };
        if is_permitted {
            self.set(name, value);
        }
    }

    /// Sets the lines `NAME=value` of an environment file, as far as they are permitted; empty lines and those behind `#`
    /// are passed over. Gives the numbers of those that are neither.
    pub fn set_lines(&mut self, text: &[u8], permitted: &UserEnvironment) -> Vec<usize> {
        let mut bad = Vec::new();
        let lines = text.split(|&byte| byte == b'\n').take(MAX_LINES);
        for (index, line) in lines.enumerate() {
            let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
            let indent = line.iter().take_while(|&byte| blank(byte)).count();
            let line = &line[indent..];
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let equals = line.iter().position(|&byte| byte == b'=');
            match equals.map(|at| (&line[..at], &line[at + 1..])) {
                Some((name, value)) if is_name(name) && !value.contains(&0) => {
                    let (name, value) = (OsStr::from_bytes(name), OsStr::from_bytes(value));
                    self.set_of_user(name, value, permitted);
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
        if let Some(path) = facts.terminal {
            self.set("SSH_TTY", path);
        }
        if let Some(command) = facts.original_command {
            self.set("SSH_ORIGINAL_COMMAND", command);
        }
        if let Some(agent) = &facts.agent {
            self.set("SSH_AUTH_SOCK", agent);
        }
    }

    /// The value of a variable.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_os_str())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
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
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.contains(&b'=') && !name.contains(&0)
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
            assert_eq!(
                environment.accept(name, b"x".to_vec(), &accepted),
                fate,
                "{name}"
            );
        }
        assert_eq!(
            environment.accept("LANG", b"a\0b".to_vec(), &accepted),
            Accepted::No
        );
        environment.set_account(&account());
        assert_eq!(environment.value("HOME"), Some("/home/ada".as_ref()));
        assert_eq!(environment.value("LANG"), Some("x".as_ref()));
    }

    #[test]
    fn variables_of_a_client_are_bounded() {
        let mut environment = Environment::default();
        let all = accepting("*");
        let long = vec![b'x'; MAX_BYTES];
        assert_eq!(environment.accept("A", long, &all), Accepted::No);
        let half = vec![b'x'; MAX_BYTES / 2];
        assert_eq!(environment.accept("A", half.clone(), &all), Accepted::Yes);
        assert_eq!(environment.accept("B", half, &all), Accepted::No);
        let mut accept = |n| environment.accept(&format!("V{n}"), vec![b'x'], &all);
        let set = (0..1000).filter(|&n| accept(n) == Accepted::Yes);
        assert_eq!(set.count(), MAX_VARIABLES - 1);
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
            terminal: Some(Path::new("/dev/pts/3")),
            original_command: Some("rm -rf /".as_ref()),
            agent: None,
        };
        environment.set_facts(&facts);
        for (name, value) in [
            ("SSH_CLIENT", "192.0.2.7 51000 22"),
            ("SSH_CONNECTION", "192.0.2.7 51000 192.0.2.1 22"),
            ("SSH_TTY", "/dev/pts/3"),
            ("SSH_ORIGINAL_COMMAND", "rm -rf /"),
        ] {
            assert_eq!(environment.value(name), Some(value.as_ref()), "{name}");
        }
        environment.set_facts(&Facts::default());
        let unknown = Some("UNKNOWN 65535 UNKNOWN 65535".as_ref());
        assert_eq!(environment.value("SSH_CONNECTION"), unknown);
    }

    #[test]
    fn lines_of_a_file_that_are_no_variables_are_named() {
        let mut environment = Environment::default();
        let text = b"# comment\n\nA=1\n B=two words\nnonsense\n=x\nA=3\nC=\xff\nD=4";
        let permitted = UserEnvironment::Matching(accepting("A,B,C"));
        assert_eq!(environment.set_lines(text, &permitted), [5, 6]);
        let value = |name| environment.value(name).map(OsStr::as_bytes);
        assert_eq!(value("A"), Some(&b"3"[..]));
        assert_eq!(value("B"), Some(&b"two words"[..]));
        assert_eq!(value("C"), Some(&b"\xff"[..]));
        assert_eq!(value("D"), None);
        let mut nothing = Environment::default();
        nothing.set_lines(text, &UserEnvironment::Refused);
        assert_eq!(nothing, Environment::default());
    }
}
