//! Processor instructions of the core's hot paths, counted by valgrind's callgrind: the same on every run, where
//! times are not.

use std::process::Command;

use adit_bench::work::tasks;

use crate::failure::{Attempt, Failure, Result};

/// Number of times that a task is done in the shorter of the two runs whose difference is taken; the longer does it
/// twice as often, so that what the program does around it falls away.
const COUNT: u64 = 200;

/// Does the task `name` so many times.
pub(crate) fn work(name: &str, count: u64) -> Result<()> {
    let tasks = tasks();
    let task = tasks
        .iter()
        .find(|task| task.name == name)
        .ok_or_else(|| Failure::new(format!("there is no task {name}")))?;
    let mut once = (task.prepare)();
    for _ in 0..count {
        once();
    }
    Ok(())
}

/// Prints the instructions of every task.
pub(crate) fn count_all() -> Result<()> {
    let found = Command::new("valgrind").arg("--version").output();
    let version = found.map_err(|error| {
        Failure::new(format!(
            "cannot count instructions, which valgrind does: cannot start valgrind: {error}"
        ))
    })?;
    println!(
        "instructions by {}, of which the processor may be shown fewer extensions than it has",
        String::from_utf8_lossy(&version.stdout).trim()
    );
    for task in tasks() {
        let (short, long) = (count(&task.name, COUNT)?, count(&task.name, 2 * COUNT)?);
        let each = long.saturating_sub(short) / COUNT;
        println!("{:<50} {each:>10}", task.name);
    }
    Ok(())
}

/// The instructions of a whole process that does the task so many times.
fn count(name: &str, times: u64) -> Result<u64> {
    let own = std::env::current_exe().attempt(|| "find this program".to_owned())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["work", name, &times.to_string()])
        .output()
        .attempt(|| "start valgrind".to_owned())?;
    let words = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = words.lines().rev().take(3).collect();
    if !output.status.success() {
        return Err(Failure::new(format!(
            "cannot count the instructions of {name}: {}",
            last.join("; ")
        )));
    }
    collected(&words)
        .ok_or_else(|| Failure::new(format!("valgrind told no count: {}", last.join("; "))))
}

/// The number behind `Collected :`.
fn collected(words: &str) -> Option<u64> {
    let line = words.lines().find(|line| line.contains("Collected :"))?;
    line.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_taken_from_its_line() {
        let words = "==1== Events    : Ir\n==1== Collected : 123456\n==1== \n";
        assert_eq!(collected(words), Some(123_456));
        assert_eq!(collected("==1== nothing"), None);
    }

    #[test]
    fn unknown_work_is_refused() {
        assert!(work("no such task", 1).is_err());
        assert!(work("windows", 1).is_ok());
    }
}
