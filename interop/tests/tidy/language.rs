//! Language of doc comments: they name the thing first.

/// Words that open a riddle, whose answer is the name of the thing. `When …` under `# Errors` or `# Panics` opens nothing.
const RIDDLES: [&str; 10] = [
    "What", "Whether", "How", "Which", "Who", "Whom", "Whose", "When", "Where", "Why",
];

/// The doc comments that open with a riddle: number and text of their first line.
pub(crate) fn riddles(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut before = None;
    for (number, line) in text.lines().enumerate() {
        let doc = doc_line(line);
        let kind = doc.map(|(kind, _)| kind);
        if let Some((_, said)) = doc
            && kind != before
            && is_riddle(said)
        {
            found.push(format!("{}: {}", number + 1, line.trim()));
        }
        before = kind;
    }
    found
}

/// Marker of a line of a doc comment, and its text.
fn doc_line(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (kind, text) = line.split_at_checked(3)?;
    (["///", "//!"].contains(&kind) && !text.starts_with('/')).then(|| (kind, text.trim()))
}

/// True if the first sentence opens with a word of a riddle, or is a question.
fn is_riddle(text: &str) -> bool {
    let word: String = text.chars().take_while(|c| c.is_alphabetic()).collect();
    let sentence = text.split_inclusive(['.', '?']).find(|part| {
        let end = part.as_ptr() as usize - text.as_ptr() as usize + part.len();
        text[end..].is_empty() || text[end..].starts_with(' ')
    });
    RIDDLES.contains(&word.as_str()) || sentence.is_some_and(|sentence| sentence.ends_with('?'))
}

#[test]
fn doc_comment_that_opens_with_a_riddle_is_found() {
    for bad in [
        "/// What the peer takes.",
        "//! Where bytes go: everywhere.",
        "    /// Whose list.",
        "/// Does it match? Sometimes.",
        "/// Does it match a.b?",
    ] {
        assert_eq!(riddles(bad), [format!("1: {}", bad.trim())]);
    }
    for good in [
        "/// Window of the peer, in bytes.",
        "/// Whatever comes.",
        "/// Wildcards: `*` and `?` only.",
        "/// True if it matches. What if not?",
        "// What this does is no documentation.",
        "//// What is this?",
        "let text = \"What?\";",
    ] {
        assert!(riddles(good).is_empty(), "{good}");
    }
}

#[test]
fn only_the_opening_of_a_doc_comment_counts() {
    let good = "/// Waits for it.\n///\n/// # Panics\n///\n/// When it does not come.\nfn a() {}\n";
    assert!(riddles(good).is_empty());
    let bad = "//! File.\n\n/// A field.\na: u8,\n/// What follows.\nb: u8,\n";
    assert_eq!(riddles(bad), ["5: /// What follows."]);
}
