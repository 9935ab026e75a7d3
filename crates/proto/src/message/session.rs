//! Requests of a session channel (RFC 4254 §6 and §8, RFC 4335, OpenSSH PROTOCOL §2.1): the type's name and its fields.
//!
//! They are read from, and written to, what a channel request carries behind its type. Bytes that end up in a process's
//! arguments or environment hold no zero, names hold nothing that would write to a terminal.

use crate::peer_text;
use crate::wire::{Reader, WireError, Writer};

/// The longest name: of a terminal, a variable, a subsystem, a signal; in bytes.
pub const MAX_NAME_LEN: usize = 256;
/// The longest value of a variable, in bytes: as much as Linux takes in one string of an environment.
pub const MAX_VALUE_LEN: usize = 128 << 10;
/// The longest command, in bytes: as much as a packet holds.
pub const MAX_COMMAND_LEN: usize = 256 << 10;
/// Terminal modes of one request: each opcode once, and some to spare.
pub const MAX_MODES: usize = 256;

/// TTY_OP_END: no modes follow.
const OP_END: u8 = 0;
/// The first opcode whose argument RFC 4254 §8 leaves open: reading ends at it.
const FIRST_OP_WITHOUT_LAYOUT: u8 = 160;

/// Size of a terminal (RFC 4254 §6.2); zero where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TerminalSize {
    /// Width in characters.
    pub columns: u32,
    /// Height in lines.
    pub rows: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl TerminalSize {
    fn parse(r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            columns: r.u32("terminal width in characters")?,
            rows: r.u32("terminal height in rows")?,
            width: r.u32("terminal width in pixels")?,
            height: r.u32("terminal height in pixels")?,
        })
    }

    fn encode(self, w: &mut Writer) {
        w.u32(self.columns)
            .u32(self.rows)
            .u32(self.width)
            .u32(self.height);
    }
}

/// Modes of a terminal (RFC 4254 §8): opcodes below 160 with their arguments, in the order of the wire. 128 and 129 are the
/// speeds of input and output in bits per second.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TerminalModes(pub Vec<(u8, u32)>);

impl TerminalModes {
    fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(bytes);
        let mut modes = Vec::new();
        // Some peers leave the end out.
        while !r.rest().is_empty() {
            let opcode = r.u8("terminal mode")?;
            if opcode == OP_END || opcode >= FIRST_OP_WITHOUT_LAYOUT {
                break;
            }
            if modes.len() >= MAX_MODES {
                return Err(WireError::BadValue("terminal modes"));
            }
            modes.push((opcode, r.u32("argument of a terminal mode")?));
        }
        Ok(Self(modes))
    }

    fn encode(&self, w: &mut Writer) {
        w.nested(|w| {
            for &(opcode, argument) in &self.0 {
                // Anything else would be read as the end.
                if opcode != OP_END && opcode < FIRST_OP_WITHOUT_LAYOUT {
                    w.u8(opcode).u32(argument);
                }
            }
            w.u8(OP_END);
        });
    }
}

/// Name of a signal (RFC 4254 §6.10).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SignalName {
    Abrt,
    Alrm,
    Fpe,
    Hup,
    Ill,
    Int,
    Kill,
    Pipe,
    Quit,
    Segv,
    Term,
    Usr1,
    Usr2,
    /// Any other, `INFO@openssh.com` among them.
    Other(String),
}

/// The signals that the RFC names.
const SIGNALS: [(&str, SignalName); 13] = [
    ("ABRT", SignalName::Abrt),
    ("ALRM", SignalName::Alrm),
    ("FPE", SignalName::Fpe),
    ("HUP", SignalName::Hup),
    ("ILL", SignalName::Ill),
    ("INT", SignalName::Int),
    ("KILL", SignalName::Kill),
    ("PIPE", SignalName::Pipe),
    ("QUIT", SignalName::Quit),
    ("SEGV", SignalName::Segv),
    ("TERM", SignalName::Term),
    ("USR1", SignalName::Usr1),
    ("USR2", SignalName::Usr2),
];

impl SignalName {
    /// The signal with this name, which has no `SIG` in front.
    pub fn from_name(name: &str) -> Self {
        let known = SIGNALS.iter().find(|(known, _)| *known == name);
        known.map_or_else(|| Self::Other(name.to_owned()), |(_, s)| s.clone())
    }

    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            SignalName::Other(name) => name,
            known => {
                let entry = SIGNALS.iter().find(|(_, signal)| signal == known);
                entry.map_or("", |(name, _)| name)
            }
        }
    }
}

/// A request of a session channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionRequest {
    /// `pty-req` (RFC 4254 §6.2): a pseudo-terminal for what is started next.
    Pty {
        /// The value of TERM.
        term: String,
        /// Its size.
        size: TerminalSize,
        /// Its modes.
        modes: TerminalModes,
    },
    /// `env` (RFC 4254 §6.4): a variable for what is started next.
    Env {
        /// Its name, without `=`.
        name: String,
        /// Its value.
        value: Vec<u8>,
    },
    /// `shell` (RFC 4254 §6.5): start the login shell.
    Shell,
    /// `exec` (RFC 4254 §6.5): start a command.
    Exec {
        /// The line for the user's shell.
        command: Vec<u8>,
    },
    /// `subsystem` (RFC 4254 §6.5): start what the server has under a name.
    Subsystem {
        /// The name.
        name: String,
    },
    /// `window-change` (RFC 4254 §6.7): the terminal has another size.
    WindowChange(TerminalSize),
    /// `xon-xoff` (RFC 4254 §6.8).
    XonXoff {
        /// True where the client may stop and start output by itself.
        client_can_do: bool,
    },
    /// `signal` (RFC 4254 §6.9): deliver a signal.
    Signal(SignalName),
    /// `exit-status` (RFC 4254 §6.10): the command ended with this code.
    ExitStatus(u32),
    /// `exit-signal` (RFC 4254 §6.10): a signal ended the command.
    ExitSignal {
        /// The signal.
        signal: SignalName,
        /// True where it left a core dump.
        core_dumped: bool,
        /// The beginning of a sentence, to be shown through `peer_text::description`.
        message: String,
    },
    /// `break` (RFC 4335): the condition of a serial line.
    Break {
        /// Its length in milliseconds; zero for the usual one.
        milliseconds: u32,
    },
    /// `auth-agent-req@openssh.com`: the server may open channels to the user's agent.
    AuthAgent,
    /// `eow@openssh.com`: the sender reads no more, and goes on writing.
    EndOfWrite,
}

impl SessionRequest {
    /// Reads the fields of a request; none where the type is no session's.
    pub fn parse(request_type: &str, fields: &[u8]) -> Result<Option<Self>, WireError> {
        let mut r = Reader::new(fields);
        let Some(request) = Self::parse_fields(request_type, &mut r)? else {
            return Ok(None);
        };
        r.finish()?;
        Ok(Some(request))
    }

    fn parse_fields(request_type: &str, r: &mut Reader<'_>) -> Result<Option<Self>, WireError> {
        Ok(Some(match request_type {
            "pty-req" => SessionRequest::Pty {
                term: name(r, "terminal type")?,
                size: TerminalSize::parse(r)?,
                modes: TerminalModes::parse(r.string("terminal modes")?)?,
            },
            "env" => SessionRequest::Env {
                name: variable(r)?,
                value: bytes(r, "value of a variable", MAX_VALUE_LEN)?,
            },
            "shell" => SessionRequest::Shell,
            "exec" => SessionRequest::Exec {
                command: bytes(r, "command", MAX_COMMAND_LEN)?,
            },
            "subsystem" => SessionRequest::Subsystem {
                name: name(r, "subsystem name")?,
            },
            "window-change" => SessionRequest::WindowChange(TerminalSize::parse(r)?),
            "xon-xoff" => SessionRequest::XonXoff {
                client_can_do: r.boolean("client can do")?,
            },
            "signal" => SessionRequest::Signal(signal(r)?),
            "exit-status" => SessionRequest::ExitStatus(r.u32("exit status")?),
            "exit-signal" => {
                let request = SessionRequest::ExitSignal {
                    signal: signal(r)?,
                    core_dumped: r.boolean("core dumped")?,
                    message: peer_text::keep(r.string("error message")?),
                };
                r.string("language tag")?;
                request
            }
            "break" => SessionRequest::Break {
                milliseconds: r.u32("break length")?,
            },
            "auth-agent-req@openssh.com" => SessionRequest::AuthAgent,
            "eow@openssh.com" => SessionRequest::EndOfWrite,
            _ => return Ok(None),
        }))
    }

    /// The name of the type on the wire.
    pub fn request_type(&self) -> &'static str {
        match self {
            SessionRequest::Pty { .. } => "pty-req",
            SessionRequest::Env { .. } => "env",
            SessionRequest::Shell => "shell",
            SessionRequest::Exec { .. } => "exec",
            SessionRequest::Subsystem { .. } => "subsystem",
            SessionRequest::WindowChange(_) => "window-change",
            SessionRequest::XonXoff { .. } => "xon-xoff",
            SessionRequest::Signal(_) => "signal",
            SessionRequest::ExitStatus(_) => "exit-status",
            SessionRequest::ExitSignal { .. } => "exit-signal",
            SessionRequest::Break { .. } => "break",
            SessionRequest::AuthAgent => "auth-agent-req@openssh.com",
            SessionRequest::EndOfWrite => "eow@openssh.com",
        }
    }

    /// The fields as bytes. What is longer than the bounds above is refused by the other end.
    pub fn encode_fields(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            SessionRequest::Pty { term, size, modes } => {
                w.string(term);
                size.encode(&mut w);
                modes.encode(&mut w);
            }
            SessionRequest::Env { name, value } => {
                w.string(name).string(value);
            }
            SessionRequest::Exec { command } => {
                w.string(command);
            }
            SessionRequest::Subsystem { name } => {
                w.string(name);
            }
            SessionRequest::WindowChange(size) => size.encode(&mut w),
            SessionRequest::XonXoff { client_can_do } => {
                w.boolean(*client_can_do);
            }
            SessionRequest::Signal(signal) => {
                w.string(signal.as_str());
            }
            SessionRequest::ExitStatus(value)
            | SessionRequest::Break {
                milliseconds: value,
            } => {
                w.u32(*value);
            }
            SessionRequest::ExitSignal {
                signal,
                core_dumped,
                message,
            } => {
                w.string(signal.as_str()).boolean(*core_dumped);
                w.string(message).string("");
            }
            SessionRequest::Shell | SessionRequest::AuthAgent | SessionRequest::EndOfWrite => {}
        }
        w.into_vec()
    }
}

/// A short text without control characters.
fn name(r: &mut Reader<'_>, field: &'static str) -> Result<String, WireError> {
    let text = r.text(field)?;
    match text.len() > MAX_NAME_LEN || text.contains(char::is_control) {
        true => Err(WireError::BadValue(field)),
        false => Ok(text.to_owned()),
    }
}

/// The name of a variable.
fn variable(r: &mut Reader<'_>) -> Result<String, WireError> {
    let name = name(r, "name of a variable")?;
    match name.is_empty() || name.contains('=') {
        true => Err(WireError::BadValue("name of a variable")),
        false => Ok(name),
    }
}

fn signal(r: &mut Reader<'_>) -> Result<SignalName, WireError> {
    Ok(SignalName::from_name(&name(r, "signal name")?))
}

/// Bytes that a process may be given.
fn bytes(r: &mut Reader<'_>, field: &'static str, most: usize) -> Result<Vec<u8>, WireError> {
    let bytes = r.string(field)?;
    match bytes.len() > most || bytes.contains(&0) {
        true => Err(WireError::BadValue(field)),
        false => Ok(bytes.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pty(modes: &[(u8, u32)]) -> SessionRequest {
        SessionRequest::Pty {
            term: "xterm-256color".into(),
            size: TerminalSize {
                columns: 80,
                rows: 24,
                width: 640,
                height: 480,
            },
            modes: TerminalModes(modes.to_vec()),
        }
    }

    fn parse(request_type: &str, fields: &Writer) -> Result<Option<SessionRequest>, WireError> {
        SessionRequest::parse(request_type, fields.as_slice())
    }

    #[test]
    fn every_request_round_trips() {
        let exit_signal = SessionRequest::ExitSignal {
            signal: SignalName::Segv,
            core_dumped: true,
            message: "it fell over".into(),
        };
        for request in [
            pty(&[(128, 38_400), (129, 38_400), (1, 3), (53, 1)]),
            SessionRequest::Env {
                name: "LANG".into(),
                value: b"de_DE.\xff".to_vec(),
            },
            SessionRequest::Shell,
            SessionRequest::Exec {
                command: b"ls -l \xe4".to_vec(),
            },
            SessionRequest::Subsystem {
                name: "sftp".into(),
            },
            SessionRequest::WindowChange(TerminalSize::default()),
            SessionRequest::XonXoff {
                client_can_do: true,
            },
            SessionRequest::Signal(SignalName::Other("INFO@openssh.com".into())),
            SessionRequest::ExitStatus(255),
            exit_signal,
            SessionRequest::Break { milliseconds: 500 },
            SessionRequest::AuthAgent,
            SessionRequest::EndOfWrite,
        ] {
            let fields = request.encode_fields();
            let read = SessionRequest::parse(request.request_type(), &fields);
            assert_eq!(read, Ok(Some(request)));
        }
    }

    /// The bytes that ssh 9.2 sends for a signal and a size, by the RFC's layout.
    #[test]
    fn layout_is_that_of_the_rfc() {
        let fields = SessionRequest::Signal(SignalName::Usr1).encode_fields();
        assert_eq!(fields, b"\0\0\0\x04USR1");
        let SessionRequest::Pty { size, .. } = pty(&[]) else {
            unreachable!();
        };
        let fields = SessionRequest::WindowChange(size).encode_fields();
        assert_eq!(fields, b"\0\0\0\x50\0\0\0\x18\0\0\x02\x80\0\0\x01\xe0");
    }

    #[test]
    fn terminal_modes_end_where_the_rfc_stops_reading() {
        let modes = |bytes: &[u8]| TerminalModes::parse(bytes).map(|modes| modes.0);
        assert_eq!(modes(b"\x01\0\0\0\x03\x00\x02"), Ok(vec![(1, 3)]));
        assert_eq!(modes(b"\x01\0\0\0\x03\xa0\x02"), Ok(vec![(1, 3)]));
        assert_eq!(
            modes(b"\x9f\0\0\0\x01"),
            Ok(vec![(159, 1)]),
            "without an end"
        );
        let cut = Err(WireError::Truncated("argument of a terminal mode"));
        assert_eq!(modes(b"\x01\0\0"), cut);
        let too_many = b"\x01\0\0\0\0".repeat(MAX_MODES + 1);
        assert_eq!(modes(&too_many), Err(WireError::BadValue("terminal modes")));
    }

    #[test]
    fn opcodes_that_would_be_read_as_the_end_are_not_written() {
        let request = pty(&[(0, 1), (1, 3), (160, 1), (255, 1)]);
        let fields = request.encode_fields();
        let read = SessionRequest::parse("pty-req", &fields);
        assert_eq!(read, Ok(Some(pty(&[(1, 3)]))));
    }

    #[test]
    fn text_that_would_write_to_a_terminal_or_split_a_variable_is_refused() {
        for (request_type, first) in [
            ("pty-req", "x\x1b[2J"),
            ("env", "A=B"),
            ("env", ""),
            ("env", "A\n"),
            ("subsystem", "sf\0tp"),
            ("signal", "KILL\r"),
        ] {
            let mut w = Writer::new();
            w.string(first).string("value");
            let refused = parse(request_type, &w);
            assert!(
                matches!(refused, Err(WireError::BadValue(_))),
                "{request_type} {first:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn bytes_for_a_process_have_no_zero_and_a_length() {
        let exec = |command: &[u8]| {
            let mut w = Writer::new();
            w.string(command);
            parse("exec", &w)
        };
        assert_eq!(exec(b"a\0b"), Err(WireError::BadValue("command")));
        let longest = vec![b'x'; MAX_COMMAND_LEN];
        assert!(exec(&longest).is_ok());
        let longer = [&longest[..], b"x"].concat();
        assert_eq!(exec(&longer), Err(WireError::BadValue("command")));
        let mut w = Writer::new();
        w.string("NAME").string(vec![b'x'; MAX_VALUE_LEN + 1]);
        let refused = Err(WireError::BadValue("value of a variable"));
        assert_eq!(parse("env", &w), refused);
        let mut w = Writer::new();
        w.string("x".repeat(MAX_NAME_LEN + 1)).string("");
        assert!(parse("env", &w).is_err());
    }

    #[test]
    fn fields_that_are_cut_or_too_many_are_refused_and_other_types_are_none() {
        assert_eq!(SessionRequest::parse("x11-req", b"\xff"), Ok(None));
        let trailing = SessionRequest::parse("shell", b"\0");
        assert_eq!(trailing, Err(WireError::TrailingBytes(1)));
        let fields = pty(&[(1, 3)]).encode_fields();
        for len in 0..fields.len() {
            assert!(SessionRequest::parse("pty-req", &fields[..len]).is_err());
        }
    }

    #[test]
    fn message_of_an_exit_signal_is_kept_as_far_as_it_is_shown() {
        let mut w = Writer::new();
        w.string("TERM").boolean(false).string(vec![b'x'; 100_000]);
        w.string("en");
        let Ok(Some(SessionRequest::ExitSignal { message, .. })) = parse("exit-signal", &w) else {
            panic!("it is right");
        };
        assert_eq!(message, peer_text::keep(message.as_bytes()));
        assert!(message.len() < 1000);
    }
}
