//! Session channels of one login: how many there may be, and a task for each.
//!
//! ```text
//!   forwards ─ open ─▶ sessions ─▶ preparation ──────────▶ hands ──────▶ running
//!                      (a place)   (env, pty-req, exec …)  (the program)  (streams, signals, the end)
//! ```

mod preparation;
mod running;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adit_proto::message::connection::OpenFailureReason;
use log::Level;

use super::auth::Login;
use super::hands::{Hands, OwnHands};
use super::settings::ServerSettings;
use super::{Commons, Peer};
use crate::net::incoming::IncomingChannel;
use crate::session::remote::environment::Ends;
use preparation::Preparation;

/// Descriptors of a session: both ends of a terminal or two sockets, its copy, and the process.
const DESCRIPTORS: usize = 4;

/// Sessions of one login.
#[derive(Debug)]
pub(super) struct Sessions {
    login: Arc<Login>,
    hands: Arc<Hands>,
    places: Arc<Places>,
}

impl Sessions {
    /// None yet.
    pub(super) fn new(settings: &ServerSettings, commons: &Commons, login: Arc<Login>) -> Self {
        let ends = login.peer.zip(login.local);
        let hands = Hands::Own(OwnHands {
            account: settings.account.clone(),
            grant: login.sessions.clone(),
            starter: commons.starter.clone(),
            readers: commons.readers.clone(),
            ends: ends.map(|(peer, local)| Ends { peer, local }),
        });
        let places = Places::new(login.sessions.rules().max_sessions);
        Self {
            login,
            hands: Arc::new(hands),
            places,
        }
    }

    /// Serves a session on a channel of its own, or refuses it.
    pub(super) fn open(&self, asked: IncomingChannel) {
        let Some(place) = self.places.take() else {
            let who = self.login.who();
            let line = format_args!("{who}: no more sessions (MaxSessions)");
            Peer(self.login.peer).log(Level::Error, "refused sessions", line);
            // sshd's answer to what it cannot have: clients show it.
            asked.refuse(OpenFailureReason::CONNECT_FAILED, "open failed");
            return;
        };
        let descriptors = match self.login.descriptors.take(DESCRIPTORS) {
            Ok(descriptors) => descriptors,
            Err(full) => {
                let line = format_args!("{}: refused a session: {full}", self.login.who());
                Peer(self.login.peer).log(Level::Error, "refused sessions", line);
                asked.refuse(OpenFailureReason::RESOURCE_SHORTAGE, full.to_string());
                return;
            }
        };
        let preparation = Preparation::new(self.login.clone(), self.hands.clone(), place.number);
        tokio::spawn(async move {
            let channel = asked.accept();
            preparation.serve(&channel).await;
            drop((channel, descriptors, place));
        });
    }
}

/// Numbers of the sessions that there are.
#[derive(Debug)]
struct Places {
    most: usize,
    taken: Mutex<BTreeSet<usize>>,
}

impl Places {
    fn new(most: usize) -> Arc<Self> {
        let taken = Mutex::default();
        Arc::new(Self { most, taken })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lowest number that is free.
    fn take(self: &Arc<Self>) -> Option<Place> {
        let mut taken = self.taken();
        let number = (0..self.most).find(|number| !taken.contains(number))?;
        taken.insert(number);
        let places = self.clone();
        Some(Place { number, places })
    }
}

/// One of them; it is free again once this is dropped.
#[derive(Debug)]
struct Place {
    number: usize,
    places: Arc<Places>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_have_the_lowest_numbers_and_no_more_than_there_may_be() {
        let places = Places::new(2);
        let first = places.take().unwrap();
        let second = places.take().unwrap();
        assert_eq!((first.number, second.number), (0, 1));
        assert!(places.take().is_none());
        drop(first);
        assert_eq!(places.take().unwrap().number, 0);
        assert!(Places::new(0).take().is_none());
    }
}
