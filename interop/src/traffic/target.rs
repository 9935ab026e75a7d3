//! The far end: takes connections, does what each visitor asks, and remembers what went wrong.

use super::conn::{Conn, NARROW};
use super::{GREETING_LEN, Greeting, HERALD, Mode, pattern};
use crate::forward::Address;
use crate::wait::{self, Pending};
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{TcpListener, ToSocketAddrs};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A target's connection may be stalled on purpose for longer than a visitor's.
const SILENCE: Duration = Duration::from_secs(180);

/// A server that plays the part agreed in each visitor's greeting. Its thread ends with the test process.
pub struct Target {
    address: Address,
    failures: Arc<Mutex<Vec<String>>>,
    sips: Arc<AtomicUsize>,
}

impl Target {
    /// Listens on a free port of 127.0.0.1.
    pub fn tcp() -> Self {
        Self::tcp_on("127.0.0.1:0")
    }

    /// The same for slow readers: the system holds little that they have not read yet.
    ///
    /// # Panics
    ///
    /// When that cannot be set.
    pub fn narrow() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener for the target");
        SockRef::from(&listener)
            .set_recv_buffer_size(NARROW)
            .expect("a small buffer");
        Self::tcp_from(listener)
    }

    /// Listens on `addr`.
    ///
    /// # Panics
    ///
    /// When it cannot.
    pub fn tcp_on(addr: impl ToSocketAddrs) -> Self {
        Self::tcp_from(TcpListener::bind(addr).expect("a listener for the target"))
    }

    fn tcp_from(listener: TcpListener) -> Self {
        let address = Address::Tcp(listener.local_addr().expect("a bound address"));
        Self::serve(address, move || Ok(Conn::Tcp(listener.accept()?.0)))
    }

    /// Listens on a unix socket.
    ///
    /// # Panics
    ///
    /// When it cannot.
    pub fn unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a unix listener for the target");
        Self::serve(Address::unix(path), move || {
            Ok(Conn::Unix(listener.accept()?.0))
        })
    }

    /// Address that it listens on.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Panics if this end saw anything wrong.
    ///
    /// # Panics
    ///
    /// With everything that was wrong.
    pub fn check(&self) {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(
            failures.is_empty(),
            "at the target: {}",
            failures.join("; ")
        );
    }

    /// Waits until this end has slowly read `count` visits to their end, for visitors who don't see when that is.
    ///
    /// # Panics
    ///
    /// When it does not come to that, and with everything that was wrong.
    pub fn wait_for_sips(&self, count: usize) {
        wait::until("the target's slow readers", || {
            match self.sips.load(Ordering::Acquire) {
                done if done >= count => Ok(()),
                done => Err(Pending::NotYet(format!("{done} of {count} have ended"))),
            }
        })
        .unwrap_or_else(|late| panic!("{late}"));
        self.check();
    }

    fn serve(address: Address, accept: impl Fn() -> io::Result<Conn> + Send + 'static) -> Self {
        let failures = Arc::new(Mutex::new(Vec::new()));
        let sips = Arc::new(AtomicUsize::new(0));
        let (log, count) = (Arc::clone(&failures), Arc::clone(&sips));
        thread::spawn(move || {
            while let Ok(conn) = accept() {
                let (log, count) = (Arc::clone(&log), Arc::clone(&count));
                thread::spawn(move || {
                    if let Err(failure) = receive(conn, &count) {
                        log.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(failure);
                    }
                });
            }
        });
        Self {
            address,
            failures,
            sips,
        }
    }
}

/// Plays one visitor's part.
fn receive(conn: Conn, sips: &AtomicUsize) -> Result<(), String> {
    let mut conn = conn.bounded(SILENCE).map_err(|error| error.to_string())?;
    let mut bytes = [0; GREETING_LEN];
    if conn.read_exact(&mut bytes).is_err() {
        // Somebody only looked whether the tunnel is there.
        return Ok(());
    }
    let greeting = Greeting::from_bytes(bytes)?;
    let outcome =
        play(&mut conn, greeting).map_err(|failure| format!("{:?}: {failure}", greeting.mode));
    if greeting.mode == Mode::Sip {
        sips.fetch_add(1, Ordering::Release);
    }
    outcome
}

fn play(conn: &mut Conn, greeting: Greeting) -> Result<(), String> {
    let Greeting { mode, seed, length } = greeting;
    match mode {
        Mode::Echo => echo(conn).map_err(|error| error.to_string()),
        Mode::Exchange => exchange(conn, greeting),
        Mode::HeraldedExchange => {
            conn.write_all(&HERALD)
                .map_err(|error| format!("cannot herald: {error}"))?;
            exchange(conn, greeting)
        }
        Mode::AnswerAfterEof => {
            pattern::expect(conn, seed, length)?;
            reply(conn, greeting)
        }
        Mode::ListenAfterEof => {
            reply(conn, greeting)?;
            pattern::expect(conn, seed, length).map(drop)
        }
        // The visitor may walk away from a flood, but then it says so by its own failure.
        Mode::Flood => reply(conn, greeting),
        Mode::Sip => pattern::expect(&mut pattern::Sipping(conn), seed, length).map(drop),
    }
}

fn exchange(conn: &mut Conn, greeting: Greeting) -> Result<(), String> {
    let mut other = conn.try_clone().map_err(|error| error.to_string())?;
    thread::scope(|scope| {
        let sending = scope.spawn(move || reply(&mut other, greeting));
        pattern::expect(conn, greeting.seed, greeting.length)?;
        sending
            .join()
            .map_err(|_| "the sender panicked".to_owned())?
    })
}

fn reply(conn: &mut Conn, greeting: Greeting) -> Result<(), String> {
    pattern::send(conn, greeting.reply_seed(), greeting.length)
        .and_then(|_| conn.end_writing())
        .map_err(|error| format!("cannot send: {error}"))
}

fn echo(conn: &mut Conn) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = conn.read(&mut buffer)?;
        if count == 0 {
            // A visitor who has everything back may be gone.
            let _ = conn.end_writing();
            return Ok(());
        }
        conn.write_all(&buffer[..count])?;
    }
}
