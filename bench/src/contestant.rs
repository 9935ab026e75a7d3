//! Contestants of the measurements, as data.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Result};

/// One of those that are compared.
#[derive(Debug, Clone)]
pub(crate) struct Contestant {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) kind: Kind,
}

/// Role of a contestant in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// adit, whose goals are judged.
    Ours,
    /// A program that ours is compared with.
    Theirs,
    /// The least that forwarding costs.
    Floor,
}

/// Way in which a contestant makes a tunnel.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A client and a server with OpenSSH's arguments and keywords.
    Ssh(Programs),
    /// Two plain relays in a row.
    Relays,
}

/// A client and a server.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) client: PathBuf,
    pub(crate) server: PathBuf,
}

impl Contestant {
    /// Checks that there is something to run.
    pub(crate) fn check(&self) -> Result<()> {
        let Kind::Ssh(programs) = &self.kind else {
            return Ok(());
        };
        for program in [&programs.client, &programs.server] {
            if !program.is_file() {
                return Err(Failure::new(format!(
                    "cannot run {}: there is no {}",
                    self.name,
                    program.display()
                )));
            }
        }
        Ok(())
    }

    /// Version that the client gives itself.
    pub(crate) fn version(&self) -> String {
        let Kind::Ssh(programs) = &self.kind else {
            return "two relays of this bench".to_owned();
        };
        let Ok(output) = Command::new(&programs.client).arg("-V").output() else {
            return "unknown".to_owned();
        };
        // OpenSSH prints its version on the error stream.
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        text.lines().next().unwrap_or("unknown").trim().to_owned()
    }

    /// Its programs, where it has any.
    pub(crate) fn programs(&self) -> Result<&Programs> {
        match &self.kind {
            Kind::Ssh(programs) => Ok(programs),
            Kind::Relays => Err(Failure::new(format!(
                "cannot log in with {}: relays have no logins",
                self.name
            ))),
        }
    }
}

impl Programs {
    /// Reads `CLIENT:SERVER`.
    pub(crate) fn parse(pair: &str) -> Result<Self> {
        let (client, server) = pair
            .split_once(':')
            .ok_or_else(|| Failure::new(format!("{pair} is not of the form CLIENT:SERVER")))?;
        Ok(Self {
            client: client.into(),
            server: server.into(),
        })
    }

    /// adit and aditd in `dir`.
    pub(crate) fn adit_in(dir: &Path) -> Self {
        Self {
            client: dir.join("adit"),
            server: dir.join("aditd"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Stock OpenSSH, which is on every machine that runs the bench.
    pub(crate) fn openssh() -> Contestant {
        Contestant {
            name: "OpenSSH".to_owned(),
            role: Role::Theirs,
            kind: Kind::Ssh(Programs::parse("/usr/bin/ssh:/usr/sbin/sshd").unwrap()),
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let mut contestant = openssh();
        assert!(contestant.check().is_ok());
        contestant.kind = Kind::Ssh(Programs::adit_in(Path::new("/no/such")));
        let failure = contestant.check().unwrap_err().to_string();
        assert!(failure.contains("/no/such/adit"), "{failure}");
    }
}
