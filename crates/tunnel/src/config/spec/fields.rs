//! The fields of a specification: splitting at `:`, and writing them so that they split again.

use std::fmt;

use super::SpecProblem;

/// The most fields that a specification has.
const MAX_FIELDS: usize = 4;

/// One field, brackets and backslashes removed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Its text.
    pub(super) text: String,
    /// True if it holds a `/`, and so names a unix socket.
    pub(super) is_path: bool,
}

/// Splits at each `:` that is neither in brackets nor after a backslash. One `:` may end the text.
pub(super) fn split_fields(text: &str) -> Result<Vec<Field>, SpecProblem> {
    if text.is_empty() {
        return Err(SpecProblem::Empty);
    }
    let mut fields = Vec::with_capacity(MAX_FIELDS);
    let mut rest = text;
    while !rest.is_empty() {
        if fields.len() == MAX_FIELDS {
            return Err(SpecProblem::TooManyFields);
        }
        let (field, after) = match rest.strip_prefix('[') {
            Some(bracketed) => take_bracketed(bracketed)?,
            None => take_plain(rest)?,
        };
        fields.push(Field {
            is_path: field.contains('/'),
            text: field,
        });
        rest = after;
    }
    Ok(fields)
}

/// A field after its `[`, taken literally up to the `]`.
fn take_bracketed(text: &str) -> Result<(String, &str), SpecProblem> {
    let (field, after) = text.split_once(']').ok_or(SpecProblem::Brackets)?;
    match after.strip_prefix(':') {
        Some(rest) => Ok((field.to_owned(), rest)),
        None if after.is_empty() => Ok((field.to_owned(), "")),
        None => Err(SpecProblem::Brackets),
    }
}

/// A field up to the next `:`.
fn take_plain(text: &str) -> Result<(String, &str), SpecProblem> {
    let mut field = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ':' => return Ok((field, &text[at + 1..])),
            '\\' => field.push(chars.next().ok_or(SpecProblem::Backslash)?.1),
            _ => field.push(c),
        }
    }
    Ok((field, ""))
}

/// Writes a field so that [`split_fields`] gives it back, and `${` in it does not name a variable.
pub(super) fn write_field(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let special = |c: char| matches!(c, ':' | '\\') || c.is_ascii_whitespace();
    // Variables are filled in before brackets are looked for: only a backslash keeps the two apart.
    let variable = text.contains("${");
    if !variable && !text.contains(special) && !text.starts_with('[') {
        return f.write_str(text);
    }
    if !variable && !text.contains(']') {
        return write!(f, "[{text}]");
    }
    for c in text.chars() {
        if special(c) || matches!(c, '[' | '{') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    Ok(())
}
