//! The line about a forward that is up: for a person at a terminal, and for nobody else.

use std::io::{IsTerminal as _, stderr};

use adit_tunnel::config::spec::{BindAddress, Forward, ListenSpec};
use adit_tunnel::policy::GatewayPorts;
use adit_tunnel::tunnel::Started;
use log::{debug, info};

use super::options::Meaning;
use crate::background;

/// Reader of standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// A person, in front of a program that stays.
    Person,
    /// A script, a file, or somebody who gets the terminal back at once: as silent as ssh.
    Others,
}

impl Audience {
    /// Finds out for a program whose messages do or don't go to a file or the system's log.
    pub(super) fn of(goes_elsewhere: bool) -> Self {
        let person = !goes_elsewhere && !background::is_background() && stderr().is_terminal();
        match person {
            true => Self::Person,
            false => Self::Others,
        }
    }
}

/// A forward is up: the port that the server chose is news for everybody, where it leads for a person.
pub(super) fn announce(forward: &Forward, started: &Started, meaning: &Meaning, host: &str) {
    let everybody = meaning.target.gateway_ports == GatewayPorts::Yes;
    match (started.allocated_port, forward) {
        (Some(port), Forward::Remote { target, .. }) => {
            info!("Allocated port {port} for remote forward to {target}");
        }
        (Some(port), _) => info!("Allocated port {port} for dynamic forward"),
        (None, _) if meaning.audience == Audience::Person => {
            info!("{}", way(forward, everybody, host));
        }
        (None, _) => debug!("{}: up", started.label),
    }
}

/// The way of a connection, from where it comes in to where it goes.
fn way(forward: &Forward, everybody: bool, host: &str) -> String {
    let here = || match forward.listen() {
        ListenSpec::Tcp {
            bind: BindAddress::Default,
            port,
        } if everybody => format!("*:{port}"),
        ListenSpec::Tcp {
            bind: BindAddress::Default,
            port,
        } => format!("localhost:{port}"),
        listen => listen.to_string(),
    };
    let there = || match forward.listen() {
        ListenSpec::Tcp {
            bind: BindAddress::Default,
            port,
        } => format!("port {port} of {host}"),
        listen => format!("{listen} of {host}"),
    };
    match forward {
        Forward::Local { target, .. } => format!("{} → {target} via {host}", here()),
        Forward::Dynamic { .. } => format!("{} → anywhere (SOCKS) via {host}", here()),
        Forward::Remote { target, .. } => format!("{} → {target} via this machine", there()),
        Forward::RemoteDynamic { .. } => {
            format!("{} → anywhere (SOCKS) via this machine", there())
        }
    }
}

#[cfg(test)]
mod tests {
    use adit_tunnel::config::Lookups;

    use super::*;

    #[test]
    fn way_leads_from_the_listener_to_the_target() {
        let lookups = Lookups::none();
        let local = |spec| Forward::parse_local(spec, &lookups).unwrap();
        let remote = |spec| Forward::parse_remote(spec, &lookups).unwrap();
        let dynamic = Forward::parse_dynamic("9000", &lookups).unwrap();
        for (forward, expected) in [
            (local("9000:a:80"), "localhost:9000 → a:80 via h"),
            (local("*:9000:a:80"), "*:9000 → a:80 via h"),
            (local("[::1]:9000:a:80"), "[::1]:9000 → a:80 via h"),
            (local("/s:/t"), "/s → /t via h"),
            (dynamic, "localhost:9000 → anywhere (SOCKS) via h"),
            (
                remote("9000:a:80"),
                "port 9000 of h → a:80 via this machine",
            ),
            (remote("*:9000:a:80"), "*:9000 of h → a:80 via this machine"),
            (
                remote("9000"),
                "port 9000 of h → anywhere (SOCKS) via this machine",
            ),
        ] {
            assert_eq!(way(&forward, false, "h"), expected);
        }
        let open = way(&local("9000:a:80"), true, "h");
        assert_eq!(open, "*:9000 → a:80 via h");
    }
}
