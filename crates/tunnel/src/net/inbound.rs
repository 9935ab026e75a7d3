//! The inbound direction of one connection: the read buffer, and the handling of its packets. Counterpart of
//! `outbound`.
//!
//! Packets are opened in place, outside all locks. Runs of channel data, stderr included, are counted against their
//! windows under one lock, and go from the read buffer straight to the applications (`delivery`). All other packets are
//! handled one by one, after the data before them, together with their events (`events`).

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use adit_proto::channels::ChannelData;
use adit_proto::error::{Error, Misbehaviour};
use adit_proto::message::number;
use adit_proto::packet::{Body, Opened, Opener};
use adit_proto::transport::OpenChange;

use super::delivery::Delivery;
use super::incoming::Owner;
use super::memory;
use super::state::{Shared, State};
use super::stream::Stream;

/// Bytes of the SSH socket that are not handled yet, and the keys that open them.
#[derive(Debug)]
pub(super) struct Inbound {
    opener: Opener,
    /// The read buffer; none while it is empty.
    buffer: Option<Box<[u8]>>,
    start: usize,
    end: usize,
    /// Opened data packets that are not counted against their windows yet.
    batch: Vec<Packet>,
    deliveries: Vec<Delivery>,
    /// True if the last packet had to wait for a decision or for the owner; others may follow it.
    is_paused: bool,
}

/// An opened packet in the read buffer.
#[derive(Debug)]
struct Packet {
    body: Body,
    /// Offset in the read buffer at which `body` begins to count.
    base: usize,
    sequence_number: u32,
}

/// Result of one read of the SSH socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// Number of bytes.
    Bytes(usize),
    /// The socket had no bytes.
    Nothing,
    /// The peer sends no more.
    Ended,
}

impl Inbound {
    /// The inbound direction after the identification lines, with the bytes that were read after the peer's.
    pub(super) fn new(early: &[u8]) -> Self {
        let buffer = (!early.is_empty()).then(|| {
            let mut buffer = memory::take_buffer();
            buffer[..early.len()].copy_from_slice(early);
            buffer
        });
        Self {
            opener: Opener::new(),
            buffer,
            start: 0,
            end: early.len(),
            batch: Vec::new(),
            deliveries: Vec::new(),
            is_paused: false,
        }
    }

    /// Reads once, after the bytes in the buffer.
    pub(super) fn read(&mut self, socket: &Stream) -> io::Result<Input> {
        let buffer = self.buffer.get_or_insert_with(memory::take_buffer);
        if self.start > 0 {
            buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        match socket.try_read(&mut buffer[self.end..]) {
            Ok(0) => Ok(Input::Ended),
            Ok(n) => {
                self.end += n;
                Ok(Input::Bytes(n))
            }
            Err(error) => {
                self.release_if_empty();
                match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(Input::Nothing),
                    _ => Err(error),
                }
            }
        }
    }

    /// Ends the pause that `handle` made. True if there was one.
    pub(super) fn resume(&mut self) -> bool {
        std::mem::take(&mut self.is_paused)
    }

    /// Opens and handles all complete packets of the read buffer, up to one that makes the rest wait.
    pub(super) fn handle(&mut self, shared: &Arc<Shared>, owner: &Owner) -> Result<(), Error> {
        let Some(mut buffer) = self.buffer.take() else {
            return Ok(());
        };
        let result = self.handle_packets(&mut buffer, shared, owner);
        self.buffer = Some(buffer);
        self.release_if_empty();
        result
    }

    fn handle_packets(
        &mut self,
        buffer: &mut [u8],
        shared: &Arc<Shared>,
        owner: &Owner,
    ) -> Result<(), Error> {
        // A decision that was made meanwhile may change the keys or the compression of the next packet.
        self.change_opener(&mut shared.state())?;
        loop {
            if !owner.has_room() {
                self.is_paused = true;
                return self.deliver(buffer, shared);
            }
            let Some(packet) = self.open_next(buffer)? else {
                return self.deliver(buffer, shared);
            };
            shared.counters.packets_received.add(1);
            if packet.is_channel_data(buffer) {
                let is_inflated = matches!(packet.body, Body::Inflated(_));
                self.batch.push(packet);
                // Inflated data is counted before more is inflated: few bytes may become many.
                if is_inflated {
                    self.deliver(buffer, shared)?;
                }
                continue;
            }
            // Control messages are handled after the data before them.
            self.deliver(buffer, shared)?;
            if !self.handle_control(&packet, buffer, shared, owner)? {
                self.is_paused = true;
                return Ok(());
            }
        }
    }

    /// Opens the next packet in place; none if it is incomplete.
    fn open_next(&mut self, buffer: &mut [u8]) -> Result<Option<Packet>, Error> {
        let opened = self
            .opener
            .open(&mut buffer[self.start..self.end])
            .map_err(|e| Misbehaviour::Packet(e.to_string()))?;
        let Opened::Packet {
            body,
            consumed,
            sequence_number,
        } = opened
        else {
            return Ok(None);
        };
        let base = self.start;
        self.start += consumed;
        Ok(Some(Packet {
            body,
            base,
            sequence_number,
        }))
    }

    /// Installs keys and compression for the packets that follow.
    fn change_opener(&mut self, state: &mut State) -> Result<(), Error> {
        while let Some(change) = state.connection.poll_open_change() {
            match change {
                OpenChange::Keys { keys, reset } => self
                    .opener
                    .install(keys, reset)
                    .map_err(|e| Error::Internal(e.to_string()))?,
                OpenChange::StartDecompression => self.opener.start_decompression(),
            }
        }
        Ok(())
    }

    /// Handles a packet that is not channel data. True if the next may be opened.
    fn handle_control(
        &mut self,
        packet: &Packet,
        buffer: &[u8],
        shared: &Arc<Shared>,
        owner: &Owner,
    ) -> Result<bool, Error> {
        let mut state = shared.state();
        let now = Instant::now();
        state
            .connection
            .handle_packet(packet.payload(buffer), packet.sequence_number, now)?;
        while let Some(event) = state.connection.poll_event() {
            state.handle_event(event, shared, owner)?;
        }
        self.change_opener(&mut state)?;
        state.opened_usage = self.opener.usage();
        Ok(state.connection.wants_input())
    }

    /// Counts the collected data packets, writes them to their applications, and credits the bytes that were taken.
    fn deliver(&mut self, buffer: &[u8], shared: &Shared) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.book(buffer, shared)?;
        for delivery in self.deliveries.drain(..) {
            delivery.carry_out(shared, buffer);
        }
        Ok(())
    }

    /// Checks windows, and sorts data into direct deliveries and queues, under the lock.
    fn book(&mut self, buffer: &[u8], shared: &Shared) -> Result<(), Error> {
        let mut state = shared.state();
        let now = Instant::now();
        state.opened_usage = self.opener.usage();
        for packet in self.batch.drain(..) {
            let payload = packet.payload(buffer);
            let arrived = state
                .connection
                .handle_packet(payload, packet.sequence_number, now)?;
            let Some(ChannelData { id, stream, bytes }) = arrived else {
                continue;
            };
            let Some(io) = state.io(id) else { continue };
            let Some(io) = io.stream(stream) else {
                // A stream without a reader: its bytes are credited.
                let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                state.connection.channels().taken(id, len, now);
                continue;
            };
            match (&io.sink, packet.data_range(bytes.len())) {
                (Some(sink), Some(range)) if io.queue.is_clear() => {
                    match self.deliveries.last_mut() {
                        Some(last) if last.is_for(id, stream) => last.push(range),
                        _ => self
                            .deliveries
                            .push(Delivery::new((id, stream), sink, range)),
                    }
                }
                _ => {
                    io.queue.push(bytes);
                    io.wake_reader();
                }
            }
        }
        Ok(())
    }

    fn release_if_empty(&mut self) {
        if self.start == self.end {
            self.release();
        }
    }

    fn release(&mut self) {
        (self.start, self.end) = (0, 0);
        if let Some(buffer) = self.buffer.take() {
            memory::give_back(buffer);
        }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.release();
    }
}

impl Packet {
    fn payload<'a>(&'a self, buffer: &'a [u8]) -> &'a [u8] {
        self.body.as_slice(&buffer[self.base..])
    }

    fn is_channel_data(&self, buffer: &[u8]) -> bool {
        matches!(
            self.payload(buffer).first(),
            Some(&(number::CHANNEL_DATA | number::CHANNEL_EXTENDED_DATA))
        )
    }

    /// Range of the last `len` bytes of the payload in the read buffer; none for an inflated packet, which is
    /// elsewhere.
    fn data_range(&self, len: usize) -> Option<Range<usize>> {
        match &self.body {
            Body::InPlace(range) => {
                let end = self.base + range.end;
                Some(end - len..end)
            }
            Body::Inflated(_) => None,
        }
    }
}
