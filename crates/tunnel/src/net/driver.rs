//! The task that runs one connection: it reads the SSH socket, keeps the timers, and flushes waiting output.
//!
//! It awaits its socket, its timer and its wake-up only, never a consumer, a dial or a policy. `inbound` handles the
//! bytes that it reads, `turn` seals and writes those that it flushes.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use adit_proto::connection::Connection;
use adit_proto::error::Error;
use tokio::sync::mpsc;

use super::connection::Handle;
use super::inbound::{Inbound, Input};
use super::incoming::{Notice, Owner};
use super::outcome::Ended;
use super::state::Shared;
use super::stream::Stream;
use super::turn::SocketState;

/// Bytes of one read whose handling takes so long that the task yields afterwards.
const MUCH: usize = 64 << 10;

/// Starts a connection after the exchange of identification lines.
///
/// `early` has the bytes that were read after the peer's identification. The future is the driver: spawn it.
pub(super) fn start(
    socket: Stream,
    connection: Connection,
    early: &[u8],
) -> (
    Handle,
    mpsc::Receiver<Notice>,
    impl Future<Output = Ended> + use<>,
) {
    let shared = Shared::new(socket, connection);
    let (owner, receiver) = Owner::queue();
    let driver = Driver {
        shared: shared.clone(),
        inbound: Inbound::new(early),
        owner,
    };
    (Handle(shared), receiver, driver.run())
}

struct Driver {
    shared: Arc<Shared>,
    inbound: Inbound,
    owner: Owner,
}

/// Conditions of the next wait.
struct Wait {
    /// True if waiting output needs room in the socket.
    for_room: bool,
    /// True if bytes of the peer may be handled.
    for_input: bool,
    timeout: Option<Instant>,
}

/// The reason for a wake-up.
enum Woken {
    Readable,
    /// Room to write, a timer, or a wake-up: the next round handles all of them.
    Other,
}

impl Driver {
    async fn run(mut self) -> Ended {
        let Err(ended) = self.serve().await;
        if let Ended::Protocol(error) = &ended {
            self.say_why(error);
        }
        self.shared.end(ended);
        // Relays may still hold the socket for a moment, and the peer need not wait for them.
        let _ = self.shared.socket.shutdown_write();
        Handle(self.shared.clone()).why_ended()
    }

    /// Serves the connection until it ends.
    async fn serve(&mut self) -> Result<Infallible, Ended> {
        self.handle_input()?;
        loop {
            let wait = self.send_and_tick()?;
            if wait.for_input && self.inbound.resume() {
                self.handle_input()?;
                continue;
            }
            match self.wait(wait).await.map_err(Ended::of_socket)? {
                Woken::Readable => self.read().await?,
                Woken::Other => {}
            }
        }
    }

    /// Writes waiting output and runs due timers, even while there is always input.
    fn send_and_tick(&self) -> Result<Wait, Ended> {
        let socket_state = self.shared.flush().map_err(Ended::of_socket)?;
        let mut state = self.shared.state();
        if let Some(ended) = &state.ended {
            return Err(ended.clone());
        }
        let now = Instant::now();
        let connection = &mut state.connection;
        let mut timeout = connection.next_timeout();
        if timeout.is_some_and(|due| due <= now) {
            connection.handle_timeout(now).map_err(Ended::Protocol)?;
            self.shared.kick();
            timeout = connection.next_timeout();
        }
        Ok(Wait {
            for_room: socket_state == SocketState::Full,
            for_input: connection.wants_input() && self.owner.has_room(),
            timeout,
        })
    }

    async fn wait(&self, wait: Wait) -> io::Result<Woken> {
        let socket = &self.shared.socket;
        tokio::select! {
            biased;
            ready = socket.readable(), if wait.for_input => ready.map(|()| Woken::Readable),
            ready = socket.writable(), if wait.for_room => ready.map(|()| Woken::Other),
            () = self.shared.wake.notified() => Ok(Woken::Other),
            () = self.owner.room(), if !self.owner.has_room() => Ok(Woken::Other),
            () = sleep_until(wait.timeout), if wait.timeout.is_some() => Ok(Woken::Other),
        }
    }

    /// Reads once: a busy peer must not starve the relays of this thread.
    async fn read(&mut self) -> Result<(), Ended> {
        let input = self.inbound.read(&self.shared.socket);
        match input.map_err(Ended::of_socket)? {
            Input::Bytes(n) => {
                self.shared.counters.received.add(n as u64);
                self.handle_input()?;
                if n >= MUCH {
                    tokio::task::yield_now().await;
                }
                Ok(())
            }
            Input::Nothing => Ok(()),
            Input::Ended => Err(Ended::ClosedByPeer),
        }
    }

    fn handle_input(&mut self) -> Result<(), Ended> {
        let handled = self.inbound.handle(&self.shared, &self.owner);
        handled.map_err(Ended::Protocol)
    }

    /// Sends the peer the reason of the end, if that still works.
    fn say_why(&self, error: &Error) {
        if let Some(disconnect) = error.disconnect() {
            self.shared.state().connection.disconnect(&disconnect);
            let _ = self.shared.flush();
        }
    }
}

impl Drop for Driver {
    /// If there is no end yet, the driver panicked by a bug, or its runtime shuts down: waiting tasks must not wait any
    /// longer.
    fn drop(&mut self) {
        if self.shared.state().ended.is_none() {
            let why = "internal error; the program's messages say more";
            self.shared.end(Ended::Broken(why.into()));
        }
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
