//! Text of a peer, for people to read: cut to a length, and without what could steer a terminal or forge a line.
//!
//! Everything that a peer says and that a log or a person reads passes through here: user names, hosts, paths, names of
//! algorithms and types as [`name`], sentences as [`description`], what its author has laid out as [`lines`]. The work
//! is bounded by the cut, not by what the peer sent. Text that passes twice stays as it is.

use std::fmt;

/// The most that is shown of a name, in characters: a unix socket's path is whole.
const MAX_NAME: usize = 128;
/// The most that is shown of a description, in characters.
const MAX_DESCRIPTION: usize = 400;
/// The most that is shown of a text with lines, in characters.
const MAX_LAID_OUT: usize = 8192;
/// The most that is shown of a message of ours, in characters.
const MAX_MESSAGE: usize = 32 << 10;
/// The most lines that are shown of it, and of a message of ours.
const MAX_LINES: usize = 100;
/// Bytes of the longest character.
const MAX_CHAR_LEN: usize = 4;
/// End of a text that was cut.
const CUT: char = '…';

/// A name in one line: a user, a host, a path, an algorithm, a type.
pub fn name<T: AsRef<[u8]> + ?Sized>(text: &T) -> Shown<'_> {
    Shown::new(text.as_ref(), MAX_NAME, Layout::OneLine)
}

/// A sentence in one line: why a peer refuses or leaves, its identification, a message of its library.
pub fn description<T: AsRef<[u8]> + ?Sized>(text: &T) -> Shown<'_> {
    Shown::new(text.as_ref(), MAX_DESCRIPTION, Layout::OneLine)
}

/// A text with its lines and tabs: a banner, the instruction above a question.
pub fn lines<T: AsRef<[u8]> + ?Sized>(text: &T) -> Shown<'_> {
    Shown::new(text.as_ref(), MAX_LAID_OUT, Layout::Lines)
}

/// A text of ours with what others say in it, for a log: the last net, beneath which nothing steers a terminal.
///
/// Its lines are its own; what is in it from a peer has come through the functions above.
pub fn message<T: AsRef<[u8]> + ?Sized>(text: &T) -> Shown<'_> {
    Shown::new(text.as_ref(), MAX_MESSAGE, Layout::Lines)
}

/// The beginning of a description, to keep until it is shown: long enough that a cut is still seen.
pub(crate) fn keep(text: &[u8]) -> String {
    beginning(text, MAX_DESCRIPTION)
}

/// The beginning of a text with lines, to keep until it is shown.
pub(crate) fn keep_lines(text: &[u8]) -> String {
    beginning(text, MAX_LAID_OUT)
}

fn beginning(text: &[u8], max: usize) -> String {
    let text = String::from_utf8_lossy(front(text, max));
    text.chars().take(max + 1).collect()
}

/// Number of bytes above all that `max` characters can need.
fn front(text: &[u8], max: usize) -> &[u8] {
    &text[..text.len().min((max + 1) * MAX_CHAR_LEN)]
}

/// White space that keeps its meaning.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    OneLine,
    Lines,
}

/// A text of a peer as a person may see it.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    text: &'a [u8],
    max: usize,
    layout: Layout,
}

impl<'a> Shown<'a> {
    fn new(text: &'a [u8], max: usize, layout: Layout) -> Self {
        Self { text, max, layout }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = Output {
            shown: String::new(),
            chars: 0,
            lines: 1,
            max: self.max,
            fits: 0,
        };
        'text: for chunk in front(self.text, self.max).utf8_chunks() {
            let invalid = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
            for c in chunk.valid().chars().chain(invalid) {
                if !output.push(c, self.layout) {
                    break 'text;
                }
            }
        }
        f.write_str(&output.shown)
    }
}

/// As it is displayed, in quotes.
impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

struct Output {
    shown: String,
    chars: usize,
    lines: usize,
    max: usize,
    /// Length of what stays if the text must be cut: there is room for the mark behind it.
    fits: usize,
}

impl Output {
    /// Shows a character; false once the text had to be cut.
    fn push(&mut self, c: char, layout: Layout) -> bool {
        match c {
            // Of a line end it is the end that counts.
            '\r' if layout == Layout::Lines => return true,
            '\n' if layout == Layout::Lines => {
                self.lines += 1;
                self.append([c]);
            }
            '\t' if layout == Layout::Lines => self.append([c]),
            _ if is_plain(c) => self.append([c]),
            _ => self.append(c.escape_unicode()),
        }
        let too_long = self.chars > self.max || self.lines > MAX_LINES;
        if too_long {
            self.shown.truncate(self.fits);
            self.shown.push(CUT);
        }
        !too_long
    }

    fn append(&mut self, chars: impl IntoIterator<Item = char>) {
        for c in chars {
            self.chars += 1;
            self.shown.push(c);
        }
        if self.chars < self.max && self.lines <= MAX_LINES {
            self.fits = self.shown.len();
        }
    }
}

/// True for a character that is seen, and changes nothing around it: no control, no turn of the direction of writing, no
/// separator of lines, nothing of zero width. A backslash is one of them, so that a text may pass twice.
fn is_plain(c: char) -> bool {
    // Wide and fixed spaces are the white space of some languages; the table below takes ASCII's alone.
    if matches!(c, ' '..='~' | '\u{a0}' | '\u{3000}') {
        return true;
    }
    // The standard library's table says what can be printed. Accents that stand alone are escaped there; behind a letter
    // they are plain.
    let behind_a_letter = ['a', c].iter().collect::<String>();
    !is_blank(c) && behind_a_letter.escape_debug().eq(['a', c])
}

/// True for what counts as printable and shows nothing: fillers, joiners, selectors of variants.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_or_forges_a_line_is_escaped() {
        let text = "it's\x1b[2J \u{202e}réfused\n\there\r";
        let shown = "it's\\u{1b}[2J \\u{202e}réfused\\u{a}\\u{9}here\\u{d}";
        assert_eq!(description(text).to_string(), shown);
        let shown = "it's\\u{1b}[2J \\u{202e}réfused\n\there";
        assert_eq!(lines(text).to_string(), shown);
    }

    #[test]
    fn what_is_not_seen_is_escaped_wherever_it_stands() {
        let unseen = "\0\u{7f}\u{85}\u{9b}\u{ad}\u{34f}\u{61c}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\
                      \u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2060}\u{2064}\u{2066}\u{2067}\u{2068}\u{2069}\
                      \u{206f}\u{3164}\u{fe0f}\u{feff}\u{fff9}\u{e0001}\u{e0041}\u{e0100}";
        for c in unseen.chars() {
            for show in [name, description, lines] {
                let shown = show(&format!("a{c}b")).to_string();
                assert_eq!(shown, format!("a{}b", c.escape_unicode()));
            }
        }
    }

    #[test]
    fn what_people_write_is_left_as_it_is() {
        for text in [
            r"DOMAIN\user",
            "it's \"x\"",
            "ก็ดี",
            "e\u{301}te\u{301}",
            "日本\u{3000}語",
            "שלום",
            "🙂 → …",
        ] {
            assert_eq!(name(text).to_string(), text);
        }
    }

    #[test]
    fn long_text_is_cut_and_marked_and_stays_so() {
        for (show, max) in [
            (name as fn(&String) -> Shown<'_>, MAX_NAME),
            (description, MAX_DESCRIPTION),
            (lines, MAX_LAID_OUT),
        ] {
            for text in ["x", "é", "🙂", "\u{202e}", "ab\x1b"].map(|t| t.repeat(250_000)) {
                let shown = show(&text).to_string();
                let length = shown.chars().count();
                assert!((max - 8..=max).contains(&length), "{length} of {max}");
                assert!(shown.ends_with('…'), "{shown}");
                assert_eq!(show(&shown).to_string(), shown);
            }
            let whole = "x".repeat(max);
            assert_eq!(show(&whole).to_string(), whole);
        }
    }

    #[test]
    fn text_of_many_lines_is_cut_and_marked() {
        let shown = lines(&"x\r\n".repeat(MAX_LINES + 1)).to_string();
        assert_eq!(shown.lines().count(), MAX_LINES);
        assert!(shown.ends_with("x…"), "{shown}");
    }

    #[test]
    fn text_that_is_no_utf_8_is_shown_as_far_as_it_is() {
        assert_eq!(name(b"caf\xe9\x1b").to_string(), "caf\u{fffd}\\u{1b}");
    }

    #[test]
    fn what_is_kept_for_later_still_shows_that_it_was_cut() {
        for text in [&b"x"[..], "🙂".as_bytes(), b"\xff"].map(|text| text.repeat(250_000)) {
            let kept = keep(&text);
            assert_eq!(keep(kept.as_bytes()), kept);
            assert!(kept.len() <= (MAX_DESCRIPTION + 1) * MAX_CHAR_LEN);
            assert_eq!(
                description(&kept).to_string(),
                description(&text).to_string()
            );
        }
    }
}
