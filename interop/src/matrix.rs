//! One line per pairing, one test per cell.
//!
//! ```ignore
//! adit_interop::matrix! {
//!     adit_to_dropbear: Adit => Dropbear [login local remote bulk half_close];
//! }
//! ```
//!
//! becomes a module `adit_to_dropbear` with a test for each cell in brackets, each of them a function of [`Pairing`].
//! [`each_pairing`](crate::each_pairing) does the same for functions that a test file brings itself.

use crate::forward::{Address, Forward};
use crate::missing::Missing;
use crate::peer::{Client, ClientAsk, Peer, Rekey, Server, ServerAsk};
use crate::ports::free_port;
use crate::scratch::{Key, Scratch};
use crate::traffic::{MIB, Target, Visitor};
use std::process::Command;
use std::time::{Duration, Instant};

/// The bulk transfer of each direction.
const BULK: u64 = 100 * 1_000_000;
/// The streams that run at once, and what each carries each way.
const STREAMS: usize = 40;
const STREAM: u64 = 2 * MIB;
/// More than any window and socket buffer between a target and a reader that has stopped.
const STALLED: u64 = 24 * MIB;
/// An echo beside a stalled reader must come back within this time.
const PROMPT: Duration = Duration::from_secs(5);

/// A client peer and a server peer that must get on with each other.
pub struct Pairing<'a> {
    client: &'a dyn Peer,
    server: &'a dyn Peer,
    scratch: Scratch,
}

impl<'a> Pairing<'a> {
    /// Brings two peers together.
    ///
    /// # Errors
    ///
    /// When one of them is not on this machine.
    pub fn new(client: &'a dyn Peer, server: &'a dyn Peer) -> Result<Self, Missing> {
        client.find()?;
        server.find()?;
        let scratch = Scratch::new()?;
        client.prepare(&scratch);
        Ok(Self {
            client,
            server,
            scratch,
        })
    }

    /// The directory of this test.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The name of the server peer.
    pub fn server_name(&self) -> &str {
        self.server.name()
    }

    /// Starts the server.
    pub fn serve(&self, ask: &ServerAsk) -> Server {
        Server::start(self.server, &self.scratch, ask)
    }

    /// Starts the client and waits for its forwards.
    pub fn connect(&self, server: &Server, ask: &ClientAsk) -> Client {
        Client::start(self.client, &self.scratch, server.port, ask)
    }

    /// Starts the client and waits for nothing.
    pub fn launch(&self, server: &Server, ask: &ClientAsk) -> Client {
        Client::launch(self.client, &self.scratch, server.port, ask)
    }

    /// The client's command, not yet started.
    pub fn client_command(&self, server: &Server, ask: &ClientAsk) -> Command {
        self.client.client(&self.scratch, server.port, ask)
    }

    /// The right key gets in, a stranger's does not.
    pub fn login(&self) {
        let target = Target::tcp();
        let server = self.serve(&ServerAsk::default());
        let mut ask = ClientAsk::forwards([local(&target)]);
        let listen = ask.forwards[0].listen().clone();
        let client = self.connect(&server, &ask);
        succeed(Visitor::new(listen).echo(b"let in"), &target);
        drop(client);

        ask.key = Key::Stranger;
        let (code, log) = self.launch(&server, &ask).end();
        assert!(
            code.is_some_and(|code| code != 0),
            "a stranger's key was let in: {log}"
        );
    }

    /// A connection through `-L`.
    pub fn local(&self) {
        self.tunnel(local, Rekey::Seldom, |visitor| {
            visitor.echo(b"through -L")?;
            visitor.exchange(4 * MIB)
        });
    }

    /// A connection through `-R`.
    pub fn remote(&self) {
        self.tunnel(remote, Rekey::Seldom, |visitor| {
            visitor.echo(b"through -R")?;
            visitor.exchange(4 * MIB)
        });
    }

    /// A connection through `-L` of which neither direction ends before all has come.
    pub fn local_talk(&self) {
        self.tunnel(local, Rekey::Seldom, |visitor| visitor.talk(4 * MIB));
    }

    /// The same through `-R`.
    pub fn remote_talk(&self) {
        self.tunnel(remote, Rekey::Seldom, |visitor| visitor.talk(4 * MIB));
    }

    /// 100 MB both ways at once, with new keys after every MiB.
    pub fn bulk(&self) {
        let exchanges = self.tunnel(local, Rekey::EveryMib, |visitor| visitor.exchange(BULK));
        // Data may run on while an exchange is under way, so not quite one for each MiB.
        assert!(
            exchanges >= 30,
            "only {exchanges} key exchanges in {BULK} bytes each way"
        );
    }

    /// Each direction ends by itself, through `-L` and through `-R`.
    pub fn half_close(&self) {
        self.tunnel(local, Rekey::Seldom, Visitor::half_close);
        self.tunnel(remote, Rekey::Seldom, Visitor::half_close);
    }

    /// 40 streams at once, 2 MB each way.
    pub fn streams(&self) {
        self.tunnel(local, Rekey::Seldom, |visitor| {
            visitor.many(STREAMS, STREAM)
        });
    }

    /// The same, but no stream sends before all are open, for a peer that loses bytes otherwise.
    pub fn streams_once_open(&self) {
        self.tunnel(local, Rekey::Seldom, |visitor| {
            visitor.many_once_open(STREAMS, STREAM)
        });
    }

    /// `streams` through `-R`.
    pub fn remote_streams(&self) {
        self.tunnel(remote, Rekey::Seldom, |visitor| {
            visitor.many(STREAMS, STREAM)
        });
    }

    /// 40 streams at once, with new keys after every MiB.
    pub fn streams_rekey(&self) {
        self.rekeyed_streams(Visitor::many);
    }

    /// The same, but no stream sends before all are open.
    pub fn streams_rekey_once_open(&self) {
        self.rekeyed_streams(Visitor::many_once_open);
    }

    /// Readers that have stopped, through `-L`, change nothing for those beside them.
    pub fn stalled(&self) {
        self.tunnel(local, Rekey::Seldom, beside_stalled);
    }

    /// The same through `-R`.
    pub fn remote_stalled(&self) {
        self.tunnel(remote, Rekey::Seldom, beside_stalled);
    }

    fn rekeyed_streams(&self, visit: fn(&Visitor, usize, u64) -> Result<(), String>) {
        let exchanges = self.tunnel(local, Rekey::EveryMib, |visitor| {
            visit(visitor, STREAMS, STREAM)
        });
        // Few, because up to 40 windows of 2 MiB may be on their way before a peer reads that keys are to change.
        assert!(exchanges >= 4, "only {exchanges} key exchanges");
    }

    /// Runs `visit` through one forward and returns how many key exchanges the logs show.
    fn tunnel(
        &self,
        forward: fn(&Target) -> Forward,
        rekey: Rekey,
        visit: impl Fn(&Visitor) -> Result<(), String>,
    ) -> usize {
        let target = Target::tcp();
        let mut server = self.serve(&ServerAsk {
            rekey,
            ..ServerAsk::default()
        });
        let mut ask = ClientAsk::forwards([forward(&target)]);
        ask.rekey = rekey;
        let mut client = self.connect(&server, &ask);
        let outcome = visit(&Visitor::new(ask.forwards[0].listen().clone()));
        if outcome.is_err() {
            // Which end gave up, and what it said: the failure below knows only the streams.
            eprintln!("the client's last words: {}", client.process.last_words());
            eprintln!("the server's last words: {}", server.process.last_words());
        }
        succeed(outcome, &target);
        assert!(client.process.gone().is_none(), "the client has ended");
        assert!(server.process.gone().is_none(), "the server has ended");
        let logs = [
            self.client.key_exchanges(&client.process.errors()),
            self.server.key_exchanges(&server.process.errors()),
        ];
        logs.into_iter()
            .flatten()
            .max()
            .unwrap_or_else(|| panic!("neither peer logs its key exchanges"))
    }
}

fn local(target: &Target) -> Forward {
    Forward::local(Address::loopback(free_port()), target.address().clone())
}

fn remote(target: &Target) -> Forward {
    Forward::remote(Address::loopback(free_port()), target.address().clone())
}

fn beside_stalled(visitor: &Visitor) -> Result<(), String> {
    let stalled: Vec<_> = (0..3)
        .map(|_| visitor.stall(STALLED))
        .collect::<Result<_, _>>()?;
    for _ in 0..20 {
        let begun = Instant::now();
        visitor.echo(b"still there?")?;
        let took = begun.elapsed();
        if took > PROMPT {
            return Err(format!("an echo beside stalled readers took {took:?}"));
        }
    }
    visitor.many(4, 4 * MIB)?;
    stalled.into_iter().try_for_each(|reader| reader.catch_up())
}

fn succeed(visit: Result<(), String>, target: &Target) {
    if let Err(failure) = visit {
        // The target's view first: it is often the cause.
        target.check();
        panic!("{failure}");
    }
    target.check();
}

/// Turns each line into a module of tests; see the module's own documentation.
#[macro_export]
macro_rules! matrix {
    ($($name:ident: $client:ident => $server:ident [$($cell:ident)+];)+) => {
        $(mod $name {
            $(#[test]
            fn $cell() {
                let pairing = $crate::matrix::Pairing::new(&$crate::peer::$client, &$crate::peer::$server);
                $crate::need!(pairing).$cell();
            })+
        })+
    };
}

/// `each_pairing! { [test_a test_b] adit_to_aditd: Adit => Adit; … }` makes a module for each pairing with a test for
/// each of the file's own functions of `&Pairing`.
#[macro_export]
macro_rules! each_pairing {
    (@one $name:ident $client:ident $server:ident [$($test:ident)+]) => {
        mod $name {
            $(#[test]
            fn $test() {
                let pairing = $crate::matrix::Pairing::new(&$crate::peer::$client, &$crate::peer::$server);
                super::$test(&$crate::need!(pairing));
            })+
        }
    };
    ($tests:tt $($name:ident: $client:ident => $server:ident;)+) => {
        $($crate::each_pairing!(@one $name $client $server $tests);)+
    };
}
