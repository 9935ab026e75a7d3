//! Costs of processes, read from `/proc`, and the arithmetic on readings.

use std::collections::BTreeSet;
use std::fs;

use crate::failure::{Attempt, Result};

/// The processes of a tunnel: those that we started and all their descendants.
///
/// The set is found anew for each reading, because sshd makes a process for each connection.
#[derive(Debug, Clone)]
pub(crate) struct Processes {
    roots: Vec<u32>,
}

/// The fields of `/proc/PID/stat` that matter here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// User and system time of the process and of its reaped children, in clock ticks.
    ticks: u64,
}

impl Processes {
    pub(crate) fn new(roots: Vec<u32>) -> Self {
        Self { roots }
    }

    /// The roots and their descendants, ascending.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let table: Vec<(u32, u32)> = all_pids()
            .into_iter()
            .filter_map(|pid| Some((pid, read_stat(pid)?.parent)))
            .collect();
        let mut found: BTreeSet<u32> = self.roots.iter().copied().collect();
        loop {
            let before = found.len();
            found.extend(
                table
                    .iter()
                    .filter(|(_, parent)| found.contains(parent))
                    .map(|(pid, _)| *pid)
                    .collect::<Vec<_>>(),
            );
            if found.len() == before {
                return found.into_iter().collect();
            }
        }
    }

    /// CPU seconds used so far, user and system, including reaped children.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
            .attempt(|| "read the clock tick".to_owned())?
            .unwrap_or(100);
        let ticks: u64 = self
            .pids()
            .into_iter()
            .filter_map(read_stat)
            .map(|stat| stat.ticks)
            .sum();
        Ok(ticks as f64 / per_second as f64)
    }

    /// Proportional set size of all of them together, in bytes.
    pub(crate) fn pss_bytes(&self) -> Result<u64> {
        let mut sum = 0;
        for pid in self.pids() {
            let path = format!("/proc/{pid}/smaps_rollup");
            let text = fs::read_to_string(&path).attempt(|| format!("read {path}"))?;
            sum += parse_pss(&text).unwrap_or(0);
        }
        Ok(sum)
    }
}

/// The median; the mean of the middle two when their number is even; NaN of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The value that `percent` of the values do not exceed (nearest rank); NaN of nothing.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

fn all_pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Nothing if the process has ended.
fn read_stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The command's name, in brackets, may hold spaces and brackets: fields count from the last `)`.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // proc(5): state is field 3, ppid 4, utime 14, stime 15, cutime 16, cstime 17.
    let ticks: Option<u64> = fields
        .get(11..15)?
        .iter()
        .map(|field| field.parse::<u64>().ok())
        .sum();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        ticks: ticks?,
    })
}

fn parse_pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_hostile_name() {
        let line = "42 (a) R 7 (b)) S 41 42 42 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 9 0 0";
        let stat = parse_stat(line).unwrap();
        assert_eq!(
            stat,
            Stat {
                parent: 41,
                ticks: 100
            }
        );
        assert_eq!(parse_stat("42 (cut off) S 41"), None);
    }

    #[test]
    fn own_process_costs_memory_and_time() {
        let own = Processes::new(vec![std::process::id()]);
        assert!(own.pids().contains(&std::process::id()));
        assert!(own.pss_bytes().unwrap() > 100_000);
        let before = own.cpu_seconds().unwrap();
        let mut work = 1_u64;
        while own.cpu_seconds().unwrap() <= before {
            work = work.wrapping_mul(31);
        }
        assert_ne!(work, 0);
    }

    #[test]
    fn pss_is_taken_from_its_line() {
        let text = "Rss: 9 kB\nPss:                 768 kB\nPss_Dirty: 5 kB\n";
        assert_eq!(parse_pss(text), Some(768 * 1024));
    }

    #[test]
    fn medians_and_percentiles() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!((percentile(&hundred, 50.0) - 50.0).abs() < 1e-9);
        assert!((percentile(&hundred, 99.0) - 99.0).abs() < 1e-9);
        assert!((percentile(&[7.0], 99.0) - 7.0).abs() < 1e-9);
    }
}
