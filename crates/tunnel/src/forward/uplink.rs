//! Uplink: the connection on which a listener opens channels. That of aditd is fixed; that of a tunnel comes and goes.
//!
//! ```text
//!                set_up                  set_over
//!   ┌────────┐ ─────────▶ ┌──────┐ ─────────────────▶ ┌──────┐
//!   │  Down  │            │  Up  │                    │ Over │
//!   └────────┘ ◀───────── └──────┘  from Down as well └──────┘
//!       │        set_down                                 │
//!   applications wait, in places that are counted     they are refused
//! ```
//!
//! An application that has ended its own direction may still listen, or be gone: the kernel does not report it. It
//! leaves its place to others, and waits among a separate number of such applications.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fmt, sync::Arc};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::net::{Ended, Handle, Stream};

/// Connection of a listener to its peer.
#[derive(Debug, Clone)]
pub enum Uplink {
    /// One connection, which the listener does not outlive.
    Fixed(Handle),
    /// One connection after the other.
    Changing(Arc<ChangingUplink>),
}

impl Uplink {
    /// The connection to open a channel on, if there is one. It may have ended a moment ago.
    pub(super) fn current(&self) -> Option<Handle> {
        match self {
            Self::Fixed(handle) => Some(handle.clone()),
            Self::Changing(uplink) => match &*uplink.state.borrow() {
                State::Up(handle) => Some(handle.clone()),
                State::Down(_) | State::Over(_) => None,
            },
        }
    }

    /// Waits for a connection that has not ended, on behalf of `app`.
    ///
    /// # Errors
    /// There will be no connection, or it takes too long, or too many wait.
    pub(super) async fn wait(&self, app: &Stream) -> Result<Handle, NoUplink> {
        match self {
            Self::Fixed(handle) => Err(NoUplink::Over(handle.why_ended())),
            Self::Changing(uplink) => uplink.wait(app).await,
        }
    }
}

/// Reason why an application gets no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoUplink {
    /// There will be no connection any more.
    Over(Ended),
    /// There is no connection, and too many applications wait for the next.
    Crowded {
        /// Reason why there is none.
        why: String,
        /// Number of applications that wait.
        waiting: usize,
    },
    /// There was no connection within the time limit.
    TooLong {
        /// Reason why there is none.
        why: String,
        /// Time limit that has passed.
        waited: Duration,
    },
    /// The application has gone.
    NotWanted,
}

impl fmt::Display for NoUplink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over(ended) => write!(f, "{ended}"),
            Self::Crowded { why, waiting } => {
                write!(f, "not connected ({why}), and {waiting} connections wait")
            }
            Self::TooLong { why, waited } => {
                write!(f, "not connected for {} seconds: {why}", waited.as_secs())
            }
            Self::NotWanted => write!(f, "the application has gone"),
        }
    }
}

/// Bounds of the applications that wait for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingBounds {
    /// Limit of their number; the same number of half-closed ones may wait beside them.
    pub applications: usize,
    /// Limit of the time that each waits.
    pub time: Duration,
}

impl Default for WaitingBounds {
    fn default() -> Self {
        Self {
            applications: 1024,
            time: Duration::from_secs(60),
        }
    }
}

/// An uplink that comes and goes.
#[derive(Debug)]
pub struct ChangingUplink {
    state: watch::Sender<State>,
    bounds: WaitingBounds,
    waiting: AtomicUsize,
    /// Waiting applications that have ended their own direction; not counted in `waiting`.
    half_closed: AtomicUsize,
}

#[derive(Debug)]
enum State {
    Up(Handle),
    Down(String),
    Over(Ended),
}

impl ChangingUplink {
    /// An uplink without a connection, and the reason why there is none.
    pub fn new(bounds: WaitingBounds, why: &str) -> Arc<Self> {
        Arc::new(Self {
            state: watch::Sender::new(State::Down(why.to_owned())),
            bounds,
            waiting: AtomicUsize::new(0),
            half_closed: AtomicUsize::new(0),
        })
    }

    /// Notes a new connection: waiting applications continue.
    pub fn set_up(&self, handle: Handle) {
        self.set(State::Up(handle));
    }

    /// Notes that there is no connection at present.
    pub fn set_down(&self, why: &str) {
        self.set(State::Down(why.to_owned()));
    }

    /// Notes that there will be no connection any more: waiting applications are refused.
    pub fn set_over(&self, ended: Ended) {
        self.set(State::Over(ended));
    }

    fn set(&self, next: State) {
        self.state.send_if_modified(|state| {
            let may_change = !matches!(state, State::Over(_));
            if may_change {
                *state = next;
            }
            may_change
        });
    }

    /// Number of applications that wait for a connection.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed) + self.half_closed.load(Ordering::Relaxed)
    }

    /// Reason why there is no connection.
    pub fn why_not(&self) -> String {
        match &*self.state.borrow() {
            State::Up(handle) => handle.why_ended().to_string(),
            State::Down(why) => why.clone(),
            State::Over(ended) => ended.to_string(),
        }
    }

    async fn wait(&self, app: &Stream) -> Result<Handle, NoUplink> {
        let mut states = self.state.subscribe();
        if let Some(decided) = states.borrow().decided() {
            return decided;
        }
        let most = self.bounds.applications;
        let place = Place::take(&self.waiting, most).ok_or_else(|| NoUplink::Crowded {
            why: self.why_not(),
            waiting: most,
        })?;
        let decided = async {
            loop {
                // We own the sender, so it is not dropped.
                let _ = states.changed().await;
                if let Some(decided) = states.borrow_and_update().decided() {
                    return decided;
                }
            }
        };
        tokio::select! {
            biased;
            decided = decided => decided,
            () = self.leave(app, place) => Err(NoUplink::NotWanted),
            () = sleep(self.bounds.time) => Err(NoUplink::TooLong {
                why: self.why_not(),
                waited: self.bounds.time,
            }),
        }
    }

    /// Waits until the application is gone, or half-closed without a free place.
    async fn leave(&self, app: &Stream, place: Place<'_>) {
        app.input_ended().await;
        if app.is_gone() {
            return;
        }
        let Some(_place) = Place::take(&self.half_closed, self.bounds.applications) else {
            return;
        };
        drop(place);
        app.broken().await;
    }
}

impl State {
    /// The result of the wait, if it is over.
    fn decided(&self) -> Option<Result<Handle, NoUplink>> {
        match self {
            Self::Up(handle) if !handle.is_ended() => Some(Ok(handle.clone())),
            Self::Up(_) | Self::Down(_) => None,
            Self::Over(ended) => Some(Err(NoUplink::Over(ended.clone()))),
        }
    }
}

/// Place of a waiting application, until it is dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    /// Takes one of `most` places, if one is free.
    fn take(taken: &'a AtomicUsize, most: usize) -> Option<Self> {
        let one_more = |taken| (taken < most).then_some(taken + 1);
        let took = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        took.ok().map(|_| Self(taken))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
