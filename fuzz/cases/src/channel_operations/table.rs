//! One channel table with what its owner knows, which is what the invariants are checked against.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use adit_proto::channels::{
    ChannelData, ChannelEvent, ChannelId, ChannelStream, Channels, WindowPool,
};
use adit_proto::message::connection::{
    self as message, ChannelType, DATA_HEADER_LEN, EXTENDED_DATA_HEADER_LEN, EXTENDED_DATA_STDERR,
    Open, OpenConfirmation, OpenFailure,
};
use adit_proto::message::number;
use adit_proto::wire::Writer;
use arbitrary::{Result, Unstructured};

use super::LIMITS;
use super::requests::{Pending, RequestLog};
use crate::ends::START;

/// The most data bytes of one packet to either table.
const MAX_PACKET: u32 = 700;

/// State of a channel as its owner knows it.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// The peer's number, once known.
    peer: Option<u32>,
    /// By stream.
    pub(super) sent: [u64; 2],
    pub(super) received: [u64; 2],
    /// Of both.
    taken: u64,
    /// Its owner takes requests.
    pub(super) takes_requests: bool,
    pub(super) requests: RequestLog,
    /// All that the peer was ever allowed to send, and what of it was thrown away on arrival.
    granted: u64,
    discarded: u64,
    /// A reservation fell short: `Writable` must come.
    blocked: bool,
    eof_sent: bool,
    eof_received: bool,
    closed: bool,
    refused: bool,
    /// The peer asked for it, and has no answer yet.
    asked: bool,
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) channels: Channels,
    pub(super) now: Instant,
    /// Messages on their way to the other table.
    pub(super) wire: VecDeque<Vec<u8>>,
    pub(super) flows: BTreeMap<u32, Flow>,
    asked: VecDeque<ChannelId>,
    /// Requests of the peer that wait for our answers.
    pub(super) pending: Vec<Pending>,
    /// The peer's numbers that we have sent CLOSE to: nothing may follow.
    closed_numbers: BTreeSet<u32>,
    shrunk: bool,
}

/// The byte at a position of a stream.
fn byte(stream: ChannelStream, position: u64) -> u8 {
    let of_stream = 101 * stream as u64;
    (position * 7 + (position >> 8) + of_stream) as u8
}

/// The header of a packet of data.
fn header(stream: ChannelStream, recipient_channel: u32, len: u32) -> Vec<u8> {
    match stream {
        ChannelStream::Data => {
            let mut header = [0; DATA_HEADER_LEN];
            message::write_data_header(&mut header, recipient_channel, len);
            header.to_vec()
        }
        ChannelStream::Stderr => {
            let mut header = [0; EXTENDED_DATA_HEADER_LEN];
            message::write_stderr_header(&mut header, recipient_channel, len);
            header.to_vec()
        }
    }
}

/// Commands.
impl Table {
    pub(super) fn new() -> Self {
        Self {
            channels: Channels::new(LIMITS, MAX_PACKET, WindowPool::new(u64::MAX)),
            now: *START,
            wire: VecDeque::new(),
            flows: BTreeMap::new(),
            asked: VecDeque::new(),
            pending: Vec::new(),
            closed_numbers: BTreeSet::new(),
            shrunk: false,
        }
    }

    /// A channel of the owner, or a number that is none.
    pub(super) fn any(&self, u: &mut Unstructured<'_>) -> Result<ChannelId> {
        let at = u.int_in_range(0..=self.flows.len())?;
        Ok(ChannelId(*self.flows.keys().nth(at).unwrap_or(&77)))
    }

    /// Opens a channel whose ends both take requests, or neither does.
    pub(super) fn open(&mut self, takes_requests: bool) {
        let channel_type = match takes_requests {
            true => ChannelType::Session,
            false => ChannelType::Other("x".into()),
        };
        let id = self.channels.open(channel_type, self.now);
        let id = id.expect("room for it");
        if takes_requests {
            self.channels.take_requests(id);
        }
        let flow = Flow {
            takes_requests,
            ..Flow::default()
        };
        let previous = self.flows.insert(id.0, flow);
        assert!(previous.is_none(), "{id:?} was still in use");
    }

    pub(super) fn has_asked(&self) -> bool {
        !self.asked.is_empty()
    }

    pub(super) fn accept(&mut self) {
        if let Some(id) = self.asked.pop_front() {
            self.channels.accept(id);
            if let Some(flow) = self.flows.get_mut(&id.0) {
                flow.asked = false;
            }
        }
    }

    pub(super) fn refuse(&mut self, failure: &OpenFailure) {
        if let Some(id) = self.asked.pop_front() {
            self.channels.refuse(id, failure);
            self.flows.remove(&id.0);
        }
    }

    /// Sends up to `want` bytes in packets, or takes the window and gives it back.
    pub(super) fn send(&mut self, id: ChannelId, stream: ChannelStream, want: u32, keeps: bool) {
        self.poll(usize::MAX);
        let Some(reserved) = self.channels.reserve(id, stream, want) else {
            return;
        };
        let flow = self.flows.get_mut(&id.0).expect("an open channel");
        assert!(!flow.eof_sent && reserved.bytes <= want);
        // Who gives window back has window: it does not wait.
        flow.blocked |= reserved.bytes < want && (keeps || reserved.bytes == 0);
        if !keeps {
            self.channels.refund(id, reserved.bytes);
            return;
        }
        let mut rest = reserved.bytes;
        while rest > 0 {
            assert!(!self.closed_numbers.contains(&reserved.recipient_channel));
            let len = rest.min(reserved.max_packet);
            rest -= len;
            let sent = &mut flow.sent[stream as usize];
            let mut packet = header(stream, reserved.recipient_channel, len);
            packet.extend((0..u64::from(len)).map(|i| byte(stream, *sent + i)));
            *sent += u64::from(len);
            self.wire.push_back(packet);
        }
    }

    /// Extended data of a type that nobody reads; it uses window like any other.
    pub(super) fn send_unknown_extended(&mut self, id: ChannelId, want: u32) {
        self.poll(usize::MAX);
        let Some(reserved) = self.channels.reserve(id, ChannelStream::Stderr, want) else {
            return;
        };
        let flow = self.flows.get_mut(&id.0).expect("an open channel");
        flow.blocked |= reserved.bytes < want;
        if reserved.bytes == 0 {
            return;
        }
        assert!(flow.peer.is_some(), "only plain data is early");
        let mut w = Writer::message(number::CHANNEL_EXTENDED_DATA);
        w.u32(reserved.recipient_channel)
            .u32(EXTENDED_DATA_STDERR + 1)
            .string(vec![0; reserved.bytes as usize]);
        self.wire.push_back(w.into_vec());
    }

    pub(super) fn take(&mut self, id: ChannelId, want: u64) -> bool {
        let Some(flow) = self.flows.get_mut(&id.0).filter(|flow| !flow.asked) else {
            return false;
        };
        let len = want.min(flow.received.iter().sum::<u64>() - flow.taken);
        if len == 0 && want > 0 {
            return false;
        }
        flow.taken += len;
        let len = u32::try_from(len).expect("less than a window");
        self.channels.taken(id, len, self.now);
        len > 0
    }

    pub(super) fn take_all(&mut self) -> bool {
        let ids: Vec<u32> = self.flows.keys().copied().collect();
        let mut any = false;
        for id in ids {
            any |= self.take(ChannelId(id), u64::MAX);
        }
        any
    }

    pub(super) fn send_eof(&mut self, id: ChannelId) {
        self.channels.send_eof(id);
        if self.channels.reserve(id, ChannelStream::Data, 0).is_none()
            && let Some(flow) = self.flows.get_mut(&id.0)
            && !flow.asked
        {
            flow.eof_sent = true;
        }
    }

    pub(super) fn release(&mut self, id: ChannelId) {
        self.channels.release(id);
        self.flows.remove(&id.0);
        self.asked.retain(|asked| *asked != id);
    }

    /// The owners of refused channels let go of them, late.
    pub(super) fn let_go_of_refused(&mut self) {
        let refused = self.flows.iter().filter(|(_, flow)| flow.refused);
        let ids: Vec<u32> = refused.map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.release(ChannelId(id)));
    }

    /// Takes window for a turn.
    pub(super) fn reserve(&mut self, id: ChannelId, want: u32) -> u32 {
        let reserved = self.channels.reserve(id, ChannelStream::Data, want);
        let bytes = reserved.map_or(0, |reserved| reserved.bytes);
        if let Some(flow) = self.flows.get_mut(&id.0)
            && reserved.is_some()
        {
            flow.blocked |= bytes == 0;
        }
        bytes
    }

    /// Gives back what a turn did not use.
    pub(super) fn refund(&mut self, id: ChannelId, unused: u32) {
        self.channels.refund(id, unused);
    }

    pub(super) fn release_all(&mut self) {
        let ids: Vec<u32> = self.flows.keys().copied().collect();
        ids.into_iter().for_each(|id| self.release(ChannelId(id)));
    }

    /// Readers that have data waiting are slow ones now.
    pub(super) fn let_readers_lag(&mut self, time: Duration) {
        self.shrunk = true;
        self.now += time;
    }
}

/// Messages out.
impl Table {
    /// Puts up to so many messages on the wire.
    pub(super) fn poll(&mut self, most: usize) {
        for _ in 0..most {
            let Some(message) = self.channels.poll_message() else {
                return;
            };
            self.watch(&message);
            self.wire.push_back(message);
        }
    }

    fn watch(&mut self, payload: &[u8]) {
        match payload[0] {
            number::CHANNEL_OPEN => {
                let open = Open::parse(payload).unwrap().unwrap();
                if let Some(flow) = self.flows.get_mut(&open.sender_channel) {
                    flow.granted = open.initial_window_size.into();
                }
            }
            number::CHANNEL_OPEN_CONFIRMATION => {
                let confirmation = OpenConfirmation::parse(payload).unwrap();
                if let Some(flow) = self.flows.get_mut(&confirmation.sender_channel) {
                    flow.granted = confirmation.initial_window_size.into();
                }
            }
            number::CHANNEL_OPEN_FAILURE => {}
            number::CHANNEL_WINDOW_ADJUST => {
                let (recipient, bytes) = message::parse_window_adjust(payload).unwrap();
                self.watch_credit(recipient, bytes.into());
            }
            number::CHANNEL_EOF => {
                let recipient = message::parse_channel_only(payload).unwrap();
                assert!(!self.closed_numbers.contains(&recipient), "EOF after CLOSE");
            }
            number::CHANNEL_CLOSE => {
                let recipient = message::parse_channel_only(payload).unwrap();
                assert!(self.closed_numbers.insert(recipient), "CLOSE twice");
            }
            number::CHANNEL_REQUEST => {
                let request = message::ChannelRequest::parse(payload).unwrap();
                let recipient = request.recipient_channel;
                assert!(
                    !self.closed_numbers.contains(&recipient),
                    "request after CLOSE"
                );
            }
            number::CHANNEL_SUCCESS | number::CHANNEL_FAILURE => {
                let recipient = message::parse_channel_only(payload).unwrap();
                assert!(
                    !self.closed_numbers.contains(&recipient),
                    "answer after CLOSE"
                );
            }
            other => panic!("message {other} from an honest table"),
        }
    }

    fn watch_credit(&mut self, recipient: u32, bytes: u64) {
        assert!(
            !self.closed_numbers.contains(&recipient),
            "credit after CLOSE"
        );
        let flow = self
            .flows
            .values_mut()
            .find(|flow| flow.peer == Some(recipient) && !flow.closed)
            .expect("credit for a channel that is open");
        flow.granted += bytes;
        let size = flow.granted - flow.taken - flow.discarded;
        assert!(size <= LIMITS.max.into(), "a window of {size}");
        if !self.shrunk {
            self.watch_sum();
        }
    }

    /// Asserts that the budget holds, but for the least window of each; what shrank may still be outstanding elsewhere.
    fn watch_sum(&self) {
        let outstanding = |flow: &Flow| (flow.granted).saturating_sub(flow.taken + flow.discarded);
        let sum: u64 = self.flows.values().map(outstanding).sum();
        let least = self.channels.len() as u64 * u64::from(LIMITS.min);
        assert!(sum <= LIMITS.budget + least, "windows of {sum} in all");
    }
}

/// Messages in.
impl Table {
    pub(super) fn recv(&mut self, payload: &[u8]) {
        let peer_number = self.note_peer_number(payload);
        let data = self.channels.recv(payload, self.now);
        let data = data.unwrap_or_else(|e| panic!("honest message refused: {e}: {payload:?}"));
        if let Some(data) = data {
            self.receive(data);
        } else if payload[0] == number::CHANNEL_EXTENDED_DATA {
            let (id, _, bytes) = message::parse_extended_data(payload).unwrap();
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.discarded += bytes.len() as u64;
            }
        }
        while let Some(event) = self.channels.poll_event() {
            self.note(event, peer_number);
        }
    }

    /// A number that the peer gives to a new channel may be written to again.
    fn note_peer_number(&mut self, payload: &[u8]) -> Option<u32> {
        let number = match payload[0] {
            number::CHANNEL_OPEN => Open::parse(payload).unwrap().unwrap().sender_channel,
            number::CHANNEL_OPEN_CONFIRMATION => {
                OpenConfirmation::parse(payload).unwrap().sender_channel
            }
            _ => return None,
        };
        self.closed_numbers.remove(&number);
        Some(number)
    }

    fn receive(&mut self, data: ChannelData<'_>) {
        let flow = self.flows.get_mut(&data.id.0).expect("data for nobody");
        assert!(!flow.eof_received && !flow.closed, "data after the end");
        let received = &mut flow.received[data.stream as usize];
        for (i, &found) in (0..).zip(data.bytes) {
            let sent = byte(data.stream, *received + i);
            assert_eq!(found, sent, "another byte than was sent");
        }
        *received += data.bytes.len() as u64;
    }

    fn note(&mut self, event: ChannelEvent, peer: Option<u32>) {
        let (ChannelEvent::Asked { id, .. }
        | ChannelEvent::Opened(id)
        | ChannelEvent::Refused { id, .. }
        | ChannelEvent::Writable(id)
        | ChannelEvent::Request { id, .. }
        | ChannelEvent::Reply { id, .. }
        | ChannelEvent::Eof(id)
        | ChannelEvent::Closed { id, .. }) = event;
        if let ChannelEvent::Asked { channel_type, .. } = event {
            let flow = Flow {
                peer,
                asked: true,
                takes_requests: channel_type == ChannelType::Session,
                ..Flow::default()
            };
            assert!(self.flows.insert(id.0, flow).is_none(), "still in use");
            self.asked.push_back(id);
            if channel_type == ChannelType::Session {
                self.channels.take_requests(id);
            }
            return;
        }
        let flow = self.flows.get_mut(&id.0).expect("an event after release");
        assert!(!flow.closed, "{event:?} after Closed");
        match event {
            ChannelEvent::Opened(_) => {
                flow.peer = peer;
                flow.blocked = false;
            }
            ChannelEvent::Writable(_) => flow.blocked = false,
            ChannelEvent::Eof(_) => flow.eof_received = true,
            ChannelEvent::Closed { .. } => flow.closed = true,
            ChannelEvent::Refused { lost, .. } => {
                let sent = flow.sent[ChannelStream::Data as usize];
                assert!(u64::from(lost) >= sent, "early data is lost unheard");
                flow.refused = true;
            }
            ChannelEvent::Request {
                request_type,
                data,
                reply,
                ..
            } => {
                let outcome = flow.note_request(&request_type, &data);
                self.pending.extend(reply.map(|token| (token, outcome)));
            }
            ChannelEvent::Reply { outcome, .. } => flow.requests.note_reply(outcome),
            ChannelEvent::Asked { .. } => {}
        }
    }
}

/// Rules that must hold once nothing moves any more.
impl Table {
    /// Every byte that the other table sent on a channel of both is here.
    pub(super) fn check_against(&self, other: &Table) {
        for (id, theirs) in &other.flows {
            let ours = theirs.peer.and_then(|peer| self.flows.get(&peer));
            if let Some(ours) = ours.filter(|ours| ours.peer == Some(*id) && !ours.closed) {
                assert_eq!(ours.received, theirs.sent, "bytes were lost");
                theirs.requests.check_all_answered();
            }
        }
    }

    /// The readers took everything, so every open channel can be written to.
    pub(super) fn check_windows(&mut self) {
        for (&id, flow) in &self.flows {
            if flow.peer.is_none() || flow.closed || flow.eof_sent {
                continue;
            }
            assert!(!flow.blocked, "Writable got lost");
            let id = ChannelId(id);
            let reserved = self
                .channels
                .reserve(id, ChannelStream::Data, 1)
                .expect("open");
            assert_eq!(reserved.bytes, 1, "the window got lost");
            self.channels.refund(id, 1);
        }
    }
}
