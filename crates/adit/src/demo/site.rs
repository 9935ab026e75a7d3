//! Targets of the demo's forwards: a web site of one page, its live figures and one endless file, and a TCP echo.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_tunnel::tunnel::Tunnel;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream};

use super::page;

/// The longest request that is read.
const MAX_REQUEST: usize = 8192;
/// One piece of the endless file.
const PIECE: usize = 256 << 10;
/// Time between two takings of the page's figures.
const FIGURES: Duration = Duration::from_millis(500);

/// Contents of the web site.
pub(super) struct Contents {
    /// The page.
    pub(super) page: String,
    /// The tunnel whose figures it shows.
    pub(super) tunnel: Tunnel,
}

/// Serves the web site.
pub(super) fn web(
    listener: TcpListener,
    contents: Arc<Contents>,
) -> (SocketAddr, impl Future<Output = ()> + Send + 'static) {
    serve(listener, move |stream| {
        let contents = contents.clone();
        async move { answer(stream, &contents).await }
    })
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

/// Answers one request: `/` is the page, `/live` the figures, `/bytes/N` a file of N bytes.
async fn answer(mut stream: TcpStream, contents: &Contents) -> std::io::Result<()> {
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
    let bytes = path.strip_prefix("/bytes/").map(str::parse);
    match (path, bytes) {
        ("/", _) => {
            let page = contents.page.as_bytes();
            let head = head(
                "200 OK",
                "text/html; charset=utf-8",
                Some(page.len() as u64),
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(page).await?;
        }
        ("/live", _) => send_figures(&mut stream, &contents.tunnel).await?,
        (_, Some(Ok(bytes))) => send_bytes(&mut stream, bytes).await?,
        _ => {
            let head = head("404 Not Found", "text/plain", Some(0));
            stream.write_all(head.as_bytes()).await?;
        }
    }
    stream.shutdown().await
}

/// Sends the figures again and again, until the visitor goes or the tunnel ends.
async fn send_figures(stream: &mut TcpStream, tunnel: &Tunnel) -> std::io::Result<()> {
    let head = head("200 OK", "text/event-stream", None);
    stream.write_all(head.as_bytes()).await?;
    let mut moments = tokio::time::interval(FIGURES);
    loop {
        tokio::select! {
            biased;
            _ended = tunnel.ended() => return Ok(()),
            _ = moments.tick() => {}
        }
        let event = page::event(&tunnel.status().forwards);
        stream.write_all(event.as_bytes()).await?;
    }
}

async fn send_bytes(stream: &mut TcpStream, bytes: u64) -> std::io::Result<()> {
    stream
        .write_all(head("200 OK", "application/octet-stream", Some(bytes)).as_bytes())
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

/// Head of an answer. It forbids the browser to load anything from elsewhere.
fn head(status: &str, content_type: &str, len: Option<u64>) -> String {
    let len = len.map_or_else(String::new, |len| format!("Content-Length: {len}\r\n"));
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{len}Cache-Control: no-store\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
         connect-src 'self'; img-src data:\r\nConnection: close\r\n\r\n"
    )
}
