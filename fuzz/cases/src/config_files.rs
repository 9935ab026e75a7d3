//! Configuration files, the client's and the server's: read to an end, and read the same however they are laid out.

mod client;
mod server;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use adit_tunnel::config::error::{ConfigError, Warning};
use adit_tunnel::config::{FileSource, Lookups};

/// Ends a file.
const FILE_END: u8 = 0xff;

/// The most bytes that are looked at: an `Include` can bring in the same file thousands of times.
const LONGEST: usize = 2048;

/// The longest text that filling in gives, in bytes, and room for a home directory in front of it.
const MAX_EXPANDED: usize = 64 * 1024 + 32;

/// The first byte says whose files they are; up to four of them follow.
pub fn config_files(data: &[u8]) {
    let Some((whose, text)) = data.split_first() else {
        return;
    };
    let text = &text[..text.len().min(LONGEST)];
    let files: Vec<&[u8]> = text.splitn(4, |&b| b == FILE_END).collect();
    match whose {
        0 => check(&client::Client, &files),
        _ => check(&server::Server, &files),
    }
}

/// Result of reading a program's files.
type Outcome<O> = Result<(O, Vec<Warning>), ConfigError>;

/// One of the two programs, as far as its files go.
trait Program {
    type Options: Clone + Debug + PartialEq;

    /// File that the program reads first.
    fn main_file(&self) -> &'static Path;

    /// The directory that `Include` starts from.
    fn directory(&self) -> &'static Path;

    /// Reads on top of what is set.
    fn load(&self, options: Self::Options, files: &FileSource) -> Outcome<Self::Options>;

    /// Reads an option of the command line.
    fn option(&self, text: &str) -> Outcome<Self::Options>;

    fn nothing(&self) -> Self::Options;

    /// The line behind which everything counts, if the program needs one.
    const ACTIVE: &'static str;

    /// Keywords that have one value, and two values for each.
    const VALUES: &'static [(&'static str, &'static str, &'static str)];

    /// Lines that set every option that has one value, to one value or to another.
    fn every_value(&self, which: Which) -> String {
        let mut text = String::from(Self::ACTIVE);
        for (keyword, one, other) in Self::VALUES {
            let value = match which {
                Which::One => one,
                Which::Other => other,
            };
            text += &format!("{keyword} {value}\n");
        }
        text
    }

    /// A line behind which nothing counts, if the program has one.
    fn inactive(&self) -> Option<&'static str>;

    /// Lines behind everything else that make every configuration an error; none if these options allow them.
    fn always_wrong(&self, options: &Self::Options) -> Option<&'static str>;

    /// Rules about options that were read without an error.
    fn check_options(&self, options: Self::Options);
}

/// One of two sets of values.
#[derive(Clone, Copy)]
enum Which {
    One,
    Other,
}

/// Lookups that know a variable of each awkward kind.
fn lookups() -> Lookups<'static> {
    Lookups {
        variable: &|name| {
            Some(match name {
                "DIR" => "/dir".to_owned(),
                "ODD" => "%h${DIR}~".to_owned(),
                "BIG" => "b".repeat(20_000),
                _ => return None,
            })
        },
        service: &|name| (name == "http").then_some(80),
        home_of: &|name| (name == "bob").then(|| PathBuf::from("/home/bob")),
        exec: &|command| Ok(command.len() % 2 == 0),
        resolves: &|name| name.len() % 2 == 0,
        ..Lookups::none()
    }
}

fn check<P: Program>(program: &P, files: &[&[u8]]) {
    let main = files[0];
    let source = place(program, files);
    let outcome = program.load(program.nothing(), &source);
    check_places(&outcome, &source);
    if let Err(ConfigError::TooMuch(_)) = outcome {
        // The bounds count files and bytes, which the layout changes.
        return;
    }
    let replaced = |text: &[u8]| {
        let mut files = files.to_vec();
        files[0] = text;
        program.load(program.nothing(), &place(program, &files))
    };
    if !main.contains(&b'\r') {
        let lines: Vec<&[u8]> = main.split(|&b| b == b'\n').collect();
        let dos = replaced(&lines.join(&b"\r\n"[..]));
        same(&dos, &outcome, "line ends matter");
    }
    same(
        &replaced(&shouted(main)),
        &outcome,
        "upper case in keywords matters",
    );
    check_included(program, files, &outcome);
    options_and_lines(program, main);
    let Ok((options, _)) = outcome else {
        return;
    };
    if let Some(wrong) = program.always_wrong(&options) {
        let spoilt = replaced(&[main, b"\n", wrong.as_bytes()].concat());
        assert!(
            matches!(spoilt, Err(ConfigError::BadLines { .. })),
            "{wrong} is taken"
        );
    }
    let [once, twice] = [vec![Which::One], vec![Which::One, Which::Other]].map(|values| {
        let values: Vec<_> = values.into_iter().map(|n| program.every_value(n)).collect();
        replaced(&[main, b"\n", values.concat().as_bytes()].concat())
    });
    assert!(once.is_ok(), "{once:?}");
    same(&twice, &once, "a later value wins");
    // `Match` may hold the second time, by what was set the first time.
    if !files.iter().any(|text| holds(text, b"match")) {
        let again = program.load(options.clone(), &source);
        let again = again.expect("it was read before");
        assert_eq!(again.0, options, "reading twice matters");
    }
    program.check_options(options);
}

/// An included file counts as if it stood in the main one, and not at all in a block that does not apply.
fn check_included<P: Program>(program: &P, files: &[&[u8]], outcome: &Outcome<P::Options>) {
    if files.iter().any(|text| may_include_more(text)) {
        return;
    }
    let included = |before| included(program, files, before);
    same(
        &included(""),
        outcome,
        "standing in an included file matters",
    );
    if let Some(inactive) = program.inactive()
        && let Ok((options, _)) = included(inactive)
    {
        assert_eq!(
            options,
            program.nothing(),
            "a block that does not apply does"
        );
    }
}

/// The files where the program looks for them: its main file, and three that can be included.
fn place<P: Program>(program: &P, files: &[&[u8]]) -> FileSource {
    let names = ["a", "b.conf", "c.conf"];
    let others = names.iter().map(|name| program.directory().join(name));
    let paths = std::iter::once(program.main_file().to_owned()).chain(others);
    FileSource::memory(paths.zip(files.iter().copied()))
}

/// The same, but that the main file does nothing but include one that says what it said, behind a line.
fn included<P: Program>(program: &P, files: &[&[u8]], before: &str) -> Outcome<P::Options> {
    let FileSource::Memory(mut source) = place(program, files) else {
        return Err(ConfigError::TooMuch(PathBuf::new()));
    };
    let main: Vec<u8> = source.remove(program.main_file()).unwrap_or_default();
    let include = format!("{before}\nInclude .main").into_bytes();
    source.insert(program.main_file().to_owned(), include);
    source.insert(program.directory().join(".main"), main);
    program.load(program.nothing(), &FileSource::Memory(source))
}

/// True if the text holds the word, in any case.
fn holds(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len())
        .any(|part| part.eq_ignore_ascii_case(word))
}

/// True if a pattern could also match the one file more that [`included`] adds.
fn may_include_more(text: &[u8]) -> bool {
    let wild = |line: &[u8]| line.contains(&b'*') || line.contains(&b'?') || holds(line, b".main");
    text.split(|&b| b == b'\n')
        .any(|line| holds(line, b"include") && wild(line))
}

/// The text with the keyword of each line in upper case.
fn shouted(text: &[u8]) -> Vec<u8> {
    let lines = text.split(|&b| b == b'\n').map(|line| {
        let start = line.len() - line.trim_ascii_start().len();
        let blank = |&b: &u8| b == b'=' || b.is_ascii_whitespace();
        let len = line[start..].iter().position(blank);
        let end = len.map_or(line.len(), |len| start + len);
        let (keyword, rest) = line.split_at(end);
        [&keyword.to_ascii_uppercase(), rest].concat()
    });
    lines.collect::<Vec<_>>().join(&b'\n')
}

/// Two outcomes that may differ in how errors and warnings are worded and placed.
fn same<O: Debug + PartialEq>(one: &Outcome<O>, other: &Outcome<O>, unless: &str) {
    match (one, other) {
        (Ok((one, _)), Ok((other, _))) => assert_eq!(one, other, "{unless}"),
        (
            Err(ConfigError::BadLines { count: one, .. }),
            Err(ConfigError::BadLines { count: other, .. }),
        ) => assert_eq!(one, other, "{unless}"),
        // An error that ends the reading may be met before or behind one that does not.
        (Err(_), Err(_)) | (Err(ConfigError::TooMuch(_)), _) => {}
        other => panic!("{unless}: {other:?}"),
    }
}

/// Errors and warnings are bounded, and point at lines that are there.
fn check_places<O>(outcome: &Outcome<O>, source: &FileSource) {
    let FileSource::Memory(files) = source else {
        panic!("files in memory");
    };
    let places: Vec<_> = match outcome {
        Ok((_, warnings)) => warnings.iter().map(|warning| &warning.place).collect(),
        Err(ConfigError::BadLines { lines, count, .. }) => {
            assert!(!lines.is_empty() && lines.len() <= *count);
            lines.iter().map(|line| &line.place).collect()
        }
        Err(ConfigError::TooDeep(place)) => vec![place],
        Err(ConfigError::TooMuch(_)) => Vec::new(),
        Err(error) => panic!("{error}: the file is there, and in memory"),
    };
    assert!(places.len() <= 100, "findings without bound");
    for place in places {
        let lines = line_count(files, &place.file);
        assert!((1..=lines).contains(&place.line), "{place} of {lines}");
    }
    if let Err(error) = outcome {
        assert!(!error.to_string().is_empty());
    }
}

fn line_count(files: &BTreeMap<PathBuf, Vec<u8>>, path: &Path) -> usize {
    files[path].split(|&b| b == b'\n').count()
}

/// An option of the command line does what a file with this one line does.
fn options_and_lines<P: Program>(program: &P, main: &[u8]) {
    for line in main.split(|&b| b == b'\n').take(20) {
        let Ok(text) = std::str::from_utf8(line) else {
            continue;
        };
        let text = text.trim_ascii();
        let end = text.find([' ', '\t', '\x0c', '=']).unwrap_or(text.len());
        let keyword = text[..end].trim_matches('"').to_ascii_lowercase();
        // A line that says nothing is an option without a keyword, and what steers the reading is for files.
        let steers = ["host", "match", "include"].contains(&keyword.as_str());
        if text.is_empty() || text.starts_with('#') || steers {
            continue;
        }
        let file = program.load(program.nothing(), &place(program, &[line]));
        same(&program.option(text), &file, "standing in a file matters");
    }
}
