//! A turn to send: the one order in which data and control messages leave a connection.
//!
//! ```text
//!   poll_begin   lock Outbound ─▶ seal control messages ─▶ leave the line, or wait in it ─▶ reserve window
//!   send_from    read and seal data, as much as window and turn allow
//!   end          refund window ─▶ note the keys' usage ─▶ write, or leave that to the driver ─▶ wake the next in line
//! ```
//!
//! A `Turn` is a guard: its end comes on every path, errors and early returns included. One that is dropped gives back its
//! window and wakes the next in line; so does a channel that is woken for its turn and takes none.
//! `Shared::flush` is the driver's turn.

use std::io;
use std::sync::MutexGuard;
use std::task::{Context, Poll, Waker};

use adit_proto::channels::{ChannelId, ChannelStream, Reserved};

use super::outbound::Outbound;
use super::outcome::Ended;
use super::state::Shared;
use super::stream::Stream;

/// The turn of one channel to send data: `Outbound` is locked, window is reserved.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    shared: &'a Shared,
    outbound: MutexGuard<'a, Outbound>,
    id: ChannelId,
    reserved: Reserved,
    is_over: bool,
}

/// The connection failed in a turn, and is over now.
#[derive(Debug)]
pub(super) struct ConnectionFailed;

/// The task that writes what a turn has sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// The turn itself, unless it is one of several short ones that share a write.
    Turn,
    /// The driver.
    Driver,
}

/// The outcome of asking for a turn.
enum Begun {
    /// The turn is the channel's, with so much window.
    Turn(Reserved),
    /// The channel waits in line for the socket.
    InLine,
    /// The channel waits for window; the next in line need not.
    WithoutWindow,
    /// The channel takes no more data, or the connection is over.
    Closed,
}

impl<'a> Turn<'a> {
    /// Waits for the turn of a stream of channel `id`, and for up to `most` bytes of window. None where the channel takes no more data.
    ///
    /// Whoever does not get a turn may have been woken for one: it is passed on.
    pub(super) fn poll_begin(
        shared: &'a Shared,
        (id, stream): (ChannelId, ChannelStream),
        most: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Self>> {
        let mut outbound = shared.outbound();
        let begun = match begin(shared, &mut outbound, (id, stream), most, cx.waker()) {
            Ok(begun) => begun,
            Err(error) => {
                fail(shared, &mut outbound, &error);
                return Poll::Ready(None);
            }
        };
        match begun {
            Begun::Turn(reserved) => Poll::Ready(Some(Self {
                shared,
                outbound,
                id,
                reserved,
                is_over: false,
            })),
            Begun::InLine => {
                shared.kick();
                Poll::Pending
            }
            Begun::WithoutWindow => {
                outbound.wake_next();
                Poll::Pending
            }
            Begun::Closed => {
                outbound.wake_next();
                Poll::Ready(None)
            }
        }
    }

    /// Sends what one read of the application gives, and ends the turn. Gives the data bytes; 0 is the application's EOF.
    /// The inner error is the application's.
    pub(super) fn send_from(mut self, app: &Stream) -> Result<io::Result<usize>, ConnectionFailed> {
        let sealed = self.outbound.seal_from(app, self.reserved);
        let read = sealed.map_err(|error| self.fail(&error))?;
        let sent = *read.as_ref().unwrap_or(&0);
        self.finish(sent, Writer::Turn).map(|()| read)
    }

    /// Sends bytes that are in memory already, at most one packet of them, and ends the turn. Gives how many went.
    pub(super) fn send(mut self, bytes: &[u8]) -> Result<usize, ConnectionFailed> {
        let sealed = self.outbound.seal_bytes(bytes, self.reserved);
        let sent = sealed.map_err(|error| self.fail(&error))?;
        self.finish(sent, Writer::Driver).map(|()| sent)
    }

    fn finish(mut self, sent: usize, writer: Writer) -> Result<(), ConnectionFailed> {
        let written = self.end(sent, writer);
        written.map_err(|error| self.fail(&error))
    }

    /// Ends the turn, in which `sent` data bytes were sealed.
    fn end(&mut self, sent: usize, writer: Writer) -> io::Result<()> {
        self.is_over = true;
        let has_transmit = self.settle(sent);
        if writer == Writer::Turn && self.outbound.end_turn(sent) {
            self.outbound.write(&self.shared.socket)?;
        }
        self.outbound.wake_next();
        if has_transmit || self.outbound.pending() > 0 {
            // The driver writes it, or waits for room.
            self.shared.kick();
        }
        Ok(())
    }

    /// Gives back unused window, and only now asks whether new keys are due, so that the smallest RekeyLimit still lets
    /// every exchange carry something. True where the connection has something to say itself.
    fn settle(&mut self, sent: usize) -> bool {
        let reserved = self.reserved.bytes;
        let unused = reserved - u32::try_from(sent).unwrap_or(reserved);
        let mut state = self.shared.state();
        if unused > 0 {
            state.connection.channels().refund(self.id, unused);
        }
        let opened = state.opened_usage;
        let sealed = self.outbound.usage();
        state.connection.note_usage(sealed, opened);
        state.connection.has_transmit()
    }

    fn fail(&mut self, error: &io::Error) -> ConnectionFailed {
        fail(self.shared, &mut self.outbound, error)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            // Without an error where the driver writes.
            let _ = self.end(0, Writer::Driver);
        }
    }
}

/// Takes a turn and window, or waits for them. The error is that of the keys or the packets.
fn begin(
    shared: &Shared,
    outbound: &mut Outbound,
    (id, stream): (ChannelId, ChannelStream),
    most: u32,
    waker: &Waker,
) -> io::Result<Begun> {
    let mut state = shared.state();
    if state.ended.is_some() {
        // Why is told by `receive`, behind what the peer had sent.
        return Ok(Begun::Closed);
    }
    // Control messages go first; NEWKEYS among them changes the key that data is sealed with.
    outbound.seal_control(&mut state.connection)?;
    let may_send = state.connection.may_send_data() && outbound.takes_data();
    let Some(io) = state.stream(id, stream) else {
        return Ok(Begun::Closed);
    };
    if !may_send {
        outbound.wait(&mut io.place, waker);
        return Ok(Begun::InLine);
    }
    outbound.leave(&mut io.place);
    let most = most.min(outbound.begin_turn(id, state.opened_usage));
    let Some(reserved) = state.connection.channels().reserve(id, stream, most) else {
        return Ok(Begun::Closed);
    };
    if reserved.bytes > 0 {
        return Ok(Begun::Turn(reserved));
    }
    if let Some(io) = state.stream(id, stream) {
        io.send_waker = Some(waker.clone());
    }
    Ok(Begun::WithoutWindow)
}

/// Ends the connection, whose socket or keys failed. Whoever waits for a turn hears of it.
fn fail(shared: &Shared, outbound: &mut Outbound, error: &io::Error) -> ConnectionFailed {
    shared.end_holding(outbound, Ended::Broken(error.to_string()));
    ConnectionFailed
}

/// Room in the SSH socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SocketState {
    HasRoom,
    Full,
}

impl Shared {
    /// The driver's turn: seals and writes what the connection has to say, and what the turns of channels left behind.
    pub(super) fn flush(&self) -> io::Result<SocketState> {
        let mut outbound = self.outbound();
        loop {
            let mut state = self.state();
            let opened = state.opened_usage;
            state.connection.note_usage(outbound.usage(), opened);
            outbound.seal_control(&mut state.connection)?;
            drop(state);
            outbound.write(&self.socket)?;
            if outbound.pending() > 0 {
                return Ok(SocketState::Full);
            }
            let state = self.state();
            // Where it has more to say than the buffer holds.
            if state.connection.has_transmit() {
                continue;
            }
            if state.connection.may_send_data() {
                drop(state);
                outbound.wake_next();
            }
            return Ok(SocketState::HasRoom);
        }
    }
}

#[cfg(test)]
mod tests;
