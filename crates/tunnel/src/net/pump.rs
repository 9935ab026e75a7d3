//! Pumps: each copies one direction of one stream of a channel, between the channel and a source or sink at our end.
//!
//! ```text
//!   source ──pump_out──▶ channel        until the source's end: the caller says EOF, once every stream has said all
//!   channel ──pump_in──▶ sink           until the peer's EOF, its CLOSE, or the end of the connection
//! ```
//!
//! Only bytes that are written to the sink become credit.

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
    /// The source has ended.
    SourceEnded,
    /// The channel accepts no more data.
    ChannelClosed,
}

/// The end of `pump_in`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PumpedIn {
    /// The peer sends no more; its other direction may be open.
    Eof,
    /// The peer closed the channel.
    Closed(PeerClose),
    /// The connection has ended.
    Ended(Box<Ended>),
}

/// Time limit for a sink that does not read.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Time that a sink may take to read arrived data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Unlimited: a person may be reading.
    Endless,
    /// 120 s after the peer's CLOSE, when nothing else could make it read; after that it has timed out.
    AfterClose,
}

/// Copies from `source` to the channel. An error is that of the source.
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
                    // One read each turn: a busy source must not starve the others of this thread.
                    tokio::task::yield_now().await;
                }
            }
            Pumped::AppEof => return Ok(PumpedOut::SourceEnded),
            Pumped::ChannelClosed => return Ok(PumpedOut::ChannelClosed),
        }
    }
}

/// Writes to `sink`, which is attached, the data that the driver could not write at once. An error is that of the sink.
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
            Received::Ended(ended) => return Ok(PumpedIn::Ended(Box::new(ended))),
        }
    }
}

/// Copies from the peer to a sink, and then closes that: a socket is shut down, and another descriptor is dropped, if
/// the caller keeps no clone. An error is that of the sink; the caller then handles data that still arrives.
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

/// Writes as much as fits to a target that was dialled while data waited here; returns the number of bytes. The runtime
/// does not know yet that the new socket is writable: waiting for it costs a timer and two system calls.
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

#[cfg(test)]
mod tests;
