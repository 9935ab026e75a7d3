//! What peers say for people to read, without what could steer a terminal.

/// A text in one line.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// A text that its author has laid out: with its lines and tabs.
pub(crate) fn laid_out(text: &str) -> String {
    let steers = |c: &char| c.is_control() && !matches!(c, '\n' | '\t');
    text.chars().filter(|c| !steers(c)).collect()
}
