//! Visits through the demo's forwards, each of which checks what it got.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// Room for one read of a download.
const CHUNK: usize = 256 << 10;

/// Fetches the page from a loopback port; gives its length.
pub(super) async fn fetch_tcp(port: u16, page: &str) -> io::Result<usize> {
    fetch(connect(port).await?, page).await
}

/// Fetches the page through a unix socket.
pub(super) async fn fetch_unix(path: &Path, page: &str) -> io::Result<usize> {
    fetch(UnixStream::connect(path).await?, page).await
}

/// Fetches the page of `site` through a SOCKS5 proxy.
pub(super) async fn fetch_socks(proxy: u16, site: SocketAddr, page: &str) -> io::Result<usize> {
    let mut stream = connect(proxy).await?;
    stream.write_all(&[5, 1, 0]).await?;
    let mut choice = [0; 2];
    stream.read_exact(&mut choice).await?;
    let host = site.ip().to_string();
    let mut request = vec![
        5,
        1,
        0,
        3,
        u8::try_from(host.len()).map_err(io::Error::other)?,
    ];
    request.extend_from_slice(host.as_bytes());
    request.extend_from_slice(&site.port().to_be_bytes());
    stream.write_all(&request).await?;
    let mut reply = [0; 10];
    stream.read_exact(&mut reply).await?;
    match (choice, reply[1]) {
        ([5, 0], 0) => fetch(stream, page).await,
        (_, code) => Err(io::Error::other(format!("the proxy answered {code}"))),
    }
}

async fn fetch(mut stream: impl AsyncRead + AsyncWrite + Unpin, page: &str) -> io::Result<usize> {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: demo\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer).await?;
    match answer.split_once("\r\n\r\n") {
        Some((_, arrived)) if arrived == page => Ok(page.len()),
        _ => Err(io::Error::other("the page did not arrive whole")),
    }
}

/// Says something to the echo behind a loopback port; gives what came back.
pub(super) async fn echo(port: u16) -> io::Result<String> {
    let mut stream = connect(port).await?;
    let said = "hello from the other end";
    stream.write_all(said.as_bytes()).await?;
    stream.shutdown().await?;
    let mut heard = String::new();
    stream.take(1024).read_to_string(&mut heard).await?;
    match heard == said {
        true => Ok(heard),
        false => Err(io::Error::other(format!("the echo answered {heard:?}"))),
    }
}

/// Downloads so many bytes from behind a loopback port; gives how many came.
pub(super) async fn download(port: u16, bytes: u64) -> io::Result<u64> {
    let mut stream = connect(port).await?;
    stream
        .write_all(format!("GET /bytes/{bytes} HTTP/1.1\r\nHost: demo\r\n\r\n").as_bytes())
        .await?;
    let mut chunk = vec![0; CHUNK];
    let mut total = 0;
    loop {
        match stream.read(&mut chunk).await? {
            0 => break,
            n => total += n as u64,
        }
    }
    match total > bytes {
        true => Ok(bytes),
        false => Err(io::Error::other(format!("{total} bytes came of {bytes}"))),
    }
}

async fn connect(port: u16) -> io::Result<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await
}
