//! Logins, one type for each role. Both become the common [`Handle`] and [`Inbox`] after the login.
//!
//! ```text
//!   ClientLogin::start ─▶ HostKey ─▶ accept_host_key ─▶ authenticate, … ─▶ Success ─┐
//!                                                                                    ├─▶ finish ─▶ Handle, Inbox
//!   ServerLogin::start ─▶ next ─▶ LoginRequest ─▶ reject, confirm_key or accept ─────┘
//! ```

mod client;
mod server;

use std::sync::Arc;

use adit_proto::connection::Connection;
use tokio::sync::mpsc;

pub use client::{ClientLogin, ClientLoginEvent};
pub use server::{LoginRequest, PendingAnswer, ServerLogin};

use super::connection::Handle;
use super::driver;
use super::incoming::{Inbox, Notice};
use super::stream::Stream;

/// Proof of a finished login: a client gets it with the server's success, a server by its own.
#[derive(Debug)]
#[must_use = "the login is to be finished"]
pub struct LoginSuccess(Handle);

impl LoginSuccess {
    fn is_of(&self, handle: &Handle) -> bool {
        Arc::ptr_eq(&self.0.0, &handle.0)
    }
}

/// A connection during its login. Dropping it ends the connection, which has no owner then.
#[derive(Debug)]
struct Unfinished {
    handle: Handle,
    notices: mpsc::Receiver<Notice>,
    guard: Guard,
}

#[derive(Debug)]
struct Guard {
    handle: Handle,
    is_over: bool,
}

impl Unfinished {
    /// Starts the connection as a task of this runtime. `early` has the bytes that were read after the peer's
    /// identification.
    fn start(socket: Stream, connection: Connection, early: &[u8]) -> Self {
        let (handle, notices, driver) = driver::start(socket, connection, early);
        tokio::spawn(driver);
        let guard = Guard {
            handle: handle.clone(),
            is_over: false,
        };
        Self {
            handle,
            notices,
            guard,
        }
    }

    /// The connection after the login. The success of another login does not count: it ends this connection.
    fn finish(mut self, success: &LoginSuccess) -> (Handle, Inbox) {
        self.guard.is_over = success.is_of(&self.handle);
        (self.handle.clone(), Inbox::new(self.notices))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.is_over && !self.handle.is_ended() {
            self.handle.end("the login was given up");
        }
    }
}

#[cfg(test)]
mod tests;
