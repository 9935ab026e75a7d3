//! A PostgreSQL of its own for one test: a fresh cluster in a temporary directory, run by an ordinary user, because
//! it refuses to be run by root.

use adit_interop::forward::Address;
use adit_interop::missing::{self, Missing};
use adit_interop::peer::accepts;
use adit_interop::ports::free_port;
use adit_interop::process::{self, Process};
use adit_interop::scratch::{self, Scratch};
use adit_interop::wait::{self, Pending};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const REMEDY: &str = "apt-get install postgresql";

/// A running cluster.
pub(crate) struct Postgres {
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    psql: PathBuf,
    _process: Process,
    _cluster: tempfile::TempDir,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub(crate) fn start(scratch: &Scratch) -> Result<Self, Missing> {
        let bin = newest_bin().ok_or(Missing {
            what: "postgres",
            remedy: REMEDY,
        })?;
        let psql = missing::program("psql", REMEDY)?;
        let cluster = tempfile::Builder::new()
            .prefix("adit-pg-")
            .tempdir()
            .expect("a directory");
        if is_root() {
            let mut chown = Command::new("chown");
            chown.arg("postgres").arg(cluster.path());
            process::run("chown", chown, scratch.path());
        }
        let data = cluster.path().join("data");
        let mut init = unprivileged(bin.join("initdb"));
        init.current_dir(cluster.path())
            .args(["--auth=trust", "--username=tunnel", "--no-sync"])
            .args(["--locale=C", "--pgdata"])
            .arg(&data);
        process::run("initdb", init, scratch.path());

        let port = free_port();
        let mut server = unprivileged(bin.join("postgres"));
        server
            .current_dir(cluster.path())
            .args(["-F", "-h", "127.0.0.1", "-p", &port.to_string(), "-k"])
            .arg(cluster.path())
            .arg("-D")
            .arg(&data);
        let mut process =
            Process::start("postgres", server, scratch.path()).expect("postgres starts");
        await_ready(&mut process, port);
        Ok(Self {
            port,
            psql,
            _process: process,
            _cluster: cluster,
        })
    }

    /// Answer of psql when it connects to 127.0.0.1:`port`.
    pub(crate) fn query(&self, scratch: &Scratch, port: u16, sql: &str) -> String {
        let mut command = Command::new(&self.psql);
        command
            .env("HOME", scratch.home())
            .env("PGCONNECT_TIMEOUT", "20")
            .args([
                "-X",
                "-A",
                "-t",
                "-h",
                "127.0.0.1",
                "-U",
                "tunnel",
                "-d",
                "postgres",
            ])
            .args(["-p", &port.to_string(), "-c", sql]);
        process::run("psql", command, scratch.path())
    }
}

fn is_root() -> bool {
    scratch::user() == "root"
}

/// Command that runs `program` as an ordinary user: as ourselves, or as `postgres` where we are root.
fn unprivileged(program: PathBuf) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program);
    command
}

fn await_ready(process: &mut Process, port: u16) {
    let up = wait::until("postgres is ready", || {
        let ready = process.errors().contains("ready to accept connections");
        match accepts(&Address::loopback(port)) {
            Ok(()) if ready => Ok(()),
            _ => Err(process
                .gone()
                .unwrap_or_else(|| Pending::NotYet("not yet".into()))),
        }
    });
    up.unwrap_or_else(|late| panic!("{late}: {}", process.errors()));
}

fn newest_bin() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    versions.sort();
    versions.pop()
}
