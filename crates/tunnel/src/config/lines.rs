//! The line lexer that ssh_config and sshd_config share.
//!
//! A line is `keyword arguments` or `keyword=arguments`. Arguments are separated by blanks, may be
//! quoted with `"` or `'`, and a backslash takes a quotation mark, a backslash or (outside quotes) a
//! blank literally. A `#` at the start of a word begins a comment.

use super::error::LineError;

/// The longest line that is read, in bytes.
const MAX_LINE: usize = 64 * 1024;

/// One line: a keyword and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// The keyword as written.
    pub(crate) keyword: &'a str,
    /// Everything after it, blanks trimmed; never empty.
    pub(crate) rest: &'a str,
}

impl<'a> Line<'a> {
    /// Reads one line; `None` is a blank line or a comment.
    pub(crate) fn parse(raw: &'a [u8]) -> Result<Option<Self>, LineError> {
        let raw = raw.trim_ascii();
        // Before the text is checked: a comment may be in any encoding.
        if raw.is_empty() || raw.starts_with(b"#") {
            return Ok(None);
        }
        if raw.len() > MAX_LINE {
            return Err(LineError::TooLong);
        }
        let text = std::str::from_utf8(raw).map_err(|_| LineError::NotText)?;
        if text.contains('\0') {
            return Err(LineError::NotText);
        }
        let (keyword, rest) = split_keyword(text)?;
        if rest.is_empty() {
            return Err(LineError::MissingArgument(keyword.to_owned()));
        }
        Ok(Some(Self { keyword, rest }))
    }

    /// Splits what follows the keyword into words.
    pub(crate) fn arguments(&self) -> Result<Arguments, LineError> {
        Ok(Arguments {
            keyword: self.keyword.to_owned(),
            words: split_words(self.rest)?.into_iter(),
        })
    }
}

/// The keyword, and the rest without the one `=` that may separate them.
fn split_keyword(text: &str) -> Result<(&str, &str), LineError> {
    let (keyword, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').ok_or(LineError::Quotes)?,
        None => {
            let end = text.find([' ', '\t', '\x0c', '=']).unwrap_or(text.len());
            text.split_at(end)
        }
    };
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Ok((keyword, rest.trim_ascii_start()))
}

/// Splits into words, honouring quotes, backslashes and a trailing comment.
fn split_words(text: &str) -> Result<Vec<String>, LineError> {
    let mut words = Vec::new();
    let mut rest = text.trim_ascii_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, after) = take_word(rest)?;
        words.push(word);
        rest = after.trim_ascii_start();
    }
    Ok(words)
}

/// Takes one word from the front and returns it without its quotes, and what follows.
fn take_word(text: &str) -> Result<(String, &str), LineError> {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (c, quote) {
            ('\\', _) => {
                let escaped = chars.next_if(|&(_, next)| {
                    matches!(next, '"' | '\'' | '\\') || (next == ' ' && quote.is_none())
                });
                word.push(escaped.map_or('\\', |(_, next)| next));
            }
            (' ' | '\t', None) => return Ok((word, &text[at..])),
            ('"' | '\'', None) => quote = Some(c),
            (_, Some(open)) if open == c => quote = None,
            _ => word.push(c),
        }
    }
    match quote {
        Some(_) => Err(LineError::Quotes),
        None => Ok((word, "")),
    }
}

/// The words after a keyword, taken one after the other.
#[derive(Debug)]
pub(crate) struct Arguments {
    keyword: String,
    words: std::vec::IntoIter<String>,
}

impl Arguments {
    /// The keyword, as written, for messages.
    pub(crate) fn keyword(&self) -> &str {
        &self.keyword
    }

    /// The next word, if there is one; an empty one counts as none.
    pub(crate) fn optional(&mut self) -> Option<String> {
        self.words.next().filter(|word| !word.is_empty())
    }

    /// The next word, if there is one, empty or not.
    pub(crate) fn even_empty(&mut self) -> Option<String> {
        self.words.next()
    }

    /// The next word, which must be there.
    pub(crate) fn word(&mut self) -> Result<String, LineError> {
        self.optional()
            .ok_or_else(|| LineError::MissingArgument(self.keyword.clone()))
    }

    /// The next word as a value; the parser's error says what was expected.
    pub(crate) fn one<T>(
        &mut self,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Result<T, LineError> {
        let word = self.word()?;
        parse(&word).map_err(|expected| self.bad_value(&word, expected))
    }

    /// All the words left, of which there must be one at least, and none empty.
    pub(crate) fn all(&mut self) -> Result<Vec<String>, LineError> {
        let words: Vec<String> = self.words.by_ref().collect();
        if words.is_empty() || words.iter().any(String::is_empty) {
            return Err(LineError::MissingArgument(self.keyword.clone()));
        }
        Ok(words)
    }

    /// All the words left, each as a value.
    pub(crate) fn every<T>(
        &mut self,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Result<Vec<T>, LineError> {
        let words = self.all()?;
        words
            .iter()
            .map(|word| parse(word).map_err(|expected| self.bad_value(word, expected)))
            .collect()
    }

    /// The error for a word that does not fit.
    pub(crate) fn bad_value(&self, value: &str, expected: &'static str) -> LineError {
        LineError::BadValue {
            keyword: self.keyword.clone(),
            value: value.to_owned(),
            expected,
        }
    }

    /// The next word, if it is the only one left.
    pub(crate) fn only(mut self) -> Option<String> {
        let word = self.words.next()?;
        self.words.next().is_none().then_some(word)
    }

    /// Nothing may be left.
    pub(crate) fn finish(mut self) -> Result<(), LineError> {
        match self.words.next() {
            None => Ok(()),
            Some(first) => Err(LineError::ExtraArguments {
                keyword: self.keyword,
                first,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> (String, Vec<String>) {
        let line = Line::parse(line.as_bytes()).unwrap().unwrap();
        (
            line.keyword.to_owned(),
            line.arguments().unwrap().words.collect(),
        )
    }

    #[test]
    fn splits_as_openssh_does() {
        let table: &[(&str, &str, &[&str])] = &[
            ("User a", "User", &["a"]),
            ("User=a", "User", &["a"]),
            ("User = a", "User", &["a"]),
            ("  User\t=\ta\r\n", "User", &["a"]),
            ("User ==a", "User", &["=a"]),
            ("\"User\" a", "User", &["a"]),
            ("User=\"a b\"", "User", &["a b"]),
            ("User 'a b'", "User", &["a b"]),
            ("User a\"b c\"d", "User", &["ab cd"]),
            ("User a\\ b", "User", &["a b"]),
            ("User a\\b", "User", &["a\\b"]),
            ("User \"a\\\"b\"", "User", &["a\"b"]),
            ("User \"a\\ b\"", "User", &["a\\ b"]),
            ("User a#b # c", "User", &["a#b"]),
            ("Host a  b\tc # d e", "Host", &["a", "b", "c"]),
            ("User \"#a\"", "User", &["#a"]),
            ("User #a", "User", &[]),
            ("User \"\"", "User", &[""]),
            ("User a\\", "User", &["a\\"]),
        ];
        for (line, keyword, arguments) in table {
            let (got_keyword, got) = words(line);
            assert_eq!(
                (got_keyword.as_str(), got.as_slice()),
                (
                    *keyword,
                    &arguments
                        .iter()
                        .map(|a| (*a).to_owned())
                        .collect::<Vec<_>>()[..]
                ),
                "{line}"
            );
        }
    }

    #[test]
    fn blank_lines_and_comments_are_nothing() {
        for line in ["", "  \t\r", "# a", "   # \"b", "\r"] {
            assert_eq!(Line::parse(line.as_bytes()), Ok(None), "{line:?}");
        }
        assert_eq!(Line::parse(b"# caf\xe9"), Ok(None));
    }

    #[test]
    fn a_keyword_needs_an_argument() {
        for line in ["User", "User=", "User  = ", "User\t"] {
            let error = Line::parse(line.as_bytes()).unwrap_err();
            assert_eq!(
                error.to_string(),
                "no argument after keyword \"User\"",
                "{line}"
            );
        }
    }

    #[test]
    fn an_open_quote_is_an_error_only_where_words_are_wanted() {
        let line = Line::parse(b"ProxyCommand echo it's").unwrap().unwrap();
        assert_eq!(line.rest, "echo it's");
        assert_eq!(line.arguments().unwrap_err(), LineError::Quotes);
        assert_eq!(Line::parse(b"\"User a").unwrap_err(), LineError::Quotes);
    }

    #[test]
    fn bytes_that_are_no_text_and_endless_lines_are_refused() {
        assert_eq!(Line::parse(b"User \xff").unwrap_err(), LineError::NotText);
        assert_eq!(Line::parse(b"User a\0b").unwrap_err(), LineError::NotText);
        let long = format!("User {}", "a".repeat(MAX_LINE));
        assert_eq!(
            Line::parse(long.as_bytes()).unwrap_err(),
            LineError::TooLong
        );
    }
}
