//! Documents that stay true: every path and every link in them leads somewhere.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders whose documents are read; of these folders only, not of those below.
const FOLDERS: [&str; 4] = ["", "docs", "docs/adr", "fuzz"];
/// Folders that a path may begin in, besides the one of the path before it.
const ROOMS: [&str; 9] = [
    "",
    "crates",
    "crates/proto",
    "crates/proto/src",
    "crates/tunnel",
    "crates/tunnel/src",
    "crates/adit",
    "crates/adit/src",
    "fuzz",
];
/// Folders that come with a build or a run.
const MADE: [&str; 3] = ["target/", "artifacts/", "corpus/"];

#[test]
fn every_path_in_a_document_exists() {
    let mut found = Vec::new();
    let mut paths = 0;
    for document in documents() {
        for (number, line) in prose(&document.text) {
            let mut beside = Vec::new();
            for path in quoted(line)
                .into_iter()
                .filter(|q| is_path(q))
                .flat_map(expand)
            {
                paths += 1;
                match find(&path, &beside) {
                    Some(place) if place.is_dir() => beside.push(place),
                    Some(place) => beside.extend(place.parent().map(Path::to_owned)),
                    None => found.push(format!("{}:{number}: {path}", document.name)),
                }
            }
        }
    }
    assert!(paths > 50, "only {paths} paths found");
    assert!(found.is_empty(), "nothing is at\n  {}", found.join("\n  "));
}

#[test]
fn every_link_in_a_document_leads_somewhere() {
    let mut found = Vec::new();
    let mut links = 0;
    for document in documents() {
        for (number, line) in prose(&document.text) {
            for link in links_of(line) {
                links += 1;
                if !leads_somewhere(&document, link) {
                    found.push(format!("{}:{number}: {link}", document.name));
                }
            }
        }
    }
    assert!(links > 30, "only {links} links found");
    assert!(found.is_empty(), "nothing is at\n  {}", found.join("\n  "));
}

#[test]
fn every_function_on_a_way_is_in_its_file() {
    let text = fs::read_to_string(workspace().join("ARCHITECTURE.md")).expect("a document");
    let mut found = Vec::new();
    let mut functions = 0;
    for (number, line) in prose(&text) {
        // 1. `forward/relay.rs` `outbound`: …
        if !line.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let (step, _) = line.split_once(':').unwrap_or_default();
        let Some((file, names)) = quoted(step).split_first().map(|(f, n)| (*f, n.to_vec())) else {
            continue;
        };
        let place = find(file, &[]).filter(|place| place.is_file());
        let source = place.and_then(|place| fs::read_to_string(place).ok());
        for name in names.into_iter().filter(|name| !is_path(name)) {
            functions += 1;
            if !source
                .as_ref()
                .is_some_and(|source| source.contains(&format!("fn {name}(")))
            {
                found.push(format!("ARCHITECTURE.md:{number}: {name} in {file}"));
            }
        }
    }
    assert!(functions > 20, "only {functions} functions found");
    assert!(found.is_empty(), "no function\n  {}", found.join("\n  "));
}

#[test]
fn paths_are_told_from_other_quoted_text() {
    for path in [
        "net/driver.rs",
        "forward/",
        "docs/adr",
        "liveness.rs",
        "proto/src/{a,b}.rs",
    ] {
        assert!(is_path(path), "{path}");
    }
    for other in [
        "/etc/ssh",
        "~/.ssh/config",
        "cargo test -p x/y",
        "target/debug/adit",
        "aes256-gcm",
        "a:b/c",
        "./check",
        "proto/channels: return credit",
        "…/x.rs",
        "*.rs",
    ] {
        assert!(!is_path(other), "{other}");
    }
    assert_eq!(expand("a/{b,c}.rs"), ["a/b.rs", "a/c.rs"]);
    assert_eq!(expand("a/b/"), ["a/b/"]);
    assert_eq!(quoted("x `a` y `b c` `"), ["a", "b c"]);
    assert_eq!(links_of("[a](b.md#c), [d](e) f"), ["b.md#c", "e"]);
    assert_eq!(anchor("## One stream, `-L` up"), "one-stream--l-up");
}

/// A document, its name relative to the workspace.
struct Document {
    name: String,
    text: String,
}

fn documents() -> Vec<Document> {
    let mut documents = Vec::new();
    for folder in FOLDERS {
        let entries = fs::read_dir(workspace().join(folder)).expect("a folder of documents");
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.strip_prefix(workspace()).unwrap_or(&path);
                let text = fs::read_to_string(&path).expect("a document");
                documents.push(Document {
                    name: name.display().to_string(),
                    text,
                });
            }
        }
    }
    documents
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a crate in a workspace")
}

/// Lines with their numbers, blocks of code left out.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut within_code = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            within_code = !within_code;
        } else if !within_code {
            lines.push((index + 1, line));
        }
    }
    lines
}

/// Texts between backticks.
fn quoted(line: &str) -> Vec<&str> {
    let parts: Vec<&str> = line.split('`').collect();
    let complete = parts.len() - usize::from(parts.len().is_multiple_of(2));
    parts[..complete]
        .iter()
        .skip(1)
        .step_by(2)
        .copied()
        .collect()
}

/// True for what looks like a path in this repository.
fn is_path(quoted: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./{},".contains(c);
    let outside =
        quoted.starts_with(['/', '.', '-']) || MADE.iter().any(|made| quoted.starts_with(made));
    quoted.chars().all(plain) && !outside && (quoted.contains('/') || quoted.ends_with(".rs"))
}

/// The paths of one with alternatives in braces.
fn expand(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else {
        return vec![path.to_owned()];
    };
    let (alternatives, after) = rest.split_once('}').unwrap_or((rest, ""));
    alternatives
        .split(',')
        .map(|alternative| format!("{before}{alternative}{after}"))
        .collect()
}

/// Place of a path, which may leave out `.rs` and the room it begins in. A bare name belongs beside a path before it.
fn find(path: &str, beside: &[PathBuf]) -> Option<PathBuf> {
    let rooms = ROOMS.iter().map(|room| workspace().join(room));
    let bases: Vec<PathBuf> = beside.iter().rev().cloned().chain(rooms).collect();
    let places = bases
        .iter()
        .flat_map(|base| [base.join(path), base.join(format!("{path}.rs"))]);
    places.into_iter().find(|place| place.exists())
}

/// Targets of a line's links.
fn links_of(line: &str) -> Vec<&str> {
    let behind = line.split("](").skip(1);
    behind
        .filter_map(|rest| rest.split_once(')'))
        .map(|(link, _)| link)
        .collect()
}

/// True where a link's file exists, and has the heading that the link names. Other sites are not asked.
fn leads_somewhere(document: &Document, link: &str) -> bool {
    if link.contains("://") {
        return true;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let here = workspace().join(&document.name);
    let place = match file {
        "" => here,
        file => here.parent().expect("a folder").join(file),
    };
    if heading.is_empty() {
        return place.exists();
    }
    let text = fs::read_to_string(place).unwrap_or_default();
    text.lines()
        .any(|line| line.starts_with('#') && anchor(line) == heading)
}

/// Name by which a link finds a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
