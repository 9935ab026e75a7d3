//! Rules for this project's own files that no compiler checks: their opening line, their size, their names.

use std::fs;
use std::path::{Path, PathBuf};

const MAX_FILE_LINES: usize = 800;
const MAX_FUNCTION_LINES: usize = 70;
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
    check(|file| {
        if file.text.starts_with("//!") {
            return Vec::new();
        }
        vec![format!("{}: does not open with //!", file.name)]
    });
}

#[test]
fn no_file_is_too_long() {
    check(|file| {
        let lines = file.text.lines().count();
        if lines <= MAX_FILE_LINES {
            return Vec::new();
        }
        vec![format!("{}: {lines} lines", file.name)]
    });
}

#[test]
fn no_function_is_too_long() {
    check(|file| {
        functions(&file.text)
            .into_iter()
            .filter(|function| function.lines > MAX_FUNCTION_LINES)
            .map(|long| format!("{}:{}: {} lines", file.name, long.first, long.lines))
            .collect()
    });
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    check(|file| {
        let stem = Path::new(&file.name).file_stem().unwrap_or_default();
        if !FORBIDDEN_STEMS.iter().any(|name| stem == *name) {
            return Vec::new();
        }
        vec![format!("{}: a name that says nothing", file.name)]
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

#[test]
fn every_dependency_is_used() {
    let root = workspace();
    let members = ["proto", "tunnel", "adit"].map(|name| root.join("crates").join(name));
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

#[test]
fn functions_are_measured_from_head_to_closing_brace() {
    let text = "//! x\nimpl X {\n    pub(crate) async fn a(\n        b: u8,\n    ) {\n        c();\n    }\n}\n\
                fn d() {}\ntrait T {\n    fn e(&self);\n    fn f(&self) {\n        g()\n    }\n}\n";
    let found: Vec<_> = functions(text).iter().map(|f| (f.first, f.lines)).collect();
    assert_eq!(found, [(3, 5), (9, 1), (12, 3)]);
}

/// A source file, its name relative to the workspace.
struct Source {
    name: String,
    text: String,
}

/// A function, by its first line and how many it has.
struct Function {
    first: usize,
    lines: usize,
}

/// Panics with everything that `faults` finds in any of our files.
fn check(faults: impl Fn(&Source) -> Vec<String>) {
    let sources = sources();
    assert!(
        sources.len() > 10,
        "only {} files found: looked in the wrong place",
        sources.len()
    );
    let found: Vec<String> = sources.iter().flat_map(faults).collect();
    assert!(found.is_empty(), "\n  {}", found.join("\n  "));
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a crate in a workspace")
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

fn sources() -> Vec<Source> {
    let root = workspace();
    let mut files = Vec::new();
    for part in ["crates", "interop", "bench", "fuzz"] {
        walk(&root.join(part), &mut files);
    }
    files
        .into_iter()
        .map(|path| {
            let name = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
            Source { name, text }
        })
        .collect()
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The functions with a body in rustfmt's layout: a head that begins a line, and a closing brace as far in as the head.
fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if !is_head(line.trim_start()) {
            continue;
        }
        // A head ends in `{`, or in `;` when a trait only declares it, or has its whole body on the line.
        let rest = &lines[index..];
        let Some(opening) = rest.iter().position(|l| l.ends_with(['{', ';', '}'])) else {
            continue;
        };
        if rest[opening].ends_with(';') {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        let count = if rest[opening].ends_with('}') {
            opening
        } else {
            rest.iter().position(|l| *l == closing).unwrap_or(0)
        };
        found.push(Function {
            first: index + 1,
            lines: count + 1,
        });
    }
    found
}

/// True if a line, without its indent, begins a function.
fn is_head(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words
        .by_ref()
        .find(|word| {
            let qualifier = ["pub", "async", "const", "unsafe", "extern"].contains(word);
            !qualifier && !word.starts_with("pub(") && !word.starts_with('"')
        })
        .is_some_and(|word| word == "fn")
}
