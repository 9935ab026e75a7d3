//! The channel tables of both ends, without what lies between them: data on each channel in turn.

use std::time::{Duration, Instant};

use adit_proto::channels::{
    ChannelEvent, ChannelId, ChannelStream, Channels, PLAIN_PACKET_SIZE, WindowLimits, WindowPool,
};
use adit_proto::message::connection::{ChannelType, TcpAddresses};

/// The number of SSH_MSG_CHANNEL_DATA, channel and length before the data (RFC 4254 §5.2), in bytes.
const DATA_HEADER: usize = 9;
const CHANNEL_DATA: u8 = 94;

/// Two ends and their channels.
#[derive(Debug)]
pub struct Table {
    sender: Channels,
    receiver: Channels,
    /// At the sender.
    ids: Vec<ChannelId>,
    next: usize,
    payload: Vec<u8>,
    now: Instant,
}

impl Table {
    /// Two ends with `count` channels.
    ///
    /// # Panics
    /// If a channel cannot be opened.
    pub fn new(count: usize) -> Self {
        let pool = WindowPool::new(WindowPool::DEFAULT_LIMIT);
        let new = || Channels::new(WindowLimits::GENEROUS, PLAIN_PACKET_SIZE, pool.clone());
        let mut table = Self {
            sender: new(),
            receiver: new(),
            ids: Vec::new(),
            next: 0,
            payload: vec![0; DATA_HEADER + PLAIN_PACKET_SIZE as usize],
            now: Instant::now(),
        };
        table.receiver.set_round_trip(Duration::from_millis(1));
        table.payload[0] = CHANNEL_DATA;
        table.payload[5..DATA_HEADER].copy_from_slice(&PLAIN_PACKET_SIZE.to_be_bytes());
        for _ in 0..count {
            table.open();
        }
        table
    }

    fn open(&mut self) {
        let addresses = TcpAddresses {
            host: "127.0.0.1".to_owned(),
            port: 80,
            originator_address: "127.0.0.1".to_owned(),
            originator_port: 40_000,
        };
        let id = self
            .sender
            .open(ChannelType::DirectTcpip(addresses), self.now)
            .expect("the table has room");
        pass(&mut self.sender, &mut self.receiver, self.now);
        while let Some(event) = self.receiver.poll_event() {
            if let ChannelEvent::Asked { id, .. } = event {
                self.receiver.accept(id);
            }
        }
        pass(&mut self.receiver, &mut self.sender, self.now);
        while self.sender.poll_event().is_some() {}
        self.ids.push(id);
    }

    /// One packet of data on the next channel: window taken, received, read, and credited where that is due.
    ///
    /// # Panics
    /// If the two ends disagree, which would be a fault of the core.
    pub fn turn(&mut self) {
        let id = self.ids[self.next];
        self.next = (self.next + 1) % self.ids.len();
        let reserved = self
            .sender
            .reserve(id, ChannelStream::Data, PLAIN_PACKET_SIZE)
            .expect("the channel is open");
        assert_eq!(reserved.bytes, PLAIN_PACKET_SIZE, "credit comes in time");
        self.payload[1..5].copy_from_slice(&reserved.recipient_channel.to_be_bytes());
        let received = self.receiver.recv(&self.payload, self.now);
        let Ok(Some(data)) = received else {
            panic!("the data is wanted: {received:?}");
        };
        let (theirs, len) = (data.id, data.bytes.len());
        let len = u32::try_from(len).expect("a packet's length");
        self.now += Duration::from_micros(10);
        self.receiver.taken(theirs, len, self.now);
        pass(&mut self.receiver, &mut self.sender, self.now);
        while self.sender.poll_event().is_some() {}
    }
}

fn pass(from: &mut Channels, to: &mut Channels, now: Instant) {
    while let Some(message) = from.poll_message() {
        to.recv(&message, now).expect("both ends are ours");
    }
}
