//! The ways through the code in ARCHITECTURE.md: every function that they name is in the file that they name before it.

use std::fs;

use crate::sources::{Source, sources, workspace};

/// Beginning of a section's heading.
const WAY: &str = "## The way of ";

/// Functions that the ways name and that are not where they say.
pub(crate) fn wrong_turns() -> Vec<String> {
    let path = workspace().join("ARCHITECTURE.md");
    let text = fs::read_to_string(path).expect("ARCHITECTURE.md");
    let files = sources();
    let ways: Vec<&str> = text
        .split("\n## ")
        .filter(|s| WAY.ends_with(head(s)))
        .collect();
    assert!(ways.len() >= 3, "the ways are gone");
    ways.iter().flat_map(|way| wrong_in(way, &files)).collect()
}

/// The words of a section's heading that all ways have.
fn head(section: &str) -> &str {
    section.get(..WAY.len() - "## ".len()).unwrap_or("none")
}

fn wrong_in(way: &str, files: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    // A file in brackets counts up to their end.
    let mut here: Vec<Option<&Source>> = vec![None];
    // Diagrams stand between fences, and name things of their own.
    let prose: String = way.split("```").step_by(2).collect();
    for (index, text) in prose.split('`').enumerate() {
        if index % 2 == 0 {
            enter_and_leave(text, &mut here);
        } else if text.ends_with(".rs") {
            let found = find(text, files);
            if found.len() != 1 {
                wrong.push(format!("{text} is the end of {} names", found.len()));
            }
            here.pop();
            here.push(found.first().copied());
        } else if is_function(text)
            && let Some(Some(file)) = here.last()
            && !has_function(&file.text, text)
        {
            wrong.push(format!("{} has no function {text}", file.name));
        }
    }
    wrong
}

/// Follows the brackets of a text between two names.
fn enter_and_leave(text: &str, here: &mut Vec<Option<&Source>>) {
    for c in text.chars() {
        match c {
            '(' => here.push(None),
            ')' => drop(here.pop()),
            _ => {}
        }
    }
}

/// The files of the crates whose names end so.
fn find<'a>(end: &str, files: &'a [Source]) -> Vec<&'a Source> {
    let end = format!("/{end}");
    let is_named = |file: &&Source| file.name.starts_with("crates/") && file.name.ends_with(&end);
    files.iter().filter(is_named).collect()
}

fn is_function(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

fn has_function(text: &str, name: &str) -> bool {
    ["(", "<"]
        .iter()
        .any(|open| text.contains(&format!("fn {name}{open}")))
}
