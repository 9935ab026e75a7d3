//! Descriptors that adit inherits from whoever starts it.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// Longer than a start takes.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs adit in a shell that redirects descriptor 9 so; adit, once it has come to the server that never speaks.
async fn connected(
    redirection: &str,
    file: &Path,
    listener: &TcpListener,
    args: &[&str],
) -> (Child, TcpStream) {
    let adit = Command::new("sh")
        .args([
            "-c",
            &format!("exec \"$0\" \"$@\" 9{redirection}\"$FILE\""),
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

/// A pipe that adit inherits the writing end of comes to its end while adit runs. (Who looks at its descriptors from
/// outside needs root's rights.)
#[tokio::test]
async fn inherited_descriptors_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut reader = pipe::OpenOptions::new().open_receiver(&pipe).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let args = ["-F", "none", "-p", &port, "127.0.0.1"];
    let (_adit, _connection) = connected(">", &pipe, &listener, &args).await;
    let read = tokio::time::timeout(LIMIT, reader.read_to_end(&mut Vec::new())).await;
    assert_eq!(read.unwrap().unwrap(), 0);
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
    connected("<", &config, &listener, &["-F", "/dev/fd/9", "h"]).await;
}
