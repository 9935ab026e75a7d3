//! Two ends joined by a simulated link in simulated time. Nothing here sleeps: the clock jumps to what happens next.

mod end;
mod flow;
mod link;

use std::time::{Duration, Instant};

use adit_proto::channels::ChannelId;
use adit_proto::connection::KeepAlive;
use adit_proto::key::SigningKey;
use adit_proto::message::connection::{ChannelType, TcpAddresses};
use adit_proto::transport::algorithms::Algorithms;
use adit_proto::transport::{RekeyLimit, TransportConfig};

pub(crate) use end::{End, EndConfig, Injection, Role};
pub(crate) use flow::{Flow, Pace};
pub(crate) use link::{Condition, Link, LinkConfig};

/// Steps at one instant after which something is going round in circles.
const MAX_STEPS_PER_INSTANT: u32 = 10_000;
/// Simulated time that nothing in these tests may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Settings that differ from test to test.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) link: LinkConfig,
    pub(crate) client: EndConfig,
    pub(crate) server: EndConfig,
    pub(crate) user_key: SigningKey,
}

impl Default for Setup {
    fn default() -> Self {
        let end = || EndConfig {
            transport: TransportConfig {
                algorithms: Algorithms::default(),
                rekey: RekeyLimit::default(),
                host_keys: Vec::new(),
            },
            keep_alive: None,
        };
        let mut server = end();
        server.transport.host_keys = vec![ed25519()];
        Self {
            link: LinkConfig::LAN,
            client: end(),
            server,
            user_key: ed25519(),
        }
    }
}

impl Setup {
    pub(crate) fn over(link: LinkConfig) -> Self {
        Self {
            link,
            ..Self::default()
        }
    }

    /// The same algorithms at both ends.
    pub(crate) fn algorithms(mut self, algorithms: &Algorithms) -> Self {
        self.client.transport.algorithms = algorithms.clone();
        self.server.transport.algorithms = algorithms.clone();
        self
    }

    pub(crate) fn client_rekeys(mut self, limit: RekeyLimit) -> Self {
        self.client.transport.rekey = limit;
        self
    }

    pub(crate) fn server_rekeys(mut self, limit: RekeyLimit) -> Self {
        self.server.transport.rekey = limit;
        self
    }

    pub(crate) fn keep_alive(mut self, keep_alive: KeepAlive) -> Self {
        self.client.keep_alive = Some(keep_alive);
        self
    }

    /// Two ends that have not spoken yet.
    pub(crate) fn start(self) -> Pair {
        let authorized = self.user_key.public_key().clone();
        let host_key = self.server.transport.host_keys[0].public_key().clone();
        self.start_as(
            |key| Role::Client { key, host_key },
            Role::Server { authorized },
        )
    }

    /// The same, with other beliefs.
    pub(crate) fn start_as(self, client: impl FnOnce(SigningKey) -> Role, server: Role) -> Pair {
        let now = Instant::now() + Duration::from_secs(1_000_000);
        Pair {
            now,
            client: End::new(client(self.user_key), self.client),
            server: End::new(server, self.server),
            to_server: Link::new(self.link, now),
            to_client: Link::new(self.link, now),
        }
    }

    /// Two ends, the user logged in.
    pub(crate) fn connect(self) -> Pair {
        let mut pair = self.start();
        pair.run_until(|p| p.client.is_connected() && p.server.is_connected());
        pair
    }
}

/// A fresh key.
pub(crate) fn ed25519() -> SigningKey {
    SigningKey::generate_ed25519().unwrap()
}

/// A client and a server.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) to_server: Link,
    pub(crate) to_client: Link,
}

/// One channel by its two numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    pub(crate) client: ChannelId,
    pub(crate) server: ChannelId,
}

impl Pair {
    /// Opens a channel from the client.
    pub(crate) fn open(&mut self) -> Ids {
        let before = self.server.flows.len();
        let now = self.now;
        let channels = self.client.connection().channels();
        let client = channels.open(direct_tcpip(), now).expect("room for it");
        self.run_until(|p| p.client.flows.contains_key(&client));
        assert_eq!(self.server.flows.len(), before + 1);
        let server = self.server.newest_asked.expect("a channel was asked for");
        Ids { client, server }
    }

    /// Runs until `done`; anything that ends one of the two before is a failure.
    pub(crate) fn run_until(&mut self, done: impl Fn(&Pair) -> bool) {
        let deadline = self.now + PATIENCE;
        self.run(deadline, |p| {
            assert_eq!(p.client.error, None, "client");
            assert_eq!(p.server.error, None, "server");
            done(p)
        });
        assert!(done(self), "nothing more happens");
    }

    /// Runs until both ends are over.
    pub(crate) fn run_to_end(&mut self) {
        let deadline = self.now + PATIENCE;
        let over = |p: &Pair| p.client.error.is_some() && p.server.error.is_some();
        self.run(deadline, over);
        assert!(over(self), "still alive");
    }

    /// Runs for so long.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let deadline = self.now + time;
        self.run(deadline, |_| false);
        self.now = deadline;
    }

    fn run(&mut self, deadline: Instant, done: impl Fn(&Pair) -> bool) {
        let mut steps = 0;
        loop {
            let now = self.now;
            self.client
                .step(&mut self.to_client, &mut self.to_server, now);
            self.server
                .step(&mut self.to_server, &mut self.to_client, now);
            if done(self) {
                return;
            }
            match self.next_wake().map(|next| next.max(now)) {
                Some(next) if next <= deadline => self.now = next,
                _ => return,
            }
            steps = if self.now > now { 0 } else { steps + 1 };
            assert!(steps < MAX_STEPS_PER_INSTANT, "going round in circles");
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        [
            self.to_server.next_wake(self.now),
            self.to_client.next_wake(self.now),
            self.client.next_wake(),
            self.server.next_wake(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

/// Type of the channels of these tests.
pub(crate) fn direct_tcpip() -> ChannelType {
    ChannelType::DirectTcpip(TcpAddresses {
        host: "db".into(),
        port: 5432,
        originator_address: "127.0.0.1".into(),
        originator_port: 40_000,
    })
}
