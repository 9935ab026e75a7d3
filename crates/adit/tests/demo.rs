//! The demo as a person meets it: its page, its live figures, and nothing of it left behind whatever ends it.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Longer than the demo takes to say anything.
const LIMIT: Duration = Duration::from_secs(60);

/// The moment of a demo's life at which it is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// As soon as its folder is there.
    Folder,
    /// As soon as it says this.
    Says(&'static str),
}

#[test]
fn folder_goes_with_the_demo_whatever_signal_ends_it_and_when() {
    use Signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
        for moment in [
            Moment::Folder,
            Moment::Says("adit demo"),
            Moment::Says("fetched"),
            Moment::Says("now try it"),
        ] {
            let (status, left) = ended(moment, |pid| kill(pid, signal).unwrap());
            assert_eq!(status.signal(), None, "{signal} {moment:?}");
            assert_eq!(left, [] as [String; 0], "{signal} {moment:?}");
            let in_time = moment == Moment::Says("now try it");
            assert_eq!(status.success(), in_time, "{signal} {moment:?}");
        }
    }
}

#[test]
fn folder_goes_with_a_demo_whose_reader_has_gone() {
    let (status, left) = ended(Moment::Says("adit demo"), |_| {});
    assert_eq!(status.code(), Some(255));
    assert_eq!(left, [] as [String; 0]);
}

#[test]
fn key_is_gone_before_the_visits_begin() {
    let (_, left) = ended(Moment::Says("fetched"), |pid| {
        kill(pid, Signal::SIGKILL).unwrap();
    });
    assert!(
        left.iter().any(|name| name.ends_with("/user.pub")),
        "{left:?}"
    );
    assert!(!left.iter().any(|name| name.ends_with("/user")), "{left:?}");
}

#[test]
fn page_shows_this_run_and_loads_nothing_from_elsewhere() {
    let demo = Demo::until_it_stays();
    let (head, page) = demo.answer("/");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("default-src 'none'"), "{head}");
    for port in demo.ports() {
        assert!(page.contains(&port), "{port} of {:?}", demo.said);
    }
    assert_eq!(page.matches("<svg").count(), 1);
    assert!(page.contains(r#"role="img" aria-labelledby="picture-title picture-text""#));
    for (at, _) in page.match_indices("://") {
        let to = &page[at + 3..];
        let here = to.starts_with("127.0.0.1:") || to.starts_with("demo/");
        assert!(here, "{}", to.lines().next().unwrap_or_default());
    }
    for loading in ["src=", "@import", "url(", "{{"] {
        assert!(!page.contains(loading), "{loading}");
    }
    assert_eq!(unclosed(&page), [] as [String; 0]);
    let (head, _) = demo.answer("/other");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
}

#[test]
fn live_figures_follow_what_goes_through_the_tunnel() {
    let demo = Demo::until_it_stays();
    let mut events = BufReader::new(demo.ask("/live")).lines();
    let head: Vec<_> = events
        .by_ref()
        .map(Result::unwrap)
        .take_while(|l| !l.is_empty())
        .collect();
    assert!(
        head.contains(&"Content-Type: text/event-stream".to_owned()),
        "{head:?}"
    );
    let mut figures = events
        .map(Result::unwrap)
        .filter(|line| !line.is_empty())
        .map(|line| local(&line));
    let (opened, received) = figures.next().unwrap();
    let (_, file) = demo.answer("/bytes/100000");
    assert_eq!(file.len(), 100_000);
    let followed = figures
        .take(10)
        .any(|(o, r)| o > opened && r >= received + 100_000);
    assert!(followed, "from {opened} connections and {received} bytes");
}

#[test]
fn tags_that_nobody_closed_are_found() {
    let none: [String; 0] = [];
    assert_eq!(
        unclosed("<!doctype html><p>a <br> b<svg><line x=\"1\"/></svg></p>"),
        none
    );
    assert_eq!(
        unclosed("<p><script>if (a < b) c = '<i>';</script></p>"),
        none
    );
    assert_eq!(unclosed("<p><b>a</p>"), ["b before /p"]);
    assert_eq!(unclosed("<p><b>a</b>"), ["p at the end"]);
}

/// Tags of a page that are not closed where they should be.
fn unclosed(page: &str) -> Vec<String> {
    const EMPTY: [&str; 5] = ["!doctype", "meta", "link", "br", "hr"];
    let (mut open, mut faults) = (Vec::new(), Vec::new());
    let mut rest = page;
    while let Some((_, behind)) = rest.split_once('<') {
        let (tag, after) = behind.split_once('>').unwrap_or((behind, ""));
        rest = after;
        let name = tag.split_whitespace().next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(closed) => {
                let opened = open.pop().unwrap_or("nothing");
                if opened != closed {
                    faults.push(format!("{opened} before /{closed}"));
                }
                if opened != closed && open.last() == Some(&closed) {
                    open.pop();
                }
            }
            None if EMPTY.contains(&name) || tag.ends_with('/') => {}
            None => open.push(name),
        }
        // Not markup, whatever it looks like.
        if ["script", "style"].contains(&name) {
            let end = rest.find(&format!("</{name}")).unwrap_or(rest.len());
            rest = &rest[end..];
        }
    }
    faults.extend(open.iter().map(|name| format!("{name} at the end")));
    faults
}

/// Connections so far and bytes received of the first forward, from an event's line.
fn local(event: &str) -> (u64, u64) {
    let first = event
        .strip_prefix("data: [{")
        .unwrap()
        .split('}')
        .next()
        .unwrap();
    let figure = |name: &str| {
        let found = first
            .split(',')
            .find_map(|field| field.strip_prefix(&format!("\"{name}\":")));
        found.unwrap().parse().unwrap()
    };
    (figure("opened"), figure("received"))
}

/// A demo that stays up, until it is dropped.
struct Demo {
    process: Child,
    said: Vec<String>,
    _output: std::io::Lines<BufReader<ChildStdout>>,
    _temporary: TempDir,
}

impl Demo {
    /// Starts one, and waits until it has said all that it says.
    fn until_it_stays() -> Self {
        let temporary = TempDir::new().unwrap();
        let mut process = start(temporary.path());
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut said: Vec<String> = Vec::new();
        while said
            .last()
            .is_none_or(|line| !line.contains("--unix-socket"))
        {
            said.push(output.next().unwrap().unwrap());
        }
        Self {
            process,
            said,
            _output: output,
            _temporary: temporary,
        }
    }

    /// The addresses and ports of all that it printed.
    fn ports(&self) -> Vec<String> {
        let words = self
            .said
            .iter()
            .flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '.'));
        let mut numbers = words
            .filter(|word| word.len() >= 4 && word.parse::<u16>().is_ok())
            .collect::<Vec<_>>();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|n| {
            self.said
                .iter()
                .any(|line| line.contains(&format!(":{n}")) || line.starts_with(&format!("-D {n}")))
        });
        assert!(numbers.len() >= 6, "{numbers:?}");
        numbers.into_iter().map(str::to_owned).collect()
    }

    /// Head and body of the site's answer, through `-L`.
    fn answer(&self, path: &str) -> (String, String) {
        let mut answer = String::new();
        self.ask(path).read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    /// A connection to the site, through `-L`, that has asked for this path.
    fn ask(&self, path: &str) -> TcpStream {
        let url = self
            .said
            .iter()
            .find_map(|line| line.trim().strip_prefix("curl http://"));
        let mut stream = TcpStream::connect(url.unwrap().trim_end_matches('/')).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: demo\r\n\r\n").unwrap();
        stream
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = kill(
            Pid::from_raw(self.process.id().try_into().unwrap()),
            Signal::SIGTERM,
        );
        let _ = self.process.wait();
    }
}

/// Runs a demo until that moment, ends it, and gives its status and what it left in the temporary directory.
fn ended(moment: Moment, end: impl FnOnce(Pid)) -> (ExitStatus, Vec<String>) {
    let temporary = TempDir::new().unwrap();
    let mut demo = start(temporary.path());
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    match moment {
        Moment::Folder => until(|| !names(temporary.path()).is_empty()),
        Moment::Says(words) => {
            let said = lines.any(|line| line.unwrap().contains(words));
            assert!(said, "{words}");
        }
    }
    end(Pid::from_raw(demo.id().try_into().unwrap()));
    drop(lines);
    let status = wait(&mut demo);
    (status, names(temporary.path()))
}

/// Starts a demo with this temporary directory.
fn start(temporary: &Path) -> Child {
    // A shell may have put this test in the background with some of the signals ignored.
    Command::new("env")
        .args(["--default-signal", env!("CARGO_BIN_EXE_adit"), "demo"])
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn wait(demo: &mut Child) -> ExitStatus {
    let mut status = None;
    until(|| {
        status = demo.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// The files and folders below this one, as paths.
fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    // A folder may go while it is read.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        names.push(entry.path().display().to_string());
        names.extend(self::names(&entry.path()));
    }
    names
}

fn until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LIMIT, "it goes on and on");
        thread::sleep(Duration::from_micros(200));
    }
}
