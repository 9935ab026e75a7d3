//! What the demo's forwards lead to: a web site of one page and one endless file, and a TCP echo.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream};

/// The page.
pub(super) const PAGE: &str = "<!doctype html><title>adit demo</title><h1>You came through the tunnel</h1>\
<p>This page was served behind aditd and reached you encrypted.</p>\n";
/// The longest request that is read.
const MAX_REQUEST: usize = 8192;
/// One piece of the endless file.
const PIECE: usize = 256 << 10;

/// A web site: where it listens, and the future that serves it.
pub(super) fn web(
    listener: TcpListener,
) -> (SocketAddr, impl Future<Output = ()> + Send + 'static) {
    serve(listener, |stream| async move { answer(stream).await })
}

/// An echo: where it listens, and the future that serves it.
pub(super) fn echo(
    listener: TcpListener,
) -> (SocketAddr, impl Future<Output = ()> + Send + 'static) {
    serve(listener, |stream| async move {
        let (mut read, mut write) = split(stream);
        copy(&mut read, &mut write).await.map(drop)
    })
}

fn serve<F>(
    listener: TcpListener,
    handle: impl Fn(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, impl Future<Output = ()> + Send + 'static)
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let address = listener
        .local_addr()
        .unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)));
    let serving = async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A visitor who leaves early ends only its own visit.
            let visit = handle(stream);
            tokio::spawn(async move { drop(visit.await) });
        }
    };
    (address, serving)
}

/// `GET /bytes/N` gives N bytes, everything else the page.
async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        let n = stream.read(&mut chunk).await?;
        if n == 0 || request.len() > MAX_REQUEST {
            return Ok(());
        }
        request.extend_from_slice(&chunk[..n]);
    }
    let text = String::from_utf8_lossy(&request);
    let path = text.split(' ').nth(1).unwrap_or_default();
    match path
        .strip_prefix("/bytes/")
        .and_then(|n| n.parse::<u64>().ok())
    {
        Some(bytes) => send_bytes(&mut stream, bytes).await?,
        None => {
            let head = head("text/html; charset=utf-8", PAGE.len() as u64);
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(PAGE.as_bytes()).await?;
        }
    }
    stream.shutdown().await
}

async fn send_bytes(stream: &mut TcpStream, bytes: u64) -> std::io::Result<()> {
    stream
        .write_all(head("application/octet-stream", bytes).as_bytes())
        .await?;
    let piece = vec![b'a'; PIECE];
    let mut left = bytes;
    while left > 0 {
        let n = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        stream.write_all(&piece[..n]).await?;
        left -= n as u64;
    }
    Ok(())
}

fn head(content_type: &str, len: u64) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n"
    )
}
