//! The accept loop of all listening sockets. It pauses while the process has no free descriptor, and while the share of
//! its connections is full.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use log::Level;

use super::descriptors::{Permit, Share};
use crate::net::listener::{Accepted, Listener, describe};
use crate::repeats::{self, Source};

/// Pause after an error that lasts, most often a lack of descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// Parameters of an accept loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acceptor<'a> {
    /// Name of the listener in the log.
    pub(crate) label: &'a str,
    /// Level of the lines about pauses.
    pub(crate) level: Level,
    /// Share of which each connection takes one descriptor.
    pub(crate) descriptors: &'a Share,
}

impl Acceptor<'_> {
    /// Accepts until the task ends. `serve` gets each connection with its permit, and must return at once.
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

    /// Accepts the next connection. While the share is full, connections wait in the kernel's backlog. A listener
    /// without connections holds its own descriptor only.
    async fn accept(self, listener: &Listener) -> io::Result<(Accepted, Permit)> {
        loop {
            let accepted = poll_fn(|cx| match self.descriptors.take(1) {
                Err(_) => Poll::Ready(None),
                // Without a connection the permit is given back at once.
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

    /// Logs a pause, each second while it lasts.
    fn say_pause(self, why: &str) {
        let (label, source) = (self.label, Source::Named(self.label.to_owned()));
        let line = format_args!("{label}: {why}");
        repeats::log(self.level, source, "pauses without a descriptor", line);
    }
}
