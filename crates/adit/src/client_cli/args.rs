//! The command line of adit, in ssh's grammar: flags combine, values attach, and options may follow the destination.

use std::ffi::OsString;
use std::path::PathBuf;

use adit_tunnel::config::ssh_config::RequestTty;
use lexopt::prelude::*;

use crate::command_line::{Print, path, sentence, text};

/// Arguments as the user typed them.
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
    /// `-s`.
    pub subsystem: bool,
    /// `-t`, `-tt`, `-T`: the last one counts.
    pub request_tty: Option<RequestTty>,
    /// `-W`.
    pub stdio_forward: Option<String>,
    /// `-q`.
    pub quiet: bool,
    /// `-y`.
    pub syslog: bool,
    /// Flags that ssh has and adit has not, which change nothing about a tunnel.
    pub passed_over: Vec<char>,
    /// `-v`, counted.
    pub verbose: u8,
    /// Text to print instead of connecting.
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

/// Kind of forward that a specification is for.
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
adit: SSH tunnels and sessions; ssh's flags and ssh_config's keywords

usage: adit [-46CfgNnqsTtvV] [-L spec] [-R spec] [-D spec] [-c ciphers] [-E log_file] [-e escape]
            [-F config] [-i identity] [-J hops] [-l user] [-m macs] [-o option] [-p port]
            [-W host:port] [user@]host [command]
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
session (without a command: a shell):
  -N       none, forwards only              -W HOST:PORT  standard input and output are a connection
  -t -tt   on a terminal (-tt: always)      -T            not on a terminal
  -n       it reads nothing                 -s            the command is the name of a subsystem
  -e CHAR  escape character, or none: ~. ends the connection, ~? lists the others
running:
  -f       go to the background once a forward is up (all of them, with ExitOnForwardFailure)
  -q       say nothing       -v  say more (-vv: much more)       -E FILE  append messages to FILE
  -y       log to syslog
  -A -I -M -S -X -Y          accepted, with a warning: not supported yet
  -a -K -k -x                accepted: what they switch off is off
  -V       print the version --help  print this

examples:
  adit demo                                         see it work, on this machine alone
  adit user@example.com uptime                      run a command there; without one: a shell
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
            's' => self.subsystem = true,
            't' => {
                self.request_tty = Some(match self.request_tty {
                    Some(RequestTty::Yes | RequestTty::Force) => RequestTty::Force,
                    _ => RequestTty::Yes,
                });
            }
            'T' => self.request_tty = Some(RequestTty::No),
            'W' => self.stdio_forward = Some(text(parser)?),
            'n' => self.line("StdinNull", "yes"),
            'e' => self.line("EscapeChar", &text(parser)?),
            'q' => self.quiet = true,
            'v' => self.verbose = self.verbose.saturating_add(1),
            'V' => self.print = Some(Print::Version),
            'h' => self.print = Some(Print::Help),
            'y' => self.syslog = true,
            flag => self.foreign(flag, parser)?,
        }
        Ok(())
    }

    /// A flag of ssh's that adit has no use for. Without it a tunnel is what it would be with it, or less comfortable: it
    /// is passed over, as the keyword in a file is. Or it asks for something else than a tunnel, and is refused.
    fn foreign(&mut self, flag: char, parser: &mut lexopt::Parser) -> Result<(), String> {
        match flag {
            // What they switch off is off, and Kerberos is nowhere.
            'a' | 'x' | 'k' | 'K' | '2' => {}
            'A' | 'X' | 'Y' | 'M' => self.passed_over.push(flag),
            'S' | 'I' => {
                let value = text(parser)?;
                if value != "none" {
                    self.passed_over.push(flag);
                }
            }
            '1' => return Err("SSH protocol v.1 is no longer supported".into()),
            'O' => {
                return Err(
                    "-O is not supported yet: adit has no control socket; kill PID ends a tunnel"
                        .into(),
                );
            }
            'w' | 'G' | 'Q' | 'B' | 'P' | 'Z' => {
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
    fn flags_that_change_nothing_about_a_tunnel_are_passed_over() {
        let args = parse("-NAXYM -S sock -I lib -e none -ntTaxkK2 -S none host").unwrap();
        assert_eq!(args.passed_over, ['A', 'X', 'Y', 'M', 'S', 'I']);
        assert_eq!(args.destination.as_deref(), Some("host"));
    }

    #[test]
    fn flags_of_a_session_are_read() {
        for (line, tty) in [
            ("-t host", Some(RequestTty::Yes)),
            ("-tt host", Some(RequestTty::Force)),
            ("-tT host", Some(RequestTty::No)),
            ("-Tt host", Some(RequestTty::Yes)),
            ("host", None),
        ] {
            assert_eq!(parse(line).unwrap().request_tty, tty, "{line}");
        }
        let args = parse("-s -W h:1 -n host sftp").unwrap();
        assert!(args.subsystem);
        assert_eq!(args.stdio_forward.as_deref(), Some("h:1"));
        assert_eq!(args.settings[0], Setting::Line("StdinNull=yes".into()));
    }

    #[test]
    fn every_flag_of_ssh_is_known() {
        // The getopt string of OpenSSH 10.5.
        const FLAGS: &str =
            "1246ACGKMNTVXYZafgknqstvxyB:D:E:F:I:J:L:O:P:Q:R:S:W:b:c:e:i:l:m:o:p:w:";
        for flag in FLAGS.chars().filter(|&c| c != ':') {
            if let Err(error) = parse(&format!("-{flag} value host")) {
                assert!(!error.contains("unknown"), "{error}");
            }
        }
    }

    #[test]
    fn what_is_not_there_yet_is_refused_by_name() {
        for flag in ["-w", "-G", "-Q", "-B", "-P", "-O", "-Z"] {
            let error = parse(&format!("{flag} h:1 host")).unwrap_err();
            assert!(
                error.starts_with(&format!("{flag} is not supported yet")),
                "{error}"
            );
        }
        assert!(parse("-1 host").unwrap_err().contains("v.1"));
        assert!(parse("-z host").unwrap_err().contains('z'));
        assert!(parse("-L").is_err());
    }
}
