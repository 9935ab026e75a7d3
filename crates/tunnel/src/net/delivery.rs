//! Delivery: consecutive data of one stream of a channel, from the read buffer straight to the application's socket.
//!
//! Bytes that do not fit into the application's socket are copied to the channel's queue, which the receive window
//! bounds, and the relay continues from there.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use adit_proto::channels::{ChannelId, ChannelStream};

use super::state::{Shared, State};
use super::stream::Stream;
use crate::status::ForwardCounters;

/// Slices of one write to an application.
const MAX_SLICES: usize = 64;

/// Consecutive data of one stream, as ranges of the read buffer.
#[derive(Debug)]
pub(super) struct Delivery {
    id: ChannelId,
    stream: ChannelStream,
    sink: Arc<Stream>,
    counters: Arc<ForwardCounters>,
    slices: Vec<Range<usize>>,
}

impl Delivery {
    /// A delivery that begins with the data at `range`.
    pub(super) fn new(
        (id, stream): (ChannelId, ChannelStream),
        (sink, counters): &(Arc<Stream>, Arc<ForwardCounters>),
        range: Range<usize>,
    ) -> Self {
        Self {
            id,
            stream,
            sink: sink.clone(),
            counters: counters.clone(),
            slices: vec![range],
        }
    }

    /// True if data of this stream of channel `id` may be appended.
    pub(super) fn is_for(&self, id: ChannelId, stream: ChannelStream) -> bool {
        self.id == id && self.stream == stream
    }

    /// Appends the data at `range`.
    pub(super) fn push(&mut self, range: Range<usize>) {
        self.slices.push(range);
    }

    /// Writes as much as fits, credits that, and queues the rest.
    pub(super) fn carry_out(self, shared: &Shared, buffer: &[u8]) {
        // An earlier piece of this batch may be in the queue: later ones must follow it.
        let written = match self.would_overtake(shared) {
            false => write_slices(&self.sink, buffer, &self.slices),
            true => Ok(0),
        };
        let mut state = shared.state();
        match written {
            Ok(taken) => self.credit(&mut state, buffer, taken),
            Err(error) => self.fail(&mut state, &error),
        }
    }

    /// True if data of the same stream waits in its queue.
    fn would_overtake(&self, shared: &Shared) -> bool {
        let mut state = shared.state();
        let io = state.stream(self.id, self.stream);
        io.is_some_and(|io| !io.queue.is_clear())
    }

    /// Credits the data that the application took, and queues the rest.
    fn credit(self, state: &mut State, buffer: &[u8], taken: usize) {
        self.counters.received.add(taken as u64);
        credit(state, self.id, taken);
        let Some(io) = state.stream(self.id, self.stream) else {
            return;
        };
        let mut skip = taken;
        for range in self.slices {
            let skipped = skip.min(range.len());
            skip -= skipped;
            if skipped < range.len() {
                io.queue.push(&buffer[range.start + skipped..range.end]);
            }
        }
        if !io.queue.is_empty() {
            io.wake_reader();
        }
    }

    /// Reports the application's error to the relay. The data has no reader any more: the peer may send as much again.
    fn fail(self, state: &mut State, error: &io::Error) {
        if let Some(io) = state.stream(self.id, self.stream) {
            io.sink_error = Some(error.kind());
            io.wake_all();
        }
        let lost = self.slices.iter().map(Range::len).sum();
        credit(state, self.id, lost);
    }
}

fn credit(state: &mut State, id: ChannelId, bytes: usize) {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let channels = state.connection.channels();
    channels.taken(id, bytes, Instant::now());
}

/// Writes as much as fits, without waiting.
fn write_slices(sink: &Stream, buffer: &[u8], slices: &[Range<usize>]) -> io::Result<usize> {
    let mut total = 0;
    for group in slices.chunks(MAX_SLICES) {
        let mut vector = [IoSlice::new(&[]); MAX_SLICES];
        for (slot, range) in vector.iter_mut().zip(group) {
            *slot = IoSlice::new(&buffer[range.clone()]);
        }
        let wanted: usize = group.iter().map(Range::len).sum();
        match sink.try_write_vectored(&vector[..group.len()]) {
            Ok(n) => {
                total += n;
                if n < wanted {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}
