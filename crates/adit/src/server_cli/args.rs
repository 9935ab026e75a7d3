//! The command line of aditd, in sshd's grammar.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;

use crate::command_line::{Print, path, sentence, text};

/// Arguments as the user typed them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Args {
    /// `-f`.
    pub config: Option<PathBuf>,
    /// `-D`.
    pub foreground: bool,
    /// `-e`.
    pub log_to_stderr: bool,
    /// `-E`.
    pub log_file: Option<PathBuf>,
    /// `-p`, each.
    pub ports: Vec<String>,
    /// `-h`, each.
    pub host_keys: Vec<PathBuf>,
    /// `-o`, each.
    pub options: Vec<String>,
    /// `-t`.
    pub test: bool,
    /// `-q`.
    pub quiet: bool,
    /// `-d`, counted.
    pub debug: u8,
    /// Text to print instead of serving.
    pub print: Option<Print>,
}

/// The text of `--help`.
pub(super) const HELP: &str = "\
aditd: serves SSH tunnels; sshd's flags and sshd_config's keywords

usage: aditd [-Deqt] [-f config] [-p port] [-h host_key] [-o option] [-E log_file]

  -f FILE   read this sshd_config (without it, nothing but defaults)
  -D        stay in the foreground
  -e        log to standard error (the default with -D; else to syslog, where there is one)
  -E FILE   append the log to FILE
  -p PORT   listen on PORT (may be repeated)
  -h FILE   use this host key (may be repeated)
  -o K=V    set an option as in sshd_config (may be repeated)
  -t        check configuration and keys, and exit
  -d        log more, and stay in the foreground
  -q        log nothing
  -V        print the version
  --help    print this

It admits the account that it runs as, with the keys of its authorized_keys. Without -p and -f it
listens on port 2222 when an ordinary user starts it, and on 22 as root. Where no host key is named,
root's aditd has those of /etc/ssh; without them, and for other users, one is made in
~/.local/state/adit.

examples:
  aditd -D -p 2222                      serve yourself on port 2222, in the foreground
  aditd -D -p 2022 -o GatewayPorts=yes  let -R listen on every address
  aditd -t -f /etc/ssh/sshd_config      is this configuration right?
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
                Short('f') => args.config = Some(path(&mut parser)?),
                Short('D') => args.foreground = true,
                Short('e') => args.log_to_stderr = true,
                Short('E') => args.log_file = Some(path(&mut parser)?),
                Short('p') => args.ports.push(text(&mut parser)?),
                Short('h') => args.host_keys.push(path(&mut parser)?),
                Short('o') => args.options.push(text(&mut parser)?),
                Short('t') => args.test = true,
                Short('q') => args.quiet = true,
                Short('d') => args.debug = args.debug.saturating_add(1),
                Short('V') | Long("version") => args.print = Some(Print::Version),
                Long("help") => args.print = Some(Print::Help),
                other => return Err(sentence(other.unexpected())),
            }
        }
        Ok(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn flags_combine_and_values_attach() {
        let args = parse("-Def cfg -p2022 -p 2023 -oGatewayPorts=yes -h key").unwrap();
        assert!(args.foreground && args.log_to_stderr);
        assert_eq!(args.config, Some("cfg".into()));
        assert_eq!(args.ports, ["2022", "2023"]);
        assert_eq!(args.options, ["GatewayPorts=yes"]);
        assert_eq!(args.host_keys, [PathBuf::from("key")]);
    }

    #[test]
    fn unknown_flags_are_named() {
        assert!(parse("-D -Y").unwrap_err().contains("-Y"));
        assert!(parse("-p").is_err());
    }
}
