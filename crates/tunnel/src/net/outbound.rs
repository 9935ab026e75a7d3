//! The outbound direction of one connection: packets are sealed one after the other in one buffer, and many are written
//! at a time.
//!
//! A task that sends locks this and seals into the buffer. A long turn is written at once, and so is a short one that
//! answers the peer while no other channel sends. Other short turns are left to the driver, which runs after all tasks
//! that are ready now, so that their data shares one write.
//!
//! Data is accepted only while the socket accepts writes, so the buffer holds one burst at most. Tasks that come too
//! early wait in line, and are woken one at a time.

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::task::Waker;

use adit_proto::channels::{ChannelId, ChannelStream, Reserved};
use adit_proto::connection::Connection;
use adit_proto::message::connection::{
    DATA_HEADER_LEN, EXTENDED_DATA_HEADER_LEN, write_data_header, write_stderr_header,
};
use adit_proto::packet::{HEADER_LEN, MAX_PACKET_LEN, SealError, Sealer, Usage};
use adit_proto::transport::Transmit;
use aws_lc_rs::rand;

use super::memory::{self, BUFFER_LEN};
use super::stream::Stream;

/// Data bytes of one turn: the whole buffer, because each turn wakes the next process once.
const TURN: u32 = (BUFFER_LEN - CONTROL_ROOM) as u32;
/// The same while others wait, or had a turn just before.
const TURN_SHARED: u32 = 128 << 10;
/// Number of turns in a row of one channel while others have turns, too. tokio runs tasks that yield in reverse order
/// each time, so the last of a round is the first of the next.
const TURNS_AMONG_OTHERS: u32 = 2;
/// A turn with fewer data bytes is not worth a write of its own, and has probably emptied the application's socket.
/// After a longer one there may be more data at once.
pub(super) const SHORT_TURN: usize = 16 << 10;
/// Bytes that are collected before the driver runs. Tasks with more data then wait for it.
const GATHERED: usize = 64 << 10;
/// Limit of the packets of one turn, for peers that accept only small ones.
const MAX_PACKETS: usize = 64;
/// Room in the buffer that data leaves for control messages, and for the overhead of packets.
const CONTROL_ROOM: usize = 128 << 10;
/// Length of the longest sealed packet: `packet_length` before it, and the tag after it.
const LONGEST_PACKET: usize = 4 + MAX_PACKET_LEN + 64;
/// A channel's place in the line; lower places are served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

/// Sealed bytes that the socket has not accepted yet, and the key that seals them.
#[derive(Debug)]
pub(super) struct Outbound {
    sealer: Sealer,
    buffer: Option<Box<[u8]>>,
    start: usize,
    end: usize,
    /// True if the socket did not accept everything at the last attempt.
    is_blocked: bool,
    /// Senders that wait for the socket, in order of arrival.
    line: BTreeMap<Place, Waker>,
    next_place: Place,
    /// The channel that sent data last, and its number of turns in a row.
    last_speaker: Option<ChannelId>,
    turns_in_a_row: u32,
    /// Bytes and packets that had come from the peer at that turn.
    heard: Usage,
    /// True if the present turn answers the peer, while no other channel sends.
    is_answer: bool,
    /// Turns that wait for a write, and those that shared the last one.
    gathered: u32,
    last_gathered: u32,
    scratch: Vec<u8>,
}

impl Outbound {
    pub(super) fn new() -> Self {
        Self {
            sealer: Sealer::new(),
            buffer: None,
            start: 0,
            end: 0,
            is_blocked: false,
            line: BTreeMap::new(),
            next_place: Place(0),
            last_speaker: None,
            turns_in_a_row: 0,
            heard: Usage::default(),
            is_answer: false,
            gathered: 0,
            last_gathered: 0,
            scratch: Vec::new(),
        }
    }

    /// Number of bytes that wait for the socket.
    pub(super) fn pending(&self) -> usize {
        self.end - self.start
    }

    pub(super) fn usage(&self) -> Usage {
        self.sealer.usage()
    }

    /// True while data may be appended.
    pub(super) fn takes_data(&self) -> bool {
        !self.is_blocked && self.pending() < GATHERED
    }

    /// Begins a turn of `id`, and returns the data bytes that it may take: more if no other channel sends.
    ///
    /// `heard` counts the peer's packets so far. If it has grown since the turn before, the peer probably waits for
    /// this turn.
    pub(super) fn begin_turn(&mut self, id: ChannelId, heard: Usage) -> u32 {
        self.is_answer = self.heard != heard && self.pending() == 0 && self.last_gathered <= 1;
        self.heard = heard;
        if self.last_speaker.replace(id) != Some(id) {
            self.turns_in_a_row = 0;
        }
        self.turns_in_a_row = self.turns_in_a_row.saturating_add(1);
        match self.turns_in_a_row > TURNS_AMONG_OTHERS && self.line.is_empty() {
            true => TURN - self.pending().min(GATHERED) as u32,
            false => TURN_SHARED,
        }
    }

    /// Ends a turn that took `sent` data bytes. True if it should write now; otherwise the driver will.
    pub(super) fn end_turn(&mut self, sent: usize) -> bool {
        self.gathered += 1;
        self.is_answer || sent >= SHORT_TURN || !self.takes_data()
    }

    /// Waits in line until data may be sent. A task that is in line already keeps its `place`.
    pub(super) fn wait(&mut self, place: &mut Option<Place>, waker: &Waker) {
        if let Some(known) = place.and_then(|place| self.line.get_mut(&place)) {
            known.clone_from(waker);
            return;
        }
        self.line.insert(self.next_place, waker.clone());
        *place = Some(self.next_place);
        self.next_place.0 += 1;
    }

    /// Leaves the line after a wake-up from elsewhere: the place would otherwise consume a later one.
    pub(super) fn leave(&mut self, place: &mut Option<Place>) {
        if let Some(place) = place.take() {
            self.line.remove(&place);
        }
    }

    /// Wakes the first in line, if data may be sent now.
    pub(super) fn wake_next(&mut self) {
        if self.takes_data()
            && let Some((_, waker)) = self.line.pop_first()
        {
            waker.wake();
        }
    }

    /// Wakes all, because the connection has ended.
    pub(super) fn wake_all(&mut self) {
        std::mem::take(&mut self.line)
            .into_values()
            .for_each(Waker::wake);
    }

    /// Seals the connection's control messages, while any message would fit; the rest follows after the write.
    pub(super) fn seal_control(&mut self, connection: &mut Connection) -> io::Result<()> {
        while self.pending() + LONGEST_PACKET <= BUFFER_LEN
            && let Some(transmit) = connection.poll_transmit()
        {
            match transmit {
                Transmit::Packet(payload) => self.seal_message(&payload)?,
                Transmit::Keys { keys, reset } => {
                    let mut padding = [0; 256];
                    rand::fill(&mut padding).map_err(|_| io::Error::other("no random bytes"))?;
                    self.sealer
                        .install(keys, padding, reset)
                        .map_err(io::Error::other)?;
                }
                Transmit::StartCompression => self.sealer.start_compression(),
            }
        }
        Ok(())
    }

    pub(super) fn seal_message(&mut self, payload: &[u8]) -> io::Result<()> {
        self.scratch.clear();
        self.sealer
            .seal_message(payload, &mut self.scratch)
            .map_err(sealing)?;
        let len = self.scratch.len();
        let at = self.make_room(len);
        let buffer = self.buffer.get_or_insert_with(memory::take_buffer);
        let Some(room) = buffer.get_mut(at..at + len) else {
            return Err(io::Error::other("no room for a sealed packet"));
        };
        room.copy_from_slice(&self.scratch);
        self.end = at + len;
        Ok(())
    }

    /// Makes room for `len` more bytes at the end, which the bounds above guarantee; returns its offset.
    fn make_room(&mut self, len: usize) -> usize {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end + len > BUFFER_LEN {
            if let Some(buffer) = &mut self.buffer {
                buffer.copy_within(self.start..self.end, 0);
            }
            (self.start, self.end) = (0, self.end - self.start);
        }
        self.end
    }

    /// Reads from the application straight into packets, and seals them in place.
    ///
    /// Returns the number of data bytes; 0 is the application's EOF. The inner error is that of the application.
    pub(super) fn seal_from(
        &mut self,
        app: &Stream,
        reserved: Reserved,
    ) -> io::Result<io::Result<usize>> {
        if self.sealer.is_compressing() {
            return self.seal_compressed_from(app, reserved);
        }
        let layout = Layout {
            header_len: header_len(reserved.stream),
            packet_data: reserved.max_packet as usize,
        };
        let stride = self.sealer.sealed_len(layout.payload_len());
        let at = self.make_room(reserved.bytes as usize);
        let buffer = self.buffer.get_or_insert_with(memory::take_buffer);
        let region = &mut buffer[at..];
        let wanted = reserved.bytes as usize;
        let read = read_into_packets(app, region, stride, layout, wanted);
        if let Ok(read) = read {
            let mut done = 0;
            for packet in region.chunks_mut(stride) {
                if done == read {
                    break;
                }
                let len = layout.packet_data.min(read - done);
                let sealed = seal_data(&mut self.sealer, packet, reserved, len).map_err(sealing)?;
                self.end += sealed;
                done += len;
            }
        }
        self.release_if_empty();
        Ok(read)
    }

    /// The same with compression, which cannot work in place: the packet's length is known only afterwards.
    fn seal_compressed_from(
        &mut self,
        app: &Stream,
        reserved: Reserved,
    ) -> io::Result<io::Result<usize>> {
        let header_len = header_len(reserved.stream);
        let mut payload = vec![0; header_len + reserved.max_packet.min(reserved.bytes) as usize];
        let read = match app.try_read(&mut payload[header_len..]) {
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        payload.truncate(header_len + read);
        if read > 0 {
            write_header(&mut payload, reserved, read);
            self.seal_message(&payload)?;
        }
        Ok(Ok(read))
    }

    /// Seals at most one packet of bytes that are in memory. Returns their number.
    pub(super) fn seal_bytes(&mut self, bytes: &[u8], reserved: Reserved) -> io::Result<usize> {
        let len = bytes
            .len()
            .min(reserved.bytes as usize)
            .min(reserved.max_packet as usize);
        let header_len = header_len(reserved.stream);
        let mut payload = vec![0; header_len + len];
        payload[header_len..].copy_from_slice(&bytes[..len]);
        write_header(&mut payload, reserved, len);
        self.seal_message(&payload)?;
        Ok(len)
    }

    /// Writes as much as the socket accepts.
    pub(super) fn write(&mut self, socket: &Stream) -> io::Result<()> {
        self.is_blocked = false;
        if self.gathered > 0 {
            self.last_gathered = std::mem::take(&mut self.gathered);
        }
        while self.start < self.end {
            let Some(buffer) = &self.buffer else { break };
            match socket.try_write(&buffer[self.start..self.end]) {
                Ok(n) => self.start += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.release_if_empty();
        Ok(())
    }

    fn release_if_empty(&mut self) {
        if self.pending() == 0 {
            (self.start, self.end) = (0, 0);
            if let Some(buffer) = self.buffer.take() {
                memory::give_back(buffer);
            }
        }
    }
}

/// Layout of one turn's data in packets.
#[derive(Debug, Clone, Copy)]
struct Layout {
    /// Length of the payload before the data.
    header_len: usize,
    /// Number of data bytes in a full packet.
    packet_data: usize,
}

impl Layout {
    fn payload_len(self) -> usize {
        self.header_len + self.packet_data
    }
}

/// Fills the data parts of consecutive packets of `stride` bytes with one read.
fn read_into_packets(
    app: &Stream,
    region: &mut [u8],
    stride: usize,
    layout: Layout,
    wanted: usize,
) -> io::Result<usize> {
    let mut slices: [IoSliceMut<'_>; MAX_PACKETS] =
        std::array::from_fn(|_| IoSliceMut::new(&mut []));
    let data_offset = HEADER_LEN + layout.header_len;
    let mut left = wanted;
    let mut used = 0;
    for (slice, packet) in slices.iter_mut().zip(region.chunks_mut(stride)) {
        let len = left.min(layout.packet_data);
        if len == 0 || packet.len() < stride {
            break;
        }
        *slice = IoSliceMut::new(&mut packet[data_offset..data_offset + len]);
        left -= len;
        used += 1;
    }
    app.try_read_vectored(&mut slices[..used])
}

/// Seals the data in `packet`, in place; returns the length of the sealed packet.
fn seal_data(
    sealer: &mut Sealer,
    packet: &mut [u8],
    reserved: Reserved,
    len: usize,
) -> Result<usize, SealError> {
    let payload_len = header_len(reserved.stream) + len;
    write_header(&mut packet[HEADER_LEN..], reserved, len);
    let sealed = sealer.sealed_len(payload_len);
    sealer.seal(&mut packet[..sealed], payload_len)?;
    Ok(sealed)
}

/// Length of a payload before the data.
fn header_len(stream: ChannelStream) -> usize {
    match stream {
        ChannelStream::Data => DATA_HEADER_LEN,
        ChannelStream::Stderr => EXTENDED_DATA_HEADER_LEN,
    }
}

fn write_header(payload: &mut [u8], reserved: Reserved, len: usize) {
    let recipient = reserved.recipient_channel;
    let len = u32::try_from(len).expect("a packet is shorter than 4 GiB");
    match reserved.stream {
        ChannelStream::Data => {
            if let Some(header) = payload.first_chunk_mut() {
                write_data_header(header, recipient, len);
            }
        }
        ChannelStream::Stderr => {
            if let Some(header) = payload.first_chunk_mut() {
                write_stderr_header(header, recipient, len);
            }
        }
    }
}

fn sealing(error: SealError) -> io::Error {
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data bytes that the last of `turns` may take.
    fn last_turn(turns: &[u32]) -> u32 {
        let mut outbound = Outbound::new();
        turns.iter().fold(0, |_, &id| {
            outbound.begin_turn(ChannelId(id), Usage::default())
        })
    }

    #[test]
    fn long_turns_are_for_a_channel_that_sends_alone() {
        assert_eq!(last_turn(&[1, 1, 1]), TURN);
        assert_eq!(last_turn(&[1, 2, 3, 3, 2, 1, 1]), TURN_SHARED);
        assert_eq!(last_turn(&[1, 1, 1, 2, 1]), TURN_SHARED);
    }
}
