//! Pumps: one direction of one stream of a channel each, between the channel and what is at our end.
//!
//! ```text
//!   source ──pump_out──▶ channel        until the source's end: the caller says EOF, once every stream has said all
//!   channel ──pump_in──▶ sink           until the peer's EOF, its CLOSE, or the end of the connection
//! ```
//!
//! What is written to the sink, and nothing else, becomes credit.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use adit_proto::channels::PeerClose;
use tokio::time::timeout;

use super::channel::Channel;
use super::outbound::SHORT_TURN;
use super::outcome::Ended;
use super::stream::Stream;
use super::stream_end::{Pumped, Received, StreamEnd};
use crate::status::ForwardCounters;

/// The end of `pump_out`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PumpedOut {
    /// The source has said all.
    SourceEnded,
    /// The channel takes no more.
    ChannelClosed,
}

/// The end of `pump_in`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PumpedIn {
    /// The peer sends no more; it may still listen.
    Eof,
    /// The peer closed the channel.
    Closed(PeerClose),
    /// The connection is over.
    Ended(Ended),
}

/// Patience with a sink that takes nothing of what it was sent.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Time that a sink may take over what has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As long as it likes: a person may be reading.
    Endless,
    /// [`PATIENCE`], once the peer has closed the channel and nothing else could make it take more; then it has timed out.
    AfterClose,
}

/// Carries what `source` says into the channel. An error is the source's.
pub async fn pump_out(
    to: &StreamEnd<'_>,
    source: &Stream,
    counters: &ForwardCounters,
) -> io::Result<PumpedOut> {
    loop {
        match to.pump_from(source).await? {
            Pumped::Bytes(n) => {
                counters.sent.add(n as u64);
                if n >= SHORT_TURN {
                    // One turn each: a busy source must not keep the others of this thread waiting.
                    tokio::task::yield_now().await;
                }
            }
            Pumped::AppEof => return Ok(PumpedOut::SourceEnded),
            Pumped::ChannelClosed => return Ok(PumpedOut::ChannelClosed),
        }
    }
}

/// Writes to `sink`, which is attached, what the driver could not write at once. An error is the sink's.
pub async fn pump_in(
    from: &StreamEnd<'_>,
    sink: &Stream,
    patience: Patience,
    counters: &ForwardCounters,
) -> io::Result<PumpedIn> {
    let mut is_first = true;
    loop {
        match from.receive().await? {
            Received::Data(bytes) => {
                let written = match std::mem::take(&mut is_first) {
                    true => write_at_once(sink, &bytes)?,
                    false => 0,
                };
                if written < bytes.len() {
                    write(from.channel(), sink, &bytes[written..], patience).await?;
                }
                counters.received.add(bytes.len() as u64);
                from.taken(bytes.len());
            }
            Received::Eof => return Ok(PumpedIn::Eof),
            Received::Closed(close) => return Ok(PumpedIn::Closed(close)),
            Received::Ended(ended) => return Ok(PumpedIn::Ended(ended)),
        }
    }
}

/// Carries what the peer says into a sink of its own, and closes that behind it: a socket is shut down, and of all else the
/// last owner goes, where the caller keeps none. An error is the sink's; what still comes is the caller's to take.
pub async fn pump_into(
    from: &StreamEnd<'_>,
    sink: Arc<Stream>,
    counters: &Arc<ForwardCounters>,
) -> io::Result<PumpedIn> {
    from.attach(sink.clone(), counters.clone());
    let end = pump_in(from, &sink, Patience::Endless, counters).await;
    from.detach();
    if end.is_ok() {
        // A sink that is no socket ends when it is dropped.
        let _ = sink.shutdown_write();
        sink.drained().await?;
    }
    end
}

/// Writes what an application has room for that was dialled while its data waited here; gives how many bytes. The runtime
/// has yet to hear that such a socket has room: to wait for that costs a timer and two system calls.
fn write_at_once(sink: &Stream, bytes: &[u8]) -> io::Result<usize> {
    match sink.write_at_once(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        written => written,
    }
}

/// Writes all of `bytes`.
pub(crate) async fn write(
    channel: &Channel,
    sink: &Stream,
    bytes: &[u8],
    patience: Patience,
) -> io::Result<()> {
    let mut writing = pin!(sink.write_all(bytes));
    loop {
        match timeout(PATIENCE, &mut writing).await {
            Ok(written) => return written,
            Err(_) if patience == Patience::AfterClose && channel.is_closed_by_peer() => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(_) => {}
        }
    }
}
