//! Source files of the workspace, and a check of each.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders of the product's crates, below `crates`.
pub(crate) const CRATES: [&str; 3] = ["proto", "tunnel", "adit"];

/// A source file.
pub(crate) struct Source {
    /// Its path, relative to the workspace.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Panics with everything that `faults` finds in any of our files.
pub(crate) fn check(faults: impl Fn(&Source) -> Vec<String>) {
    let sources = sources();
    assert!(
        sources.len() > 10,
        "only {} files found: looked in the wrong place",
        sources.len()
    );
    let found: Vec<String> = sources.iter().flat_map(faults).collect();
    assert!(found.is_empty(), "\n  {}", found.join("\n  "));
}

/// All source files of the workspace.
pub(crate) fn sources() -> Vec<Source> {
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

/// Root folder of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a crate in a workspace")
}

/// Adds the Rust files below `dir` to `files`.
pub(crate) fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
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
