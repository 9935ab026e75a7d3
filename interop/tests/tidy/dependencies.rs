//! Dependencies: every one that a manifest names is used.

use std::fs;
use std::path::PathBuf;

use crate::sources::{CRATES, walk, workspace};

#[test]
fn every_dependency_is_used() {
    let root = workspace();
    let members = CRATES.map(|name| root.join("crates").join(name));
    let others = ["interop", "bench", "fuzz/cases"].map(|name| root.join(name));
    let mut unused = Vec::new();
    let mut named = Vec::new();
    for folder in members.iter().chain(&others) {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
        let mut files = Vec::new();
        walk(folder, &mut files);
        let read = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default();
        let text: String = files.iter().map(read).collect();
        for name in dependencies(&manifest) {
            if !uses(&text, library(&name)) {
                unused.push(format!("{}: {name}", folder.display()));
            }
            named.push(name);
        }
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("a manifest");
    let whole = dependencies(&manifest).into_iter();
    unused.extend(whole.filter(|name| !named.contains(name)));
    assert!(named.len() > 20, "only {named:?} found");
    assert!(unused.is_empty(), "nobody uses\n  {}", unused.join("\n  "));
}

/// The names in the tables of dependencies of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut within = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if let Some(table) = line.strip_prefix('[') {
            within = table.trim_end_matches(']').ends_with("dependencies");
        } else if within && !line.starts_with([' ', '#', ']', '}']) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            names.push(name.trim_matches('"').to_owned());
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// A package's library, as code calls it.
fn library(package: &str) -> String {
    match package {
        "tz-rs" => "tz".into(),
        "md-5" => "md5".into(),
        name => name.replace('-', "_"),
    }
}

/// True where a path begins with the library, or the whole of it is brought in.
fn uses(text: &str, library: impl AsRef<str>) -> bool {
    let library = library.as_ref();
    text.match_indices(library).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + library.len()..]);
        let begins = !before.ends_with(|c: char| c.is_alphanumeric() || "_.:".contains(c))
            || before.ends_with(" ::");
        let brought_in = ["use ", "extern crate "]
            .iter()
            .any(|word| before.ends_with(word));
        begins && (after.starts_with("::") || brought_in && after.starts_with([';', ' ']))
    })
}

#[test]
fn dependencies_are_those_of_every_table_and_used_where_a_path_begins_with_them() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\na-b.workspace = true\n# no\nc = { version = \"1\",\n    \
                    features = [\"f\"] }\n[target.'cfg(unix)'.dev-dependencies]\n\"d\" = \"1\"\n[features]\ne = []\n";
    assert_eq!(dependencies(manifest), ["a-b", "c", "d"]);
    for text in [
        "use log::warn;",
        "{ log::warn!() }",
        "use log;",
        "use log as l;",
        "extern crate log;",
    ] {
        assert!(uses(text, "log"), "{text}");
    }
    for text in [
        "blog::x",
        "catalog",
        "let log = 1;",
        "use super::log;",
        "self.log",
        "",
    ] {
        assert!(!uses(text, "log"), "{text}");
    }
}
