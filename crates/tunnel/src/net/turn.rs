//! A turn to send: the only order in which data and control messages leave a connection.
//!
//! ```text
//!   poll_begin   lock Outbound ─▶ seal control messages ─▶ leave the line, or wait in it ─▶ reserve window
//!   send_from    read and seal data, as much as window and turn allow
//!   end          refund window ─▶ note the keys' usage ─▶ write, or leave that to the driver ─▶ wake the next in line
//! ```
//!
//! A `Turn` is a guard: it ends on every path, errors and early returns included. Dropping it gives back its window and
//! wakes the next in line; so does a channel that is woken for its turn and takes none. `Shared::flush` is the driver's
//! turn.

use std::io;
use std::sync::MutexGuard;
use std::task::{Context, Poll, Waker};

use adit_proto::channels::{ChannelId, ChannelStream, Reserved};

use super::outbound::Outbound;
use super::outcome::Ended;
use super::state::Shared;
use super::stream::Stream;

/// The turn of one channel to send data: `Outbound` is locked, and window is reserved.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    shared: &'a Shared,
    outbound: MutexGuard<'a, Outbound>,
    id: ChannelId,
    reserved: Reserved,
    is_over: bool,
}

/// Error of a connection that failed in a turn, and has ended.
#[derive(Debug)]
pub(super) struct ConnectionFailed;

/// Task that writes the sealed data of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// The task of the turn, unless several short turns share a write.
    Turn,
    /// The driver.
    Driver,
}

/// Result of a request for a turn.
enum Begun {
    /// The channel has the turn, with this window.
    Turn(Reserved),
    /// The channel waits in line for the socket.
    InLine,
    /// The channel waits for window; the next in line may go on.
    WithoutWindow,
    /// The channel accepts no more data, or the connection has ended.
    Closed,
}

impl<'a> Turn<'a> {
    /// Waits for the turn of a stream of channel `id`, and for up to `most` bytes of window. None if the channel
    /// accepts no more data.
    ///
    /// A task that gets no turn may have been woken for one, which is then passed on.
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

    /// Sends the data of one read from the application, and ends the turn. Returns the number of data bytes; 0 is the
    /// application's EOF. The inner error is that of the application.
    pub(super) fn send_from(mut self, app: &Stream) -> Result<io::Result<usize>, ConnectionFailed> {
        let sealed = self.outbound.seal_from(app, self.reserved);
        let read = sealed.map_err(|error| self.fail(&error))?;
        let sent = *read.as_ref().unwrap_or(&0);
        self.finish(sent, Writer::Turn).map(|()| read)
    }

    /// Sends at most one packet of bytes that are in memory, and ends the turn. Returns their number.
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

    /// Gives back unused window, and only then checks if new keys are due, so that even with the smallest RekeyLimit
    /// each key carries some data. True if the connection has control messages to send.
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
            // No error is possible, as the driver writes.
            let _ = self.end(0, Writer::Driver);
        }
    }
}

/// Takes a turn and window, or waits for them. The error is that of keys or packets.
fn begin(
    shared: &Shared,
    outbound: &mut Outbound,
    (id, stream): (ChannelId, ChannelStream),
    most: u32,
    waker: &Waker,
) -> io::Result<Begun> {
    let mut state = shared.state();
    if state.ended.is_some() {
        // `receive` reports the reason, after the peer's data.
        return Ok(Begun::Closed);
    }
    // Control messages go first: NEWKEYS among them changes the key for the data.
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

/// Ends the connection, whose socket or keys failed, and wakes all tasks that wait for a turn.
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
    /// The driver's turn: seals and writes control messages, and writes the data that other turns left.
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
            // There may be more messages than the buffer holds.
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
