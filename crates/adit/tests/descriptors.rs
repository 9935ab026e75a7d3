//! What becomes of descriptors that adit inherits from whoever starts it.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// Longer than a start takes.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs adit in a shell that gives it a file as descriptor 9; adit, once it has come to the server that never speaks.
async fn connected(file: &Path, listener: &TcpListener, args: &[&str]) -> (Child, TcpStream) {
    let adit = Command::new("sh")
        .args([
            "-c",
            "exec \"$0\" \"$@\" 9<\"$FILE\"",
            env!("CARGO_BIN_EXE_adit"),
            "-N",
        ])
        .args(args)
        .env("FILE", file)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let accepted = tokio::time::timeout(LIMIT, listener.accept()).await;
    (adit, accepted.unwrap().unwrap().0)
}

#[tokio::test]
async fn inherited_descriptors_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("lock");
    fs::write(&lock, "").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let args = ["-F", "none", "-p", &port, "127.0.0.1"];
    let (adit, _connection) = connected(&lock, &listener, &args).await;
    let open = fs::read_dir(format!("/proc/{}/fd", adit.id().unwrap())).unwrap();
    let targets = open.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    assert!(!targets.into_iter().any(|target| target == lock));
}

#[tokio::test]
async fn descriptor_that_an_argument_names_stays() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    fs::write(
        &config,
        format!("Host h\nHostName 127.0.0.1\nPort {port}\n"),
    )
    .unwrap();
    connected(&config, &listener, &["-F", "/dev/fd/9", "h"]).await;
}
