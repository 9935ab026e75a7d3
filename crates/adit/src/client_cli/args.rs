//! The command line of adit, in ssh's grammar: flags combine, values attach, and options may follow the destination.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;

use crate::command_line::{Print, path, sentence, text};

/// What the user typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Args {
    /// `[user@]host` or `ssh://…`.
    pub destination: Option<String>,
    /// Words behind the destination that are no options.
    pub command: Vec<String>,
    /// Settings in the order they were typed: what comes first wins.
    pub settings: Vec<Setting>,
    /// `-L`, `-R`, `-D`, in order.
    pub forwards: Vec<(ForwardFlag, String)>,
    /// `-i`, each.
    pub identities: Vec<PathBuf>,
    /// `-F`.
    pub config: Option<PathBuf>,
    /// `-E`.
    pub log_file: Option<PathBuf>,
    /// `-f`.
    pub background: bool,
    /// `-N`.
    pub no_session: bool,
    /// `-q`.
    pub quiet: bool,
    /// `-v`, counted.
    pub verbose: u8,
    /// What to print instead of connecting.
    pub print: Option<Print>,
}

/// Something typed that sets an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Setting {
    /// A line of `ssh_config`.
    Line(String),
    /// `-l`.
    User(String),
    /// The user and the port of the destination.
    Destination,
}

/// Which kind of forward a specification is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ForwardFlag {
    /// `-L`.
    Local,
    /// `-R`.
    Remote,
    /// `-D`.
    Dynamic,
}

/// The text of `--help`.
pub(super) const HELP: &str = "\
adit: SSH tunnels; ssh's flags and ssh_config's keywords

usage: adit -N [-46CfgnqTvV] [-L spec] [-R spec] [-D spec] [-c ciphers] [-E log_file] [-F config]
               [-i identity] [-J hops] [-l user] [-m macs] [-o option] [-p port] [user@]host
       adit demo [--once]

forwards (each may be repeated):
  -L [bind:]port:host:port   listen here, connect there; /path for a unix socket on either side
  -R [bind:]port:host:port   listen there, connect here; port 0 lets the server choose
  -R [bind:]port             listen there, a SOCKS proxy that connects from here
  -D [bind:]port             listen here, a SOCKS4/4a/5 proxy that connects from there
  -g                         let others reach the ports of -L and -D
connection:
  -p PORT  -l USER  -i KEY  -J HOST[,HOST]  -F CONFIG  -o KEY=VALUE  -4  -6
  -C       compress          -c CIPHERS  -m MACS
running:
  -N       forwards only, no shell (required: adit has no shell yet)
  -f       go to the background once every forward is up
  -q       say nothing       -v  say more (-vv: much more)       -E FILE  append messages to FILE
  -n -T    accepted; there is no standard input or terminal to leave alone
  -V       print the version --help  print this

examples:
  adit demo                                         see it work, on this machine alone
  adit -N -L 9000:localhost:5432 user@example.com   then: psql -h localhost -p 9000
  adit -N -R 9000:localhost:3000 user@example.com   show a local web site at the server
  adit -fCqN -D 9000 example.com                    a SOCKS proxy, in the background
";

impl Args {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    /// An unknown flag or a missing value, as a sentence.
    pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut args = Self::default();
        while let Some(argument) = parser.next().map_err(sentence)? {
            match argument {
                Short(flag) => args.flag(flag, &mut parser)?,
                Long("help") => args.print = Some(Print::Help),
                Long("version") => args.print = Some(Print::Version),
                Value(word) => {
                    let word = word.string().map_err(sentence)?;
                    match args.destination {
                        None => {
                            args.destination = Some(word);
                            args.settings.push(Setting::Destination);
                        }
                        Some(_) => {
                            // From the first word of a command on, nothing is ours.
                            args.command.push(word);
                            let rest = parser.raw_args().map_err(sentence)?;
                            args.command
                                .extend(rest.map(|w| w.to_string_lossy().into_owned()));
                        }
                    }
                }
                other => return Err(sentence(other.unexpected())),
            }
        }
        Ok(args)
    }

    fn flag(&mut self, flag: char, parser: &mut lexopt::Parser) -> Result<(), String> {
        match flag {
            'L' => self.forwards.push((ForwardFlag::Local, text(parser)?)),
            'R' => self.forwards.push((ForwardFlag::Remote, text(parser)?)),
            'D' => self.forwards.push((ForwardFlag::Dynamic, text(parser)?)),
            'l' => self.settings.push(Setting::User(text(parser)?)),
            'i' => self.identities.push(path(parser)?),
            'F' => self.config = Some(path(parser)?),
            'E' => self.log_file = Some(path(parser)?),
            'p' => self.line("Port", &text(parser)?),
            'J' => self.line("ProxyJump", &text(parser)?),
            'c' => self.line("Ciphers", &text(parser)?),
            'm' => self.line("MACs", &text(parser)?),
            'b' => self.line("BindAddress", &text(parser)?),
            'o' => {
                let line = text(parser)?;
                self.settings.push(Setting::Line(line));
            }
            'g' => self.line("GatewayPorts", "yes"),
            'C' => self.line("Compression", "yes"),
            '4' => self.line("AddressFamily", "inet"),
            '6' => self.line("AddressFamily", "inet6"),
            'f' => self.background = true,
            'N' => self.no_session = true,
            'q' => self.quiet = true,
            'v' => self.verbose = self.verbose.saturating_add(1),
            'V' => self.print = Some(Print::Version),
            'h' => self.print = Some(Print::Help),
            // Nothing of this exists in adit, so there is nothing to turn off.
            'n' | 'T' | 'a' | 'x' | 'k' | '2' => {}
            't' | 'A' | 'X' | 'Y' | 'K' | 's' | 'M' | 'G' => {
                return Err(format!(
                    "-{flag} is not supported yet: adit carries forwards only"
                ));
            }
            'W' | 'w' | 'S' | 'O' | 'Q' | 'I' | 'e' | 'B' => {
                return Err(format!("-{flag} is not supported yet"));
            }
            other => return Err(format!("unknown option -- {other}")),
        }
        Ok(())
    }

    fn line(&mut self, keyword: &str, value: &str) {
        self.settings
            .push(Setting::Line(format!("{keyword}={value}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn flags_combine_and_options_follow_the_destination() {
        let args = parse("-fCqN -D9000 host -l me -L 1:h:2 -vv").unwrap();
        assert!(args.background && args.no_session && args.quiet);
        assert_eq!(args.destination.as_deref(), Some("host"));
        assert_eq!(args.verbose, 2);
        assert_eq!(
            args.forwards,
            [
                (ForwardFlag::Dynamic, "9000".into()),
                (ForwardFlag::Local, "1:h:2".into())
            ]
        );
        assert_eq!(
            args.settings,
            [
                Setting::Line("Compression=yes".into()),
                Setting::Destination,
                Setting::User("me".into())
            ]
        );
    }

    #[test]
    fn command_takes_everything_behind_its_first_word() {
        let args = parse("-N host uptime -L x").unwrap();
        assert_eq!(args.command, ["uptime", "-L", "x"]);
        assert!(args.forwards.is_empty());
    }

    #[test]
    fn what_is_not_there_yet_is_refused_by_name() {
        assert!(parse("-W h:1 host").unwrap_err().contains("-W"));
        assert!(parse("-z host").unwrap_err().contains('z'));
        assert!(parse("-L").is_err());
    }
}
