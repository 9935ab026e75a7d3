//! The task that runs one connection: it reads the SSH socket, keeps the timers and flushes what waits.
//!
//! It awaits its socket, its timer and its wake-up, and nothing else: never a consumer, a dial or a policy. `inbound`
//! handles what it reads, `turn` seals and writes what it flushes.

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

/// Bytes of one read that take so long to handle that others should have a turn.
const MUCH: usize = 64 << 10;

/// Begins to run a connection whose identification lines have been exchanged.
///
/// `early` is what was read behind the peer's identification. The future is the driver: spawn it.
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

/// The state of the connection, as far as the next wait depends on it.
struct Wait {
    /// True where there is no room to write what waits.
    for_room: bool,
    /// True where bytes of the peer may be handled.
    for_input: bool,
    timeout: Option<Instant>,
}

/// The reason for a wake-up.
enum Woken {
    Readable,
    /// Room to write, a timer, a wake-up: the next round sees to each of them.
    Other,
}

impl Driver {
    async fn run(mut self) -> Ended {
        let Err(ended) = self.serve().await;
        if let Ended::Protocol(error) = &ended {
            self.say_why(error);
        }
        self.shared.end(ended);
        // Relays may go on for a moment, and hold the socket: the peer need not wait for them.
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

    /// Writes what waits, and does what time asks for, also while there is always something to read.
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

    /// Reads once: a busy peer must not keep the relays of this thread waiting.
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

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
