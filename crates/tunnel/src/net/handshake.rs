//! The first lines of a connection: either side's identification (RFC 4253 §4.2).

use std::io;

use adit_proto::Side;
use adit_proto::ident::{self, IdentReader, Progress};

use super::stream::Stream;

/// The peer's identification, and what was read behind it.
#[derive(Debug)]
pub struct PeerIdent {
    /// The line without its end.
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
    loop {
        match reader.read(&input).map_err(io::Error::other)? {
            Progress::Ident(line, consumed) => {
                input.drain(..consumed);
                return Ok(PeerIdent { line, early: input });
            }
            Progress::OtherLine(consumed) => {
                input.drain(..consumed);
            }
            Progress::Incomplete => {
                let more = socket.read_some().await?;
                if more.is_empty() {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "connection closed by remote host",
                    ));
                }
                input.extend(more);
            }
        }
    }
}
