//! Whatever ends the demo, and whenever: nothing of it stays behind.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
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

/// Runs a demo until that moment, ends it, and gives its status and what it left in the temporary directory.
fn ended(moment: Moment, end: impl FnOnce(Pid)) -> (ExitStatus, Vec<String>) {
    let temporary = TempDir::new().unwrap();
    // A shell may have put this test in the background with some of the signals ignored.
    let mut demo = Command::new("env")
        .args(["--default-signal", env!("CARGO_BIN_EXE_adit"), "demo"])
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
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
