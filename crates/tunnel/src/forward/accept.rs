//! The accept loop of every listening socket, and its pauses: while the process has no descriptor left, and while the
//! share that connections are counted in is full.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use log::Level;

use super::descriptors::{Permit, Share};
use crate::net::listener::{Accepted, Listener, describe};
use crate::repeats::{self, Source};

/// Pause after an error that lasts: descriptors that ran out, most often.
const PAUSE: Duration = Duration::from_secs(1);

/// An accept loop's surroundings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acceptor<'a> {
    /// The listener's name in the log.
    pub(crate) label: &'a str,
    /// Level of the lines about pauses.
    pub(crate) level: Level,
    /// Share in which every connection takes one place.
    pub(crate) descriptors: &'a Share,
}

impl Acceptor<'_> {
    /// Accepts until the task is ended. `serve` gets each connection with its place, and returns at once.
    pub(crate) async fn run(self, listener: &Listener, mut serve: impl FnMut(Accepted, Permit)) {
        loop {
            match self.accept(listener).await {
                Ok((accepted, place)) => serve(accepted, place),
                Err(error) => {
                    self.say_pause(&format!("cannot accept: {}", describe(&error)));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// The next connection. While the share is full none is accepted: those that come wait in the kernel's queue. A
    /// listener to which nobody comes holds a place for itself only.
    async fn accept(self, listener: &Listener) -> io::Result<(Accepted, Permit)> {
        loop {
            let accepted = poll_fn(|cx| match self.descriptors.take(1) {
                Err(_) => Poll::Ready(None),
                // The place is given back at once where nobody has come.
                Ok(place) => listener
                    .poll_accept(cx)
                    .map(|a| Some(a.map(|a| (a, place)))),
            });
            match accepted.await {
                Some(accepted) => return accepted,
                None => self.wait_for_room().await,
            }
        }
    }

    async fn wait_for_room(self) {
        self.say_pause("too many open connections; accepts no further until one ends");
        self.descriptors.freed().await;
    }

    /// Said each second, for as long as it lasts.
    fn say_pause(self, why: &str) {
        let (label, source) = (self.label, Source::Named(self.label.to_owned()));
        let line = format_args!("{label}: {why}");
        repeats::log(self.level, source, "pauses without a descriptor", line);
    }
}
