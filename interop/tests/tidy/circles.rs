//! Circles of files: a file may use its neighbours in the same folder in a circle, but no circle may leave the folder.
//!
//! The graph is read from the paths that begin with `crate`, `super` or `self`. Each use is counted where the two files
//! part: between the two children of the deepest folder that holds both. A file's use of its own folder's `mod.rs`, and
//! a folder's use of what is in it, are no edges. Tests may use what they like.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::sources::Source;

/// A module of a crate: its path from the crate's root, and its code.
pub(crate) struct Module<'a> {
    path: Vec<&'a str>,
    code: String,
}

/// Uses between the children of one folder, each with a place that shows it.
type Uses<'a> = BTreeMap<&'a str, BTreeMap<&'a str, String>>;

/// The modules of the crate in `folder`, without those that only tests have.
pub(crate) fn modules<'a>(sources: &'a [Source], folder: &str) -> Vec<Module<'a>> {
    let mut modules: Vec<Module<'a>> = Vec::new();
    let mut for_tests = BTreeSet::new();
    for source in sources {
        let Some(file) = source.name.strip_prefix(folder) else {
            continue;
        };
        let mut path: Vec<&str> = file.trim_matches('/').split('/').collect();
        let stem = path.pop().unwrap_or_default().trim_end_matches(".rs");
        match stem {
            "lib" | "main" if path.is_empty() => {}
            "mod" => {}
            _ => path.push(stem),
        }
        for name in modules_for_tests(&source.text) {
            let owner = path.iter().copied();
            for_tests.insert(owner.chain([name]).collect::<Vec<_>>());
        }
        let code = code(&source.text);
        modules.push(Module { path, code });
    }
    modules.retain(|module| !for_tests.iter().any(|tests| module.path.starts_with(tests)));
    modules
}

/// The names of the modules that a file declares for its tests.
fn modules_for_tests(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[cfg(test)]\n").skip(1).filter_map(|behind| {
        let line = behind.lines().next()?.trim();
        line.strip_suffix(';')?.split("mod ").nth(1)
    })
}

/// A file's text without its comments and its tests.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {");
    let lines = text[..end.unwrap_or(text.len())].lines();
    lines
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The circles that leave a folder, each as a line.
pub(crate) fn circles(modules: &[Module<'_>]) -> Vec<String> {
    let known: BTreeSet<&[&str]> = modules.iter().map(|module| &module.path[..]).collect();
    let mut folders: BTreeMap<&[&str], Uses<'_>> = BTreeMap::new();
    for module in modules {
        for target in used(module, &known) {
            let (from, to) = (&module.path[..], target);
            let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
            if let (Some(a), Some(b)) = (from.get(shared), to.get(shared)) {
                let uses = folders.entry(&from[..shared]).or_default();
                let place = format!("{} uses {}", from.join("/"), to.join("/"));
                uses.entry(a).or_default().entry(b).or_insert(place);
            }
        }
    }
    let mut found = Vec::new();
    for (folder, uses) in &folders {
        let mut seen = BTreeSet::new();
        for &child in uses.keys() {
            let inside = [*folder, &[child]].concat();
            let is_folder = known
                .iter()
                .any(|path| path.starts_with(&inside) && **path != inside);
            // Files beside each other in a folder may form a circle; those of the root are rooms of their own.
            if (is_folder || folder.is_empty())
                && !seen.contains(child)
                && let Some(circle) = circle(uses, child)
            {
                found.push(told(uses, &circle));
                seen.extend(circle);
            }
        }
    }
    found
}

/// The modules that a module uses.
fn used<'k>(module: &Module<'_>, known: &BTreeSet<&'k [&'k str]>) -> BTreeSet<&'k [&'k str]> {
    let tokens = tokens(&module.code);
    let mut found = BTreeSet::new();
    for (index, token) in tokens.iter().enumerate() {
        let begins = index == 0 || tokens[index - 1] != "::";
        if begins && ["crate", "super", "self"].contains(token) {
            for path in tree(&mut &tokens[index..]) {
                found.extend(resolve(&module.path, &path, known));
            }
        }
    }
    found
}

/// The module that a path leads to: the longest beginning of it that is one.
fn resolve<'k>(
    from: &[&str],
    path: &[&str],
    known: &BTreeSet<&'k [&'k str]>,
) -> Option<&'k [&'k str]> {
    let mut place = from.to_vec();
    for (index, &name) in path.iter().enumerate() {
        match name {
            "crate" if index == 0 => place.clear(),
            "super" => {
                place.pop();
            }
            "self" => {}
            name => {
                place.push(name);
                if !known.iter().any(|path| **path == place[..]) {
                    place.pop();
                    break;
                }
            }
        }
    }
    known.iter().find(|path| ***path == place[..]).copied()
}

/// Names, `::` and single characters, without white space.
fn tokens(code: &str) -> Vec<&str> {
    let mut rest = code.trim_start();
    let mut found = Vec::new();
    while let Some(first) = rest.chars().next() {
        let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let len = match name.unwrap_or(rest.len()) {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            len => len,
        };
        found.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    found
}

/// Takes a path from the front, and gives all that it names: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn tree<'t>(tokens: &mut &[&'t str]) -> Vec<Vec<&'t str>> {
    let mut path = Vec::new();
    while let Some((&token, rest)) = tokens.split_first() {
        if token == "{" {
            *tokens = rest;
            let branches = branches(tokens).into_iter();
            return branches.map(|end| [&path[..], &end].concat()).collect();
        }
        if !token.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            break;
        }
        path.push(token);
        *tokens = rest;
        match rest.split_first() {
            Some((&"::", rest)) => *tokens = rest,
            _ => break,
        }
    }
    vec![path]
}

/// Takes the branches of a tree up to the closing brace.
fn branches<'t>(tokens: &mut &[&'t str]) -> Vec<Vec<&'t str>> {
    let mut found = Vec::new();
    while let Some((&token, rest)) = tokens.split_first() {
        if token.starts_with(|c: char| c.is_alphabetic() || c == '_') || token == "{" {
            found.extend(tree(tokens));
            continue;
        }
        *tokens = rest;
        if token == "}" {
            break;
        }
    }
    found
}

/// The shortest circle from a child of a folder back to it, without its return.
fn circle<'a>(uses: &Uses<'a>, start: &'a str) -> Option<Vec<&'a str>> {
    let mut queue = VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = queue.pop_front() {
        let last = *way.last()?;
        for &next in uses.get(last).into_iter().flat_map(BTreeMap::keys) {
            if next == start {
                return Some(way);
            }
            if seen.insert(next) {
                queue.push_back([&way[..], &[next]].concat());
            }
        }
    }
    None
}

/// A circle as a line: the way around, and a place for each step.
fn told(uses: &Uses<'_>, circle: &[&str]) -> String {
    let mut around = circle.to_vec();
    around.extend(circle.first());
    let places = around
        .windows(2)
        .map(|step| uses[step[0]][step[1]].as_str());
    format!(
        "{}: {}",
        around.join(" → "),
        places.collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let source = |&(name, text): &(&str, &str)| Source {
        name: format!("src/{name}.rs"),
        text: text.to_owned(),
    };
    let sources: Vec<Source> = files.iter().map(source).collect();
    circles(&modules(&sources, "src"))
}

#[test]
fn circle_of_two_folders_is_found_and_printed() {
    let files = [
        ("lib", "mod a;\nmod b;\nmod c;"),
        ("a/mod", "mod x;"),
        ("a/x", "use crate::b::{self, y::{Y, Z}};"),
        ("b/mod", "mod y;"),
        ("b/y", "fn f() -> u8 { crate::c::g() }"),
        ("c", "pub(crate) use super::a::X;"),
    ];
    let expected = "a → b → c → a: a/x uses b, b/y uses c, c uses a";
    assert_eq!(found(&files), [expected]);
    assert!(found(&files[..5]).is_empty());
}

#[test]
fn circle_below_the_root_may_run_through_files_of_one_folder_only() {
    let beside = [
        ("a/mod", ""),
        ("a/x", "use super::y::Y;"),
        ("a/y", "use super::x::X;"),
    ];
    assert!(found(&beside).is_empty());
    let below = [
        ("a/mod", ""),
        ("a/x", "use super::y::z::Z;"),
        ("a/y/mod", "mod z;"),
        ("a/y/z", "use crate::a::x::X;"),
    ];
    assert_eq!(found(&below), ["y → x → y: a/y/z uses a/x, a/x uses a/y/z"]);
    assert_eq!(
        found(&[("x", "use crate::y;"), ("y", "use crate::x;")]).len(),
        1
    );
}

#[test]
fn tests_comments_and_own_folders_make_no_circle() {
    let none = [
        ("a/mod", "pub use x::X;\n#[cfg(test)]\npub(crate) mod t;"),
        (
            "a/x",
            "use super::Y;\n// crate::b\n#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}",
        ),
        ("a/t", "use crate::b::B;"),
        ("b", "use crate::a::X;"),
    ];
    assert!(found(&none).is_empty());
}
