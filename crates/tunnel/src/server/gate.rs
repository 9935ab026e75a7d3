//! The gate: limits on connections before any work is done for them (`MaxStartups`, `PerSourceMaxStartups`,
//! `PerSourcePenalties`), and penalties for their addresses at their end.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use adit_proto::message::transport::DisconnectReason;
use log::Level;

use super::Peer;
use super::penalties::{Cause, NetBlock, Penalties, ShutOut};
use super::settings::ServerSettings;
use super::startups::{Exceeded, Startup, Startups};
use crate::repeats::{self, Source};

/// Gate of a server.
#[derive(Debug, Default)]
pub(super) struct Gate {
    startups: Startups,
    penalties: Arc<Mutex<Penalties>>,
}

impl Gate {
    /// Admits a connection, or returns the reason of the refusal.
    pub(super) fn enter(
        &self,
        peer: Option<SocketAddr>,
        settings: &Arc<ServerSettings>,
        now: Instant,
    ) -> Result<Visit, Refusal> {
        let source = peer.map(|peer| NetBlock::of(peer.ip(), settings.net_block_size));
        if let (Some(peer), Some(source), Some(rules)) = (peer, source, &settings.penalties)
            && !settings.is_exempt(peer.ip())
        {
            let mut penalties = self
                .penalties
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let judged = penalties.judge(source, rules, now);
            judged.map_err(Refusal::ShutOut)?;
        }
        let (all, of_source) = (settings.max_startups, settings.per_source_max_startups);
        let entered = self.startups.enter(source, all, of_source);
        Ok(Visit {
            peer,
            source,
            settings: settings.clone(),
            penalties: self.penalties.clone(),
            cause: None,
            startup: Some(entered.map_err(Refusal::Startups)?),
        })
    }

    /// Logs a refusal with OpenSSH's text. Repeated ones of an address are counted.
    pub(super) fn log(
        &self,
        refusal: Refusal,
        peer: Option<SocketAddr>,
        local: Option<SocketAddr>,
    ) {
        let bracketed = |address: Option<SocketAddr>| {
            address.map_or("[UNKNOWN]:65535".into(), |address| {
                format!("[{}]:{}", address.ip().to_canonical(), address.port())
            })
        };
        let line = format_args!(
            "drop connection #{} from {} on {} {}",
            self.startups.count(),
            bracketed(peer),
            bracketed(local),
            refusal.in_the_log()
        );
        Peer(peer).log(Level::Info, "connections not let in", line);
    }
}

/// Reason why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its address has penalties.
    ShutOut(ShutOut),
    /// Too many connections have not logged in yet.
    Startups(Exceeded),
}

impl Refusal {
    /// OpenSSH's text for the log.
    fn in_the_log(self) -> &'static str {
        match self {
            Self::ShutOut(ShutOut::For(cause, _)) => cause.in_the_log(),
            Self::ShutOut(ShutOut::TableFull) => "too many penalised addresses",
            Self::Startups(Exceeded::All) => "past MaxStartups",
            Self::Startups(Exceeded::OfSource) => "past PerSourceMaxStartups",
        }
    }

    /// Reason for the client. It does not reveal whether a user exists.
    pub(super) fn for_the_client(self) -> String {
        let (what, left) = match self {
            Self::ShutOut(ShutOut::For(cause, left)) => {
                let what = match cause {
                    Cause::AuthFail | Cause::InvalidUser => "too many failed logins",
                    Cause::NoAuth => "too many connections without a login",
                    Cause::GraceExceeded => "too many logins that took too long",
                    Cause::Crash => "connections that broke this server",
                };
                (what, left)
            }
            Self::ShutOut(ShutOut::TableFull) => {
                return "too many addresses are shut out, try again later".into();
            }
            Self::Startups(Exceeded::All) => {
                return "too many connections are about to log in, try again in a moment".into();
            }
            Self::Startups(Exceeded::OfSource) => {
                return "too many connections from your address are about to log in, try again in a moment".into();
            }
        };
        // A client that comes back after this time is admitted.
        let seconds = left.as_secs() + 1;
        format!("{what} from your address, try again in {seconds} s")
    }

    /// The reason as a code (RFC 4253 §11.1).
    pub(super) fn code(self) -> DisconnectReason {
        match self {
            Self::ShutOut(_) => DisconnectReason::HOST_NOT_ALLOWED_TO_CONNECT,
            Self::Startups(_) => DisconnectReason::TOO_MANY_CONNECTIONS,
        }
    }
}

/// A connection that was admitted, until it logs in. If it is served and ends before, its address gets a penalty; if it
/// could not be served, it gets none.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) peer: Option<SocketAddr>,
    source: Option<NetBlock>,
    settings: Arc<ServerSettings>,
    penalties: Arc<Mutex<Penalties>>,
    cause: Option<Cause>,
    startup: Option<Startup>,
}

impl Visit {
    /// Notes what the connection has done: the cause of its address's penalty.
    pub(super) fn blame(&mut self, cause: Cause) {
        self.cause = Some(cause);
    }

    /// Notes that its address gets no penalty, as after a login.
    pub(super) fn forgive(&mut self) {
        self.cause = None;
    }

    /// Notes the login, which frees a place for the next connection.
    pub(super) fn logged_in(&mut self) {
        self.forgive();
        self.startup = None;
    }

    fn penalise(&self, cause: Cause, now: Instant) {
        let (Some(peer), Some(source), Some(rules)) =
            (self.peer, self.source, &self.settings.penalties)
        else {
            return;
        };
        if self.settings.is_exempt(peer.ip()) {
            return;
        }
        let mut penalties = self
            .penalties
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let began = penalties.add(source, cause, rules, now);
        drop(penalties);
        if let Some(span) = began {
            let address = peer.ip().to_canonical();
            let why = cause.in_the_log();
            let line = format_args!("{address}: shut out for {} s: {why}", span.as_secs());
            // One kind for all addresses: each address has one such line only, so a bound for each would not limit
            // them.
            repeats::log(Level::Info, Source::Others, "addresses shut out", line);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // None after a login.
        if let Some(cause) = self.cause {
            let cause = match thread::panicking() {
                true => Cause::Crash,
                false => cause,
            };
            self.penalise(cause, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Lookups;
    use crate::config::sshd_config::ServerOptions;
    use crate::server::LocalAccount;

    fn settings(lines: &[&str]) -> Arc<ServerSettings> {
        let mut options = ServerOptions::default();
        for line in lines {
            options.apply_line(line, &Lookups::none()).unwrap();
        }
        let account = LocalAccount::own().unwrap();
        let settings = ServerSettings::new(options, Vec::new(), account);
        Arc::new(settings.unwrap().0)
    }

    fn peer() -> Option<SocketAddr> {
        Some(SocketAddr::from(([192, 0, 2, 1], 50_000)))
    }

    /// Admits `count` connections and ends them with this cause.
    fn visits(gate: &Gate, settings: &Arc<ServerSettings>, count: usize, cause: Option<Cause>) {
        for _ in 0..count {
            let mut visit = gate.enter(peer(), settings, Instant::now()).unwrap();
            match cause {
                Some(cause) => visit.blame(cause),
                None => visit.logged_in(),
            }
        }
    }

    #[test]
    fn failed_logins_shut_their_address_out_and_successful_ones_do_not() {
        let (gate, settings) = (Gate::default(), settings(&[]));
        visits(&gate, &settings, 10_000, None);
        visits(&gate, &settings, 4, Some(Cause::AuthFail));
        let refusal = gate.enter(peer(), &settings, Instant::now()).unwrap_err();
        assert_eq!(
            refusal.for_the_client(),
            "too many failed logins from your address, try again in 20 s"
        );
        let other = Some(SocketAddr::from(([192, 0, 2, 2], 50_000)));
        assert!(gate.enter(other, &settings, Instant::now()).is_ok());
    }

    #[test]
    fn connection_that_could_not_be_served_causes_no_penalty() {
        let (gate, settings) = (Gate::default(), settings(&[]));
        for _ in 0..100 {
            assert!(gate.enter(peer(), &settings, Instant::now()).is_ok());
        }
    }

    #[test]
    fn client_is_not_told_whether_the_user_exists() {
        let said = [Cause::AuthFail, Cause::InvalidUser].map(|cause| {
            let gate = Gate::default();
            let settings = settings(&[]);
            visits(&gate, &settings, 4, Some(cause));
            let refusal = gate.enter(peer(), &settings, Instant::now());
            refusal.unwrap_err().for_the_client()
        });
        assert_eq!(said[0], said[1]);
    }

    #[test]
    fn exempt_address_gets_no_penalty() {
        for lines in [
            &["PerSourcePenaltyExemptList 10.0.0.0/8,192.0.2.*"][..],
            &["PerSourcePenalties no"],
        ] {
            let (gate, settings) = (Gate::default(), settings(lines));
            visits(&gate, &settings, 100, Some(Cause::Crash));
            assert!(gate.enter(peer(), &settings, Instant::now()).is_ok());
        }
    }

    #[test]
    fn connection_that_makes_the_server_panic_is_punished_like_a_crash() {
        let (gate, settings) = (Gate::default(), settings(&[]));
        let mut visit = gate.enter(peer(), &settings, Instant::now()).unwrap();
        visit.blame(Cause::NoAuth);
        let panicked = thread::spawn(move || {
            let _visit = visit;
            panic!("as a test");
        });
        assert!(panicked.join().is_err());
        let refusal = gate.enter(peer(), &settings, Instant::now()).unwrap_err();
        assert_eq!(refusal.in_the_log(), "penalty: caused crash");
    }

    #[test]
    fn connections_of_one_address_without_login_are_limited() {
        let (gate, settings) = (Gate::default(), settings(&["PerSourceMaxStartups 2"]));
        let enter = |peer| gate.enter(peer, &settings, Instant::now());
        let mut first = enter(peer()).unwrap();
        let _second = enter(peer()).unwrap();
        let exceeded = Refusal::Startups(Exceeded::OfSource);
        assert_eq!(enter(peer()).unwrap_err(), exceeded);
        assert!(enter(Some(SocketAddr::from(([192, 0, 2, 2], 1)))).is_ok());
        first.logged_in();
        assert!(enter(peer()).is_ok());
    }
}
