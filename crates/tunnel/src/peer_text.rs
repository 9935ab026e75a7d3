//! What peers say for people to read, without what could steer a terminal.

/// A text in one line.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|&c| !steers(c)).collect()
}

/// A text that its author has laid out: with its lines and tabs.
pub(crate) fn laid_out(text: &str) -> String {
    let keeps = |&c: &char| matches!(c, '\n' | '\t') || !steers(c);
    text.chars().filter(keeps).collect()
}

/// Control characters, and those that turn the direction of writing, so that one text looks like another.
fn steers(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_left_out() {
        let text = "it's\x1b[2J \u{202e}réfused\n\there";
        assert_eq!(plain(text), "it's[2J réfusedhere");
        assert_eq!(laid_out(text), "it's[2J réfused\n\there");
    }
}
