//! The task that runs one connection: it reads the SSH socket, keeps the timers and flushes what waits.
//!
//! It awaits its socket, its timer and its wake-up, and nothing else: never a consumer, a dial or a policy. Data of
//! a channel goes from the read buffer straight to the application's socket; what that has no room for is copied to
//! the channel's queue, which the receive window bounds, and the relay carries on from there.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use adit_proto::channels::{ChannelData, ChannelEvent, ChannelId, PeerClose};
use adit_proto::connection::{Connection, Event};
use adit_proto::error::{Error, Misbehaviour};
use adit_proto::message::connection::{OpenFailure, OpenFailureReason};
use adit_proto::message::number;
use adit_proto::packet::{Body, Opened, Opener};
use adit_proto::transport::OpenChange;
use log::debug;
use tokio::sync::mpsc;

use super::agreed;
use super::channel::Channel;
use super::connection::{
    ChannelAsked, ChannelIo, Ended, Handle, Incoming, Refusal, Shared, SocketState,
};
use super::memory;
use super::stream::Stream;
use crate::status::ForwardCounters;

/// Requests of the peer that wait for the owner. While there is no room for what one packet may bring, nothing more is
/// read: a burst waits, as it does where a window is full.
const INCOMING: usize = 1024;
const OF_ONE_PACKET: usize = 8;
/// Places in the owner's queue that news which nobody waits for leaves free.
const FOR_REQUESTS: usize = INCOMING / 2;
/// Bytes of one read that take so long to handle that others should have a turn.
const MUCH: usize = 64 << 10;
/// Slices of one write to an application.
const MAX_SLICES: usize = 64;

/// Begins to run a connection whose identification lines have been exchanged.
///
/// `early` is what was read behind the peer's identification. The future is the driver: spawn it.
pub fn start(
    socket: Stream,
    connection: Connection,
    early: &[u8],
) -> (
    Handle,
    mpsc::Receiver<Incoming>,
    impl Future<Output = Ended> + use<>,
) {
    let shared = Shared::new(socket, connection);
    let (sender, receiver) = mpsc::channel(INCOMING);
    let mut input = None;
    if !early.is_empty() {
        let mut bytes = memory::take_buffer();
        bytes[..early.len()].copy_from_slice(early);
        input = Some(bytes);
    }
    let driver = Driver {
        shared: shared.clone(),
        opener: Opener::new(),
        input,
        start: 0,
        end: early.len(),
        batch: Vec::new(),
        deliveries: Vec::new(),
        incoming: sender,
        paused: false,
    };
    (Handle(shared), receiver, driver.run())
}

struct Driver {
    shared: Arc<Shared>,
    opener: Opener,
    /// The read buffer; none while there is nothing in it.
    input: Option<Box<[u8]>>,
    start: usize,
    end: usize,
    /// Opened data packets that are not handled yet.
    batch: Vec<Packet>,
    deliveries: Vec<Delivery>,
    incoming: mpsc::Sender<Incoming>,
    /// A verdict, or the owner, was awaited when the last packet was handled; others may lie behind it.
    paused: bool,
}

/// An opened packet in the read buffer.
struct Packet {
    body: Body,
    /// Where `body` is counted from.
    base: usize,
    sequence_number: u32,
}

/// Consecutive data of one channel, as places in the read buffer.
struct Delivery {
    id: ChannelId,
    sink: Arc<Stream>,
    counters: Arc<ForwardCounters>,
    slices: Vec<Range<usize>>,
}

/// What the driver woke up for.
enum Turn {
    Readable,
    /// Room to write, a timer, a wake-up: the next round sees to each of them.
    Other,
}

impl Driver {
    async fn run(mut self) -> Ended {
        let ended = match self.serve().await {
            Ok(ended) => ended,
            Err(Ended::Protocol(error)) => {
                self.say_why(&error);
                Ended::Protocol(error)
            }
            Err(ended) => ended,
        };
        self.shared.end(ended);
        // Relays may go on for a moment, and hold the socket: the peer need not wait for them.
        let _ = self.shared.socket.shutdown_write();
        if let Some(input) = self.input.take() {
            memory::give_back(input);
        }
        Handle(self.shared.clone()).why_ended()
    }

    async fn serve(&mut self) -> Result<Ended, Ended> {
        self.process()?;
        loop {
            let socket_state = self.shared.flush().map_err(broken)?;
            let (timeout, wants_input) = {
                let mut state = self.shared.state();
                if let Some(ended) = &state.ended {
                    return Ok(ended.clone());
                }
                (
                    self.tick(&mut state)?,
                    state.connection.wants_input() && self.owner_has_room(),
                )
            };
            if wants_input && std::mem::take(&mut self.paused) {
                self.process()?;
                continue;
            }
            match self
                .next_turn(socket_state, timeout, wants_input)
                .await
                .map_err(broken)?
            {
                Turn::Readable => match self.read()? {
                    Input::Ended => return Ok(Ended::ClosedByPeer),
                    // One read each: a busy peer must not keep the relays of this thread waiting.
                    Input::Much => tokio::task::yield_now().await,
                    Input::Little => {}
                },
                Turn::Other => {}
            }
        }
    }

    /// Does what time asks for, also while there is always something to read; gives when it will ask again.
    fn tick(&self, state: &mut super::connection::State) -> Result<Option<Instant>, Ended> {
        let timeout = state.connection.next_timeout();
        let now = Instant::now();
        if timeout.is_none_or(|timeout| timeout > now) {
            return Ok(timeout);
        }
        state
            .connection
            .handle_timeout(now)
            .map_err(Ended::Protocol)?;
        self.shared.kick();
        Ok(state.connection.next_timeout())
    }

    async fn next_turn(
        &self,
        socket_state: SocketState,
        timeout: Option<Instant>,
        wants_input: bool,
    ) -> io::Result<Turn> {
        let shared = &self.shared;
        tokio::select! {
            biased;
            ready = shared.socket.readable(), if wants_input => ready.map(|()| Turn::Readable),
            ready = shared.socket.writable(), if socket_state == SocketState::Full => ready.map(|()| Turn::Other),
            () = shared.wake.notified() => Ok(Turn::Other),
            _ = self.incoming.reserve_many(OF_ONE_PACKET), if !self.owner_has_room() => Ok(Turn::Other),
            () = sleep_until(timeout), if timeout.is_some() => Ok(Turn::Other),
        }
    }

    /// True while the owner's queue takes whatever one packet brings. An owner that has gone takes nothing, and holds up nobody.
    fn owner_has_room(&self) -> bool {
        self.incoming.capacity() >= OF_ONE_PACKET || self.incoming.is_closed()
    }

    fn read(&mut self) -> Result<Input, Ended> {
        let input = self.input.get_or_insert_with(memory::take_buffer);
        if self.start > 0 {
            input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let mut outcome = Input::Little;
        let result = self.shared.socket.try_read(&mut input[self.end..]);
        match result {
            Ok(0) => return Ok(Input::Ended),
            Ok(n) => {
                if n >= MUCH {
                    outcome = Input::Much;
                }
                self.end += n;
                self.shared.counters.received.add(n as u64);
                self.process()?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(error)),
        }
        if self.start == self.end
            && let Some(input) = self.input.take()
        {
            memory::give_back(input);
            (self.start, self.end) = (0, 0);
        }
        Ok(outcome)
    }

    /// Opens and handles every whole packet of the read buffer.
    fn process(&mut self) -> Result<(), Ended> {
        let Some(mut input) = self.input.take() else {
            return Ok(());
        };
        let result = self.process_packets(&mut input);
        self.input = Some(input);
        result.map_err(Ended::Protocol)
    }

    fn process_packets(&mut self, input: &mut [u8]) -> Result<(), Error> {
        // A verdict that was given meanwhile may have changed how the next packet is to be opened.
        let shared = self.shared.clone();
        self.change_opener(&mut shared.state())?;
        loop {
            if !self.owner_has_room() {
                self.paused = true;
                return self.deliver(input);
            }
            let opened = self
                .opener
                .open(&mut input[self.start..self.end])
                .map_err(|e| Misbehaviour::Packet(e.to_string()))?;
            let Opened::Packet {
                body,
                consumed,
                sequence_number,
            } = opened
            else {
                return self.deliver(input);
            };
            let packet = Packet {
                body,
                base: self.start,
                sequence_number,
            };
            self.start += consumed;
            self.shared.counters.packets_received.add(1);
            if packet.payload(input).first() == Some(&number::CHANNEL_DATA) {
                let is_inflated = matches!(packet.body, Body::Inflated(_));
                self.batch.push(packet);
                // What a few bytes inflate to is checked against its window before the next may inflate.
                if is_inflated {
                    self.deliver(input)?;
                }
                continue;
            }
            // Control messages are handled behind the data that came before them.
            self.deliver(input)?;
            if !self.handle_control(packet.payload(input), packet.sequence_number)? {
                self.paused = true;
                return Ok(());
            }
        }
    }

    /// Handles one packet that is not channel data; tells whether the next may be opened.
    fn handle_control(&mut self, payload: &[u8], sequence_number: u32) -> Result<bool, Error> {
        let shared = self.shared.clone();
        let mut state = shared.state();
        let now = Instant::now();
        let stderr = state
            .connection
            .handle_packet(payload, sequence_number, now)?;
        if let Some(data) = stderr {
            // Nobody takes it: the window that it used is given back.
            let len = u32::try_from(data.bytes.len()).unwrap_or(u32::MAX);
            state.connection.channels().taken(data.id, len, now);
        }
        while let Some(event) = state.connection.poll_event() {
            self.handle_event(&shared, &mut state, event)?;
        }
        self.change_opener(&mut state)?;
        state.opened_usage = self.opener.usage();
        Ok(state.connection.wants_input())
    }

    /// Keys and compression for the packets that follow.
    fn change_opener(&mut self, state: &mut super::connection::State) -> Result<(), Error> {
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

    fn handle_event(
        &mut self,
        shared: &Arc<Shared>,
        state: &mut super::connection::State,
        event: Event,
    ) -> Result<(), Error> {
        let incoming = match event {
            Event::Channel(event) => {
                self.handle_channel_event(shared, state, event);
                return Ok(());
            }
            Event::GlobalReply(reply) => match state.replies.pop_front() {
                Some(None) => Incoming::Answer(reply),
                Some(Some(sender)) => {
                    // Whoever asked may have gone.
                    let _ = sender.send(reply);
                    return Ok(());
                }
                None => return Ok(()),
            },
            Event::HostKey(key) => Incoming::HostKey(key),
            Event::KeysChanged => {
                shared.counters.key_exchanges.add(1);
                agreed::log(state.connection.transport());
                debug!("NEWKEYS sent, NEWKEYS received");
                Incoming::KeysChanged
            }
            Event::Auth(event) => Incoming::Auth(event),
            Event::AuthRequest(request) => Incoming::AuthRequest(request),
            Event::Global {
                request,
                want_reply,
            } => Incoming::Global {
                request,
                want_reply,
            },
            Event::Debug(text) => Incoming::Debug(text),
        };
        let is_optional = matches!(incoming, Incoming::KeysChanged | Incoming::Debug(_));
        if is_optional && self.incoming.capacity() < FOR_REQUESTS {
            return Ok(());
        }
        match self.incoming.try_send(incoming) {
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(Misbehaviour::AsksFasterThanItReads.into())
            }
            _ => Ok(()),
        }
    }

    fn handle_channel_event(
        &mut self,
        shared: &Arc<Shared>,
        state: &mut super::connection::State,
        event: ChannelEvent,
    ) {
        match event {
            ChannelEvent::Asked { id, channel_type } => {
                let Ok(place) = self.incoming.try_reserve() else {
                    return refuse(&mut state.connection, id);
                };
                let token = state.insert_io(id, ChannelIo::default());
                let channel = Channel::new(shared.clone(), id, token);
                place.send(Incoming::Open(ChannelAsked::new(channel_type, channel)));
            }
            ChannelEvent::Opened(id) => {
                if let Some(io) = state.io(id) {
                    if let Some(sender) = io.opened.take() {
                        // Whoever asked may have gone.
                        let _ = sender.send(Ok(()));
                    }
                    io.wake_sender();
                }
            }
            ChannelEvent::Refused { id, failure, lost } => {
                if let Some(io) = state.io(id) {
                    if let Some(sender) = io.opened.take() {
                        let _ = sender.send(Err(Refusal { failure, lost }));
                    }
                    io.closed = Some(PeerClose::Reset);
                    io.wake_all();
                }
            }
            ChannelEvent::Writable(id) => {
                if let Some(io) = state.io(id) {
                    io.wake_sender();
                }
            }
            // Only channels whose owner takes requests have any.
            ChannelEvent::Request { .. } | ChannelEvent::Reply { .. } => {}
            ChannelEvent::Eof(id) => {
                if let Some(io) = state.io(id) {
                    io.eof = true;
                    io.wake_reader();
                }
            }
            ChannelEvent::Closed { id, close } => {
                if let Some(io) = state.io(id) {
                    io.closed = Some(close);
                    io.wake_all();
                }
            }
        }
    }

    /// Books the gathered data packets, writes them to their applications, and credits what those took.
    fn deliver(&mut self, input: &[u8]) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.book(input)?;
        for delivery in self.deliveries.drain(..) {
            // An earlier piece of this batch may have been left over: what follows goes behind it.
            let written = match delivery.may_overtake(&self.shared) {
                false => write_slices(&delivery.sink, input, &delivery.slices),
                true => Ok(0),
            };
            delivery.settle(&self.shared, input, written);
        }
        Ok(())
    }

    /// Under the lock: checks windows, and sorts data into direct deliveries and queues.
    fn book(&mut self, input: &[u8]) -> Result<(), Error> {
        let mut state = self.shared.state();
        let now = Instant::now();
        state.opened_usage = self.opener.usage();
        for packet in self.batch.drain(..) {
            let payload = packet.payload(input);
            let arrived = state
                .connection
                .handle_packet(payload, packet.sequence_number, now)?;
            let Some(ChannelData {
                id, bytes: data, ..
            }) = arrived
            else {
                continue;
            };
            let Some(io) = state.io(id) else { continue };
            let in_place = packet.data_range(data.len());
            match (&io.sink, in_place) {
                (Some((sink, counters)), Some(range)) if io.queue.is_clear() => {
                    match self.deliveries.last_mut() {
                        Some(last) if last.id == id => last.slices.push(range),
                        _ => self.deliveries.push(Delivery {
                            id,
                            sink: sink.clone(),
                            counters: counters.clone(),
                            slices: vec![range],
                        }),
                    }
                }
                _ => {
                    io.queue.push(data);
                    io.wake_reader();
                }
            }
        }
        Ok(())
    }

    /// Tells the peer why, as far as that still works.
    fn say_why(&self, error: &Error) {
        if let Some(disconnect) = error.disconnect() {
            self.shared.state().connection.disconnect(&disconnect);
            let _ = self.shared.flush();
        }
    }
}

impl Drop for Driver {
    /// Without an end only where a bug made it panic, or its runtime is shut down: nobody must wait for it any more.
    fn drop(&mut self) {
        if self.shared.state().ended.is_none() {
            let why = "internal error; the program's messages say more";
            self.shared.end(Ended::Broken(why.into()));
        }
    }
}

/// What one read of the SSH socket gave.
enum Input {
    Much,
    Little,
    /// The peer sends no more.
    Ended,
}

impl Packet {
    fn payload<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        self.body.as_slice(&input[self.base..])
    }

    /// Where the last `len` bytes of the payload lie in the read buffer; an inflated packet lies elsewhere.
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

impl Delivery {
    /// Whether data of the same channel waits in its queue, which a direct write would overtake.
    fn may_overtake(&self, shared: &Shared) -> bool {
        let mut state = shared.state();
        state.io(self.id).is_some_and(|io| !io.queue.is_clear())
    }

    /// Credits what the application took, and queues what it had no room for.
    fn settle(self, shared: &Shared, input: &[u8], written: io::Result<usize>) {
        let mut state = shared.state();
        let taken = match written {
            Ok(taken) => taken,
            Err(error) => {
                if let Some(io) = state.io(self.id) {
                    io.sink_error = Some(error.kind());
                    io.wake_all();
                }
                // Nobody will take it.
                let lost = self
                    .slices
                    .iter()
                    .map(ExactSizeIterator::len)
                    .sum::<usize>();
                let credit = u32::try_from(lost).unwrap_or(u32::MAX);
                let channels = state.connection.channels();
                channels.taken(self.id, credit, Instant::now());
                return;
            }
        };
        self.counters.received.add(taken as u64);
        let credit = u32::try_from(taken).unwrap_or(u32::MAX);
        state
            .connection
            .channels()
            .taken(self.id, credit, Instant::now());
        let Some(io) = state.io(self.id) else { return };
        let mut skip = taken;
        for range in self.slices {
            let skipped = skip.min(range.len());
            skip -= skipped;
            if skipped < range.len() {
                io.queue.push(&input[range.start + skipped..range.end]);
            }
        }
        if !io.queue.is_empty() {
            io.wake_reader();
        }
    }
}

/// Writes as much as the application has room for, without waiting.
fn write_slices(sink: &Stream, input: &[u8], slices: &[Range<usize>]) -> io::Result<usize> {
    let mut total = 0;
    for group in slices.chunks(MAX_SLICES) {
        let mut vector = [IoSlice::new(&[]); MAX_SLICES];
        for (slot, range) in vector.iter_mut().zip(group) {
            *slot = IoSlice::new(&input[range.clone()]);
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

/// For an owner that serves no more.
fn refuse(connection: &mut Connection, id: ChannelId) {
    let failure = OpenFailure {
        reason: OpenFailureReason::RESOURCE_SHORTAGE,
        description: "nobody serves this connection any more".into(),
    };
    connection.channels().refuse(id, &failure);
}

fn broken(error: io::Error) -> Ended {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Ended::ClosedByPeer,
        _ => Ended::Broken(error.to_string()),
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
