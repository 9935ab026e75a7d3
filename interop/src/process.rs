//! A child process that cannot outlive its test: ended by its own process group's id, with what it wrote kept in files
//! and shown when the test fails.

use crate::wait::{self, Pending};
use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// Lines of a process' log that a failure repeats.
const LAST_WORDS: usize = 20;

/// Lines of a log that a failing test shows.
const SHOWN_LINES: usize = 60;

/// A running program, its standard input closed and its output in files.
pub struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command`, with its output in files in `dir` named after `name`.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn start(name: &str, command: Command, dir: &Path) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let stdout = dir.join(format!("{name}.{number}.out"));
        let stderr = dir.join(format!("{name}.{number}.err"));
        // Whoever runs the tests may have signals ignored (`nohup`), which a program inherits.
        let child = through_env("--default-signal=HUP,INT", &command)
            .stdin(Stdio::null())
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?)
            // A group of its own: what the program starts in turn is ended with it.
            .process_group(0)
            .spawn()?;
        Ok(Self {
            name: name.to_owned(),
            child,
            stdout,
            stderr,
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Text that it has written to standard error so far.
    pub fn errors(&self) -> String {
        text(&self.stderr)
    }

    /// The end of what it has written to standard error.
    pub fn last_words(&self) -> String {
        let errors = self.errors();
        let lines: Vec<&str> = errors.lines().collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
    }

    /// Text that it has written to standard output so far.
    pub fn output(&self) -> String {
        text(&self.stdout)
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    ///
    /// When the system cannot tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits until `found` finds what it looks for in standard error, or the process has ended.
    ///
    /// # Errors
    ///
    /// When it does not come.
    pub fn wait_for_errors<T>(
        &mut self,
        what: &str,
        found: impl Fn(&str) -> Option<T>,
    ) -> Result<T, String> {
        wait::until(what, || {
            let gone = self.gone();
            match found(&self.errors()) {
                Some(value) => Ok(value),
                None => Err(gone.unwrap_or_else(|| Pending::NotYet("not in its log".into()))),
            }
        })
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Errors
    ///
    /// When it goes on.
    pub fn wait_for_end(&mut self) -> Result<ExitStatus, String> {
        let name = self.name.clone();
        wait::until(&format!("{name} ends"), || match self.ended() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(Pending::NotYet("it still runs".into())),
            Err(error) => Err(Pending::Never(error.to_string())),
        })
    }

    /// Sends the signal called `name` (`TERM`, `HUP`, …) to this process alone.
    pub fn signal(&self, name: &str) {
        signal(&self.id().to_string(), name);
    }

    /// Ends it and everything it started, at once and without a word.
    pub fn kill(&self) {
        end_family(self.id());
    }

    /// A figure in KiB out of its `/proc/…/status`: `VmRSS`, what it holds; `VmHWM`, the most that it ever held.
    ///
    /// # Panics
    ///
    /// When the system does not say.
    pub fn memory(&self, figure: &str) -> u64 {
        let status = text(Path::new(&format!("/proc/{}/status", self.id())));
        let line = status.lines().find(|line| line.starts_with(figure));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap_or_else(|| panic!("no {figure} of {}", self.name))
    }

    /// Waits until standard output has `words`, or the process has ended without them: all of it.
    ///
    /// # Panics
    ///
    /// When they do not come.
    pub fn await_output(&mut self, words: &str) -> String {
        wait::until(&format!("{words:?} of {}", self.name.clone()), || {
            let gone = self.gone();
            let said = self.output();
            if said.contains(words) {
                return Ok(said);
            }
            Err(gone.unwrap_or(Pending::NotYet(said)))
        })
        .unwrap_or_else(|late| panic!("{late}"))
    }

    /// [`Pending::Never`] when the process has ended, for probes that wait for something it would do.
    pub fn gone(&mut self) -> Option<Pending> {
        let status = self.ended().ok().flatten()?;
        Some(Pending::Never(format!(
            "{} has ended: {}",
            self.name,
            describe(status)
        )))
    }

    fn show(&self) {
        for (stream, path) in [
            ("standard output", &self.stdout),
            ("standard error", &self.stderr),
        ] {
            let all = text(path);
            let lines: Vec<&str> = all.lines().collect();
            if lines.is_empty() {
                continue;
            }
            let hidden = lines.len().saturating_sub(SHOWN_LINES);
            eprintln!(
                "--- {} [{}], {stream} ({hidden} earlier lines not shown)",
                self.name,
                self.id()
            );
            for line in &lines[hidden..] {
                eprintln!("    {line}");
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            self.show();
        }
        let family = descendants(self.child.id());
        let running = matches!(self.child.try_wait(), Ok(None));
        if running {
            self.signal("TERM");
            let _ = wait::until_within("end", Duration::from_secs(3), || {
                match self.child.try_wait() {
                    Ok(None) => Err(Pending::NotYet("still there".into())),
                    _ => Ok(()),
                }
            });
        }
        // The others, too: a server's children may outlive it, and may have left its group.
        signal(&format!("-{}", self.child.id()), "KILL");
        for pid in family {
            signal(&pid.to_string(), "KILL");
        }
        let _ = self.child.wait();
    }
}

/// The same command, begun by `env` with a flag of its own.
pub fn through_env(flag: &str, command: &Command) -> Command {
    let mut wrapped = Command::new("env");
    let program = command.get_program();
    wrapped.arg(flag).arg(program).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        wrapped.current_dir(dir);
    }
    wrapped
}

/// Runs `command` to its end and returns what it said.
///
/// # Panics
///
/// When it cannot be started, does not end in time, or does not end well: the tools that a test itself needs must work.
pub fn run(name: &str, command: Command, dir: &Path) -> String {
    let (status, output, errors) = outcome(name, command, dir);
    assert!(
        status.success(),
        "{name} ended with {}: {errors}",
        describe(status)
    );
    output
}

/// Runs `command` to its end, whatever that is: its status, standard output and standard error.
///
/// # Panics
///
/// When it cannot be started or does not end in time.
pub fn outcome(name: &str, command: Command, dir: &Path) -> (ExitStatus, String, String) {
    let mut process = Process::start(name, command, dir)
        .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
    let status = process
        .wait_for_end()
        .unwrap_or_else(|late| panic!("{late}"));
    (status, process.output(), process.errors())
}

/// The processes whose command line names `path`: those that put themselves in the background during a test and were
/// given a file of its scratch directory.
pub fn naming(path: &Path) -> Vec<u32> {
    let needle = path.to_string_lossy().into_owned();
    pids()
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&needle)
        })
        .collect()
}

/// Ends a process and everything it started, at once and without a word.
pub fn end_family(ancestor: u32) {
    for pid in descendants(ancestor).into_iter().chain([ancestor]) {
        signal(&pid.to_string(), "KILL");
    }
}

/// The processes that `ancestor` started, and those that these started.
fn descendants(ancestor: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = pids().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut family = vec![ancestor];
    let mut looked_at = 0;
    while let Some(&one) = family.get(looked_at) {
        looked_at += 1;
        for &(pid, parent) in &parents {
            if parent == one && !family.contains(&pid) {
                family.push(pid);
            }
        }
    }
    family.split_off(1)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it is in parentheses and may contain anything.
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Sends a signal to one process (`"123"`) or one process group (`"-123"`) that a test started.
pub fn signal(whom: &str, name: &str) {
    let _ = Command::new("kill")
        .args([&format!("-{name}"), "--", whom])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no status".into(),
    }
}

fn text(path: &Path) -> String {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_ends_with_its_guard() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("600");
        let process = Process::start("sleeper", command, dir.path()).unwrap();
        let entry = format!("/proc/{}", process.id());
        assert!(Path::new(&entry).exists());
        drop(process);
        assert!(!Path::new(&entry).exists());
    }

    #[test]
    fn a_child_that_left_the_group_ends_with_the_guard() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "setsid sleep 600; true"]);
        let process = Process::start("parent", command, dir.path()).unwrap();
        let family = wait::until("a grandchild", || {
            let family = descendants(process.id());
            if family.is_empty() {
                return Err(Pending::NotYet("none yet".into()));
            }
            Ok(family)
        });
        drop(process);
        for pid in family.unwrap() {
            wait::until("its end", || match parent(pid) {
                // Nobody may be there to collect it, but a zombie holds nothing.
                Some(_) if !is_zombie(pid) => Err(Pending::NotYet("it lives".into())),
                _ => Ok(()),
            })
            .unwrap();
        }
    }

    fn is_zombie(pid: u32) -> bool {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    }

    #[test]
    fn what_it_said_and_how_it_ended_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 7"]);
        let (status, output, errors) = outcome("sh", command, dir.path());
        assert_eq!(
            (status.code(), output.as_str(), errors.as_str()),
            (Some(7), "out\n", "err\n")
        );
    }
}
