//! Requests of a session channel: of any bytes, and of requests that were made up.

use adit_proto::message::session::{
    MAX_COMMAND_LEN, MAX_MODES, MAX_NAME_LEN, MAX_VALUE_LEN, SessionRequest, SignalName,
    TerminalModes, TerminalSize,
};
use arbitrary::{Result, Unstructured};

use crate::payloads::piece;

/// Every type that a session has, and one that it has not.
const TYPES: [&str; 14] = [
    "pty-req",
    "env",
    "shell",
    "exec",
    "subsystem",
    "window-change",
    "xon-xoff",
    "signal",
    "exit-status",
    "exit-signal",
    "break",
    "auth-agent-req@openssh.com",
    "eow@openssh.com",
    "x11-req",
];

/// Asserts that a request which is read keeps to its bounds, can be written, and reads the same again; one that is made
/// up reads as what it is.
pub fn session_requests(data: &[u8]) {
    let Some((&choice, fields)) = data.split_first() else {
        return;
    };
    let request_type = TYPES[usize::from(choice) % TYPES.len()];
    if let Ok(Some(request)) = SessionRequest::parse(request_type, fields) {
        assert_eq!(request.request_type(), request_type);
        check_bounds(&request);
        let encoded = request.encode_fields();
        let again = SessionRequest::parse(request_type, &encoded);
        assert_eq!(again, Ok(Some(request)));
    }
    let mut u = Unstructured::new(data);
    if let Ok(request) = made_up(&mut u) {
        let fields = request.encode_fields();
        let read = SessionRequest::parse(request.request_type(), &fields);
        assert_eq!(read, Ok(Some(request)));
    }
}

fn check_bounds(request: &SessionRequest) {
    let is_name = |name: &str| name.len() <= MAX_NAME_LEN && !name.contains(char::is_control);
    let is_for_a_process = |bytes: &[u8], most| bytes.len() <= most && !bytes.contains(&0);
    match request {
        SessionRequest::Pty { term, modes, .. } => {
            assert!(is_name(term) && modes.0.len() <= MAX_MODES);
            assert!(modes.0.iter().all(|(opcode, _)| (1..160).contains(opcode)));
        }
        SessionRequest::Env { name, value } => {
            assert!(is_name(name) && !name.is_empty() && !name.contains('='));
            assert!(is_for_a_process(value, MAX_VALUE_LEN));
        }
        SessionRequest::Exec { command } => assert!(is_for_a_process(command, MAX_COMMAND_LEN)),
        SessionRequest::Subsystem { name } => assert!(is_name(name)),
        SessionRequest::Signal(signal) | SessionRequest::ExitSignal { signal, .. } => {
            assert!(is_name(signal.as_str()));
            assert_eq!(&SignalName::from_name(signal.as_str()), signal);
        }
        _ => {}
    }
}

fn made_up(u: &mut Unstructured<'_>) -> Result<SessionRequest> {
    Ok(match u.int_in_range(0..=12)? {
        0 => SessionRequest::Pty {
            term: name(u)?,
            size: size(u)?,
            modes: modes(u)?,
        },
        1 => SessionRequest::Env {
            name: format!("A{}", name(u)?),
            value: without_zero(u)?,
        },
        2 => SessionRequest::Shell,
        3 => SessionRequest::Exec {
            command: without_zero(u)?,
        },
        4 => SessionRequest::Subsystem { name: name(u)? },
        5 => SessionRequest::WindowChange(size(u)?),
        6 => SessionRequest::XonXoff {
            client_can_do: u.arbitrary()?,
        },
        7 => SessionRequest::Signal(SignalName::from_name(&name(u)?)),
        8 => SessionRequest::ExitStatus(u.arbitrary()?),
        9 => SessionRequest::ExitSignal {
            signal: SignalName::from_name(&name(u)?),
            core_dumped: u.arbitrary()?,
            message: name(u)?,
        },
        10 => SessionRequest::Break {
            milliseconds: u.arbitrary()?,
        },
        11 => SessionRequest::AuthAgent,
        _ => SessionRequest::EndOfWrite,
    })
}

fn size(u: &mut Unstructured<'_>) -> Result<TerminalSize> {
    let [columns, rows, width, height] = u.arbitrary()?;
    Ok(TerminalSize {
        columns,
        rows,
        width,
        height,
    })
}

fn modes(u: &mut Unstructured<'_>) -> Result<TerminalModes> {
    let mut modes = Vec::new();
    for _ in 0..u.int_in_range(0..=MAX_MODES)? {
        modes.push((u.int_in_range(1..=159)?, u.arbitrary()?));
    }
    Ok(TerminalModes(modes))
}

/// A name of printable letters, often that of a signal.
fn name(u: &mut Unstructured<'_>) -> Result<String> {
    if u.arbitrary()? {
        return Ok((*u.choose(&["TERM", "KILL", "xterm", "sftp", "INFO@openssh.com"])?).to_owned());
    }
    let letters = piece(u)?.iter().map(|byte| char::from(b'a' + byte % 26));
    Ok(letters.collect())
}

fn without_zero(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    Ok(piece(u)?.iter().map(|&byte| byte.max(1)).collect())
}
