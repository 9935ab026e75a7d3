//! Rules for this project's own files that no compiler checks: size, language, names, circles, dependencies.

mod circles;
mod dependencies;
mod language;
mod size;
mod sources;
mod ways;

use std::path::Path;

use sources::{CRATES, Source, check, sources};

const FORBIDDEN_STEMS: [&str; 4] = ["utils", "helper", "common", "misc"];
/// Split, so that this file does not find itself.
const FORBIDDEN_TEXT: [[&str; 2]; 6] = [
    ["todo", "!("],
    ["unimplemented", "!("],
    ["dbg", "!("],
    ["#[ig", "nore"],
    ["/wo", "rk/"],
    ["/ro", "ot/"],
];

#[test]
fn every_file_says_what_it_is_for() {
    check(|file| match file.text.starts_with("//!") {
        true => Vec::new(),
        false => vec![format!("{}: does not open with //!", file.name)],
    });
}

#[test]
fn files_and_functions_are_short_and_doc_comments_name_the_thing_first() {
    check(untidiness);
}

#[test]
fn ways_in_the_architecture_name_functions_that_exist() {
    let wrong = ways::wrong_turns();
    assert!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
}

/// The faults of a file's size and language.
fn untidiness(file: &Source) -> Vec<String> {
    let mut faults = Vec::from_iter(size::too_long(&file.text));
    faults.extend(size::long_functions(&file.text));
    faults.extend(language::riddles(&file.text));
    for fault in &mut faults {
        *fault = format!("{}:{fault}", file.name);
    }
    faults
}

#[test]
fn circles_of_files_stay_in_one_folder() {
    let sources = sources();
    for name in CRATES {
        let folder = format!("crates/{name}/src");
        let modules = circles::modules(&sources, &folder);
        assert!(
            modules.len() > 5,
            "{folder}: looked in the wrong place for its modules"
        );
        let found = circles::circles(&modules);
        assert!(found.is_empty(), "{folder}:\n  {}", found.join("\n  "));
    }
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    check(|file| {
        let stem = Path::new(&file.name).file_stem().unwrap_or_default();
        match FORBIDDEN_STEMS.iter().any(|name| stem == *name) {
            true => vec![format!("{}: a name that says nothing", file.name)],
            false => Vec::new(),
        }
    });
}

#[test]
fn nothing_is_left_undone_and_no_path_of_one_machine_is_in_it() {
    check(|file| {
        let mut found = Vec::new();
        for (number, line) in file.text.lines().enumerate() {
            for text in FORBIDDEN_TEXT.map(|halves| halves.concat()) {
                if line.contains(&text) {
                    found.push(format!("{}:{}: {text}", file.name, number + 1));
                }
            }
        }
        found
    });
}
