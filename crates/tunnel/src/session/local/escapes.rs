//! Escape sequences of an interactive session: `~.` and its siblings, picked out of what the user types.
//!
//! ```text
//!   start of a line ──'~'──▶ pending ──'.'──▶ Action::Disconnect, nothing is sent
//!                                    ──'~'──▶ one '~' is sent
//!                                    ──other─▶ '~' and the key are sent
//! ```
//!
//! The escape character counts only behind a line end, as in OpenSSH: elsewhere a path like `a/~` is what it looks like.

use crate::config::ssh_config::EscapeChar;

/// Something that the user asks of the client, and not of the program at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `~.`: end the connection.
    Disconnect,
    /// `~^Z`: suspend the client.
    Suspend,
    /// `~#`: list the forwarded connections.
    List,
    /// `~&`: go to the background and wait for forwarded connections to end.
    Background,
    /// `~?`: show this list.
    Help,
    /// `~B`: send a BREAK.
    Break,
    /// `~R`: change keys.
    Rekey,
    /// `~V`: log less.
    Quieter,
    /// `~v`: log more.
    Louder,
    /// `~C`: open the command line that adds and cancels forwards.
    CommandLine,
}

impl Action {
    fn of(key: u8) -> Option<Self> {
        Some(match key {
            b'.' => Action::Disconnect,
            CONTROL_Z => Action::Suspend,
            b'#' => Action::List,
            b'&' => Action::Background,
            b'?' => Action::Help,
            b'B' => Action::Break,
            b'R' => Action::Rekey,
            b'V' => Action::Quieter,
            b'v' => Action::Louder,
            b'C' => Action::CommandLine,
            _ => return None,
        })
    }
}

const CONTROL_Z: u8 = 0x1a;

/// Result of some typed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filtered {
    /// Bytes of the input that were looked at; what lies behind an action is for the next call.
    pub consumed: usize,
    /// Action that the user asks for, if the last of them did.
    pub action: Option<Action>,
}

/// The filter between keyboard and channel.
#[derive(Debug, Clone)]
pub struct Escapes {
    key: EscapeChar,
    at_line_start: bool,
    pending: bool,
}

impl Escapes {
    /// A filter for the start of a session, which counts as the start of a line.
    pub fn new(key: EscapeChar) -> Self {
        Self {
            key,
            at_line_start: true,
            pending: false,
        }
    }

    /// Adds to `data` what is to be sent of `typed`, up to the next action.
    pub fn filter(&mut self, typed: &[u8], data: &mut Vec<u8>) -> Filtered {
        let EscapeChar::Key(escape) = self.key else {
            data.extend_from_slice(typed);
            return Filtered {
                consumed: typed.len(),
                action: None,
            };
        };
        for (index, &key) in typed.iter().enumerate() {
            if std::mem::take(&mut self.pending) {
                if let Some(action) = Action::of(key).filter(|_| key != escape) {
                    return Filtered {
                        consumed: index + 1,
                        action: Some(action),
                    };
                }
                if key != escape {
                    data.push(escape);
                }
            } else if self.at_line_start && key == escape {
                self.pending = true;
                continue;
            }
            self.at_line_start = matches!(key, b'\r' | b'\n');
            data.push(key);
        }
        Filtered {
            consumed: typed.len(),
            action: None,
        }
    }
}

/// Text that `~?` shows, with the escape character of this session.
pub fn help(key: EscapeChar) -> String {
    let EscapeChar::Key(key) = key else {
        return String::new();
    };
    let key = shown(key);
    let lines = [
        (".", "terminate connection (and any multiplexed sessions)"),
        ("B", "send a BREAK to the remote system"),
        ("C", "open a command line"),
        ("R", "request rekey"),
        ("V/v", "decrease/increase verbosity (LogLevel)"),
        ("^Z", "suspend adit"),
        ("#", "list forwarded connections"),
        (
            "&",
            "background adit (when waiting for connections to terminate)",
        ),
        ("?", "this message"),
    ];
    let mut text = format!("{key}?\r\nSupported escape sequences:\r\n");
    for (sequence, meaning) in lines {
        text.push_str(&format!(" {key}{sequence:<4} - {meaning}\r\n"));
    }
    text.push_str(&format!(
        " {key}{key}   - send the escape character by typing it twice\r\n\
         (Note that escapes are only recognized immediately after newline.)\r\n"
    ));
    text
}

/// A key as people write it: `^]` for a control character.
fn shown(key: u8) -> String {
    match key {
        0..32 => format!("^{}", char::from(key + 64)),
        127 => "^?".into(),
        key => char::from(key).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that are sent, and actions that happen, when these pieces are typed.
    fn typed(key: EscapeChar, pieces: &[&[u8]]) -> (Vec<u8>, Vec<Action>) {
        let mut escapes = Escapes::new(key);
        let (mut data, mut actions) = (Vec::new(), Vec::new());
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let filtered = escapes.filter(rest, &mut data);
                rest = &rest[filtered.consumed..];
                actions.extend(filtered.action);
            }
        }
        (data, actions)
    }

    #[test]
    fn sequences_count_behind_a_line_end_only() {
        for (input, data, actions) in [
            (&b"~."[..], &b""[..], &[Action::Disconnect][..]),
            (b"a~.", b"a~.", &[]),
            (b"a\r~.", b"a\r", &[Action::Disconnect]),
            (b"a\n~#b", b"a\nb", &[Action::List]),
            (b"~~.", b"~.", &[]),
            (b"~x~.", b"~x~.", &[]),
            (b"~#~.", b"", &[Action::List, Action::Disconnect]),
            (b"~\x1a~B", b"", &[Action::Suspend, Action::Break]),
            (b"~\r~.", b"~\r", &[Action::Disconnect]),
        ] {
            let shown = String::from_utf8_lossy(input);
            let whole = typed(EscapeChar::default(), &[input]);
            assert_eq!(whole, (data.to_vec(), actions.to_vec()), "{shown:?}");
            let single: Vec<&[u8]> = input.chunks(1).collect();
            let by_key = typed(EscapeChar::default(), &single);
            assert_eq!(by_key, whole, "{shown:?}, key by key");
        }
    }

    #[test]
    fn transparent_session_has_no_sequences() {
        let (data, actions) = typed(EscapeChar::Nothing, &[b"~.\r~."]);
        assert_eq!((data.as_slice(), actions.len()), (&b"~.\r~."[..], 0));
    }

    #[test]
    fn escape_character_that_is_a_letter_of_a_sequence_is_sent_when_typed_twice() {
        let (data, actions) = typed(EscapeChar::Key(b'.'), &[b"..\r.#"]);
        assert_eq!(
            (data.as_slice(), &actions[..]),
            (&b".\r"[..], &[Action::List][..])
        );
    }

    #[test]
    fn help_names_the_key_of_this_session() {
        assert!(help(EscapeChar::default()).contains("\r\n ~.    - terminate connection"));
        assert!(help(EscapeChar::Key(0x1d)).contains(" ^].    - terminate"));
    }
}
