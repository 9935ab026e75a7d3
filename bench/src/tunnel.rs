//! Tunnels: how one shall be, and one that runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use crate::contestant::{Contestant, Kind, Programs};
use crate::failure::{Attempt, Result};
use crate::link::{Link, LinkKind};
use crate::load::echo::{echo_connection, socks_echo};
use crate::measure::Processes;
use crate::process::Running;
use crate::workshop::{Server, Workshop, forward_spec, free_port, wait_until_ready};

/// A port found free may be taken before its user binds it; then all is tried anew.
const START_ATTEMPTS: u32 = 3;

/// AES-GCM, by its name in SSH.
pub(crate) const AES256_GCM: &str = "aes256-gcm@openssh.com";

/// ChaCha20-Poly1305, by its name in SSH.
pub(crate) const CHACHA20: &str = "chacha20-poly1305@openssh.com";

/// Purpose of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forward {
    Local,
    Remote,
    Dynamic,
}

/// Properties of a tunnel to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) forward: Forward,
    /// The `Ciphers` of both ends; nothing leaves them to their defaults.
    pub(crate) cipher: Option<&'static str>,
    /// Link between client and server; none for the loopback interface alone.
    pub(crate) link: Option<LinkKind>,
}

/// A tunnel that carries bytes. Dropping it ends its processes, the client's first.
#[derive(Debug)]
pub(crate) struct Tunnel {
    entries: Vec<SocketAddr>,
    clients: Vec<Running>,
    links: Vec<Link>,
    server: Option<Server>,
}

impl Setup {
    /// A local forward with the ends' own choice of cipher.
    pub(crate) const LOCAL: Self = Self {
        forward: Forward::Local,
        cipher: None,
        link: None,
    };

    /// A local forward with AES-GCM.
    pub(crate) const LOCAL_AES: Self = Self {
        cipher: Some(AES256_GCM),
        ..Self::LOCAL
    };
}

impl Tunnel {
    /// Makes a tunnel with one forward to each far end, by their ports, and waits until it carries bytes.
    pub(crate) fn start(
        workshop: &Workshop,
        contestant: &Contestant,
        setup: Setup,
        targets: &[u16],
    ) -> Result<Self> {
        let start = || match &contestant.kind {
            Kind::Ssh(programs) => Self::through_ssh(workshop, programs, setup, targets),
            Kind::Relays => Self::through_relays(workshop, setup, targets),
        };
        let mut attempt = 1;
        loop {
            match start() {
                Err(_) if attempt < START_ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn through_ssh(
        workshop: &Workshop,
        programs: &Programs,
        setup: Setup,
        targets: &[u16],
    ) -> Result<Self> {
        let server = workshop.server(&programs.server, setup.cipher)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()));
        let link = setup
            .link
            .map(|kind| Link::start(address, kind))
            .transpose()?;
        let door = link.as_ref().map_or(address, Link::address).port();
        let mut command = workshop.client(&programs.client, door, setup.cipher);
        let mut entries = Vec::new();
        for &target in targets {
            let port = free_port()?;
            match setup.forward {
                Forward::Local => command.args(["-L", &forward_spec(port, target)]),
                Forward::Remote => command.args(["-R", &forward_spec(port, target)]),
                Forward::Dynamic => command.args(["-D", &format!("127.0.0.1:{port}")]),
            };
            entries.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
        let mut client = Running::start(command, &workshop.fresh("client.log"))?;
        for (&entry, &target) in entries.iter().zip(targets) {
            wait_until_ready(&mut client, || match setup.forward {
                Forward::Dynamic => socks_echo(entry, target),
                Forward::Local | Forward::Remote => echo_connection(entry).map(drop),
            })?;
        }
        Ok(Self {
            entries,
            clients: vec![client],
            links: link.into_iter().collect(),
            server: Some(server),
        })
    }

    /// For each target the relay beside it, then the link if there is one, then the relay at the entry.
    fn through_relays(workshop: &Workshop, setup: Setup, targets: &[u16]) -> Result<Self> {
        let (mut entries, mut clients, mut links) = (Vec::new(), Vec::new(), Vec::new());
        for &target in targets {
            let (far, far_address) = relay(workshop, target)?;
            let link = setup
                .link
                .map(|kind| Link::start(far_address, kind))
                .transpose()?;
            let door = link.as_ref().map_or(far_address, Link::address).port();
            let (near, entry) = relay(workshop, door)?;
            let mut pair = [far, near];
            for relay in &mut pair {
                wait_until_ready(relay, || echo_connection(entry))?;
            }
            clients.extend(pair);
            links.extend(link);
            entries.push(entry);
        }
        Ok(Self {
            entries,
            clients,
            links,
            server: None,
        })
    }

    /// Address at which applications reach the first far end. Through a dynamic forward, in SOCKS.
    pub(crate) fn entry(&self) -> SocketAddr {
        self.entries[0]
    }

    /// The same for every far end, in the order in which they were named.
    pub(crate) fn entries(&self) -> &[SocketAddr] {
        &self.entries
    }

    /// The processes of both ends.
    pub(crate) fn processes(&self) -> Processes {
        let servers = self.server.iter().map(Server::pid);
        let clients = self.clients.iter().map(Running::pid);
        Processes::new(clients.chain(servers).collect())
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.clients.clear();
        self.links.clear();
        self.server = None;
    }
}

fn relay(workshop: &Workshop, target: u16) -> Result<(Running, SocketAddr)> {
    let own = std::env::current_exe().attempt(|| "find this program".to_owned())?;
    let port = free_port()?;
    let mut command = Command::new(own);
    command.args(["relay", &port.to_string(), &target.to_string()]);
    let relay = Running::start(command, &workshop.fresh("relay.log"))?;
    Ok((relay, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::contestant::tests::openssh;
    use crate::load::flow::{Flow, Way, rate};
    use crate::load::target::Target;

    #[test]
    fn every_forward_carries_bytes_and_costs_time() {
        let workshop = Workshop::open().unwrap();
        let target = Target::start().unwrap();
        for forward in [Forward::Local, Forward::Remote, Forward::Dynamic] {
            let setup = Setup {
                forward,
                ..Setup::LOCAL
            };
            let tunnel = Tunnel::start(&workshop, &openssh(), setup, &[target.port()]).unwrap();
            if forward == Forward::Dynamic {
                continue;
            }
            let flows = [Flow::start(tunnel.entry(), &target, Way::Send).unwrap()];
            let time = Duration::from_millis(200);
            let rate = rate(&flows, &tunnel.processes(), time, time).unwrap();
            assert!(rate.megabytes_per_second > 1.0, "{forward:?}: {rate:?}");
            assert!(rate.cpu_per_gigabyte > 0.0, "{forward:?}: {rate:?}");
        }
    }

    #[test]
    fn one_tunnel_reaches_several_far_ends() {
        let workshop = Workshop::open().unwrap();
        let (near, far) = (Target::start().unwrap(), Target::start().unwrap());
        let ports = [near.port(), far.port()];
        let tunnel = Tunnel::start(&workshop, &openssh(), Setup::LOCAL, &ports).unwrap();
        assert_ne!(tunnel.entry(), tunnel.entries()[1]);
        echo_connection(tunnel.entries()[1]).unwrap();
    }

    #[test]
    fn what_went_wrong_is_told_with_the_words_of_the_process() {
        let workshop = Workshop::open().unwrap();
        let target = Target::start().unwrap();
        let setup = Setup {
            cipher: Some("rot13"),
            ..Setup::LOCAL
        };
        let failure = Tunnel::start(&workshop, &openssh(), setup, &[target.port()]).unwrap_err();
        assert!(failure.to_string().contains("rot13"), "{failure}");
    }
}
