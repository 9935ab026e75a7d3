//! First lines of a connection: the identifications of both sides (RFC 4253 §4.2).

use std::io;

use adit_proto::Side;
use adit_proto::ident::{self, IdentReader, Progress};
use adit_proto::peer_text;

use super::listener::describe;
use super::stream::Stream;

/// The peer's identification, and the bytes that were read after it.
#[derive(Debug)]
pub struct PeerIdent {
    /// The line without its line end.
    pub line: String,
    /// The first bytes of the binary protocol.
    pub early: Vec<u8>,
}

/// Sends our identification and reads the peer's.
pub async fn exchange_ident(socket: &Stream, side: Side) -> io::Result<PeerIdent> {
    socket
        .write_all(format!("{}\r\n", ident::ours()).as_bytes())
        .await?;
    let mut reader = IdentReader::new(side);
    let mut input: Vec<u8> = Vec::new();
    // The last line before the identification. Without an identification, it is the reason.
    let mut said = None;
    loop {
        match reader.read(&input).map_err(io::Error::other)? {
            Progress::Ident(line, consumed) => {
                input.drain(..consumed);
                return Ok(PeerIdent { line, early: input });
            }
            Progress::OtherLine(consumed) => {
                said = Some(shown(&input[..consumed])).filter(|line| !line.is_empty());
                input.drain(..consumed);
            }
            Progress::Incomplete => {
                let more = socket.read_some().await.and_then(some);
                input.extend(more.map_err(|error| with_reason(error, said.take()))?);
            }
        }
    }
}

fn some(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    match bytes.is_empty() {
        true => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "connection closed by remote host",
        )),
        false => Ok(bytes),
    }
}

/// A line of the peer, cleaned for messages.
fn shown(line: &[u8]) -> String {
    peer_text::description(line.trim_ascii()).to_string()
}

/// The error with the peer's last line, such as `Not allowed at this time`.
fn with_reason(error: io::Error, said: Option<String>) -> io::Error {
    match said {
        Some(said) => io::Error::new(
            error.kind(),
            format!("{}; it said: {said}", describe(&error)),
        ),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn line_of_a_server_before_it_closes_is_the_reason() {
        for (said, reason) in [
            ("", "connection closed by remote host"),
            (
                "Welcome\r\nNot allowed at this \x1b[2Jtime\r\n",
                "connection closed by remote host; it said: Not allowed at this \\u{1b}[2Jtime",
            ),
        ] {
            let (client, server) = UnixStream::pair().unwrap();
            let server = Stream::from(server);
            server.write_all(said.as_bytes()).await.unwrap();
            let reading =
                tokio::spawn(async move { exchange_ident(&client.into(), Side::Client).await });
            while server.read_some().await.unwrap().is_empty() {}
            drop(server);
            assert_eq!(reading.await.unwrap().unwrap_err().to_string(), reason);
        }
    }
}
