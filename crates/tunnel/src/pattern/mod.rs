//! Patterns with `*` and `?`, lists of them with `!`, and networks: one meaning in every file that has them.
//!
//! Matching never backs up further than the last `*`, so its cost is at most the length of the
//! pattern times the length of the text, whoever wrote them.

mod network;
mod peer;

pub(crate) use network::Network;
pub use peer::PeerList;
pub(crate) use peer::{BadPeer, looks_like_an_address, same_address};

/// The longest pattern, in bytes.
pub const MAX_PATTERN: usize = 1024;

/// A pattern: `*` stands for any run of bytes, `?` for any one byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Takes a pattern as written.
    ///
    /// # Errors
    /// It is longer than [`MAX_PATTERN`] bytes.
    pub fn new(text: impl Into<String>) -> Result<Self, &'static str> {
        let text = text.into();
        if text.len() > MAX_PATTERN {
            return Err("a pattern of at most 1024 bytes");
        }
        Ok(Self(text))
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if the whole text matches. `A` is not `a`.
    pub fn matches(&self, text: &str) -> bool {
        wildcard(self.as_str(), text, Case::Sensitive)
    }
}

/// True if a word holds a wildcard.
pub(crate) fn has_wildcard(word: &str) -> bool {
    word.contains(['*', '?'])
}

/// True if the whole text matches the pattern. Letters beyond ASCII always count as they are.
pub(crate) fn wildcard(pattern: impl AsRef<[u8]>, text: impl AsRef<[u8]>, case: Case) -> bool {
    let (pattern, text) = (pattern.as_ref(), text.as_ref());
    let same = |a: u8, b: u8| match case {
        Case::Sensitive => a == b,
        Case::Insensitive => a.eq_ignore_ascii_case(&b),
    };
    let (mut p, mut t) = (0, 0);
    // Where to resume when a comparison fails: after the last star, one byte further in the text.
    let mut resume: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                resume = Some((p + 1, t));
                p += 1;
            }
            Some(&c) if c == b'?' || same(c, text[t]) => {
                p += 1;
                t += 1;
            }
            _ => match resume {
                Some((after_star, from)) => {
                    p = after_star;
                    t = from + 1;
                    resume = Some((after_star, t));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

/// Treatment of upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// `A` is not `a`: user names.
    Sensitive,
    /// `A` is `a`: host names.
    Insensitive,
}

/// Answer of a pattern list about a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListMatch {
    /// A pattern matches, and no pattern with `!` does.
    Matches,
    /// A pattern with `!` matches.
    Negated,
    /// No pattern matches.
    NoMatch,
}

/// Sense of an entry: with a `!` in front or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sense {
    /// It has none: what it matches is listed.
    For,
    /// It has one: what it matches is shut out.
    Against,
}

impl Sense {
    /// Takes the `!` off an entry.
    pub(crate) fn split(entry: &str) -> (Self, &str) {
        match entry.strip_prefix('!') {
            Some(rest) => (Self::Against, rest),
            None => (Self::For, entry),
        }
    }
}

/// Answer of a list, entry by entry; `matches` decides about one without its `!`.
///
/// An entry with `!` beats every other, wherever it stands.
pub(crate) fn match_list<T>(
    entries: impl IntoIterator<Item = (Sense, T)>,
    matches: impl Fn(T) -> bool,
) -> ListMatch {
    let mut found = ListMatch::NoMatch;
    for (sense, entry) in entries {
        match (sense, matches(entry)) {
            (Sense::Against, true) => return ListMatch::Negated,
            (Sense::For, true) => found = ListMatch::Matches,
            (_, false) => {}
        }
    }
    found
}

/// Answer of a list separated by commas, as it stands in a file.
pub(crate) fn match_written_list(list: &str, matches: impl Fn(&str) -> bool) -> ListMatch {
    match_list(list.split(',').map(Sense::split), matches)
}

/// A list of patterns, each of which may have a `!` in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternList {
    entries: Vec<(Sense, Pattern)>,
    case: Case,
}

impl PatternList {
    /// Reads a list separated by commas: `*.example.org,!db.example.org`.
    ///
    /// # Errors
    /// A pattern is too long.
    pub fn parse(text: &str, case: Case) -> Result<Self, &'static str> {
        Self::from_words(text.split(','), case)
    }

    /// Takes a list of words, each one pattern, as after `Host`.
    ///
    /// # Errors
    /// A pattern is too long.
    pub fn from_words<'a>(
        words: impl IntoIterator<Item = &'a str>,
        case: Case,
    ) -> Result<Self, &'static str> {
        let entry = |word: &'a str| {
            let (sense, text) = Sense::split(word);
            Pattern::new(text).map(|pattern| (sense, pattern))
        };
        let entries = words.into_iter().map(entry).collect::<Result<_, _>>()?;
        Ok(Self { entries, case })
    }

    /// Answer of the list about a text. A pattern with `!` beats every other, wherever it stands.
    pub fn match_text(&self, text: &str) -> ListMatch {
        let entries = self
            .entries
            .iter()
            .map(|(sense, pattern)| (*sense, pattern));
        match_list(entries, |pattern| {
            wildcard(pattern.as_str(), text, self.case)
        })
    }

    /// True if a pattern matches and none with `!`.
    pub fn matches(&self, text: &str) -> bool {
        self.match_text(text) == ListMatch::Matches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_the_whole_text() {
        let table = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "abc", true),
            ("?", "", false),
            ("?", "a", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*", "a", true),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("**a**", "xay", true),
            ("*.example.org", "db.example.org", true),
            ("*.example.org", "example.org", false),
            ("*abab", "ababab", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("*a*b*c", "xaybz", false),
            ("a", "A", false),
        ];
        for (pattern, text, expected) in table {
            let pattern_value = Pattern::new(pattern).unwrap();
            assert_eq!(pattern_value.matches(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn lists_honour_negation_wherever_it_stands() {
        let table = [
            ("a,b", "b", ListMatch::Matches),
            ("a,b", "c", ListMatch::NoMatch),
            ("*,!b", "b", ListMatch::Negated),
            ("!b,*", "b", ListMatch::Negated),
            ("!b,*", "c", ListMatch::Matches),
            ("!b", "c", ListMatch::NoMatch),
            ("!b", "b", ListMatch::Negated),
            ("", "c", ListMatch::NoMatch),
        ];
        for (list, text, expected) in table {
            let list_value = PatternList::parse(list, Case::Sensitive).unwrap();
            assert_eq!(list_value.match_text(text), expected, "{list} on {text}");
            let as_written = match_written_list(list, |one| one == "*" || one == text);
            assert_eq!(as_written, expected, "{list} on {text}");
        }
    }

    #[test]
    fn host_lists_ignore_case_on_both_sides() {
        let list = PatternList::parse("*.Example.ORG", Case::Insensitive).unwrap();
        assert!(list.matches("DB.example.org"));
        let list = PatternList::parse("*.Example.ORG", Case::Sensitive).unwrap();
        assert!(!list.matches("DB.example.org"));
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_its_length_times_the_text() {
        // A matcher that recurses at each star needs about 2^500 steps here: this test would not end.
        let pattern = Pattern::new(format!("{}b", "a*".repeat(500))).unwrap();
        assert!(!pattern.matches(&"a".repeat(20_000)));
        let pattern = Pattern::new(format!("{}b", "*".repeat(1000))).unwrap();
        assert!(!pattern.matches(&"a".repeat(20_000)));
    }

    #[test]
    fn a_pattern_has_a_bound() {
        assert!(Pattern::new("a".repeat(MAX_PATTERN)).is_ok());
        assert!(Pattern::new("a".repeat(MAX_PATTERN + 1)).is_err());
    }
}
