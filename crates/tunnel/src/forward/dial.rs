//! Dialling the target of a forward: resolve the name, ask the policy about each address, try the addresses in order.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::descriptors::{Full, Permit, Share};
use crate::config::values::AddressFamily;
use crate::net::Stream;
use crate::net::listener::describe;

/// Time limit for one address; the kernel's own is more than two minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Delay before the next address is tried beside one that has not answered.
const HEAD_START: Duration = Duration::from_millis(250);

/// Reason why a target could not be reached.
#[derive(Debug)]
pub enum DialError {
    /// The name could not be resolved.
    Resolve(io::Error),
    /// The policy permits none of its addresses.
    Denied(String),
    /// No address accepted the connection; this is the last error.
    Connect(io::Error),
    /// The share of the login is full.
    Full(Full),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Resolve(error) => write!(f, "cannot resolve: {}", resolve_reason(error)),
            DialError::Denied(why) => write!(f, "{why}"),
            DialError::Connect(error) => write!(f, "{}", describe(error)),
            DialError::Full(full) => write!(f, "{full}"),
        }
    }
}

impl std::error::Error for DialError {}

/// The resolver's error message, without the prefix of the standard library.
pub fn resolve_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&text);
    text.to_owned()
}

/// Resolves a host to its addresses, of one family if `family` names one.
pub async fn resolve(
    host: &str,
    port: u16,
    family: AddressFamily,
) -> Result<Vec<SocketAddr>, DialError> {
    // No limit on lookups or descriptors of others applies here.
    resolve_within(&Dials::default(), host, port, family).await
}

/// The same within the limits of `dials`. A host that is an address needs no lookup.
async fn resolve_within(
    dials: &Dials,
    host: &str,
    port: u16,
    family: AddressFamily,
) -> Result<Vec<SocketAddr>, DialError> {
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => {
            // The semaphore is never closed.
            let _place = dials.lookups.acquire().await;
            let _descriptor = dials.descriptors.take(1).map_err(DialError::Full)?;
            let found = tokio::net::lookup_host((host, port)).await;
            found.map_err(DialError::Resolve)?.collect()
        }
    };
    let in_family = |a: &SocketAddr| family.admits(a.ip());
    let wanted: Vec<_> = addresses.into_iter().filter(in_family).collect();
    if wanted.is_empty() {
        return Err(DialError::Resolve(io::Error::other(
            "no address of the wanted family",
        )));
    }
    Ok(wanted)
}

/// Names that the channels of one connection may resolve at once; further lookups wait. Without the limit one client
/// could occupy all threads that resolve names.
const LOOKUPS: usize = 64;

/// Limits on lookups and sockets of one connection's channels. A target that does not answer delays no other: each
/// attempt has its own descriptor, as long as the share has some.
#[derive(Debug)]
pub struct Dials {
    lookups: Semaphore,
    descriptors: Share,
}

impl Default for Dials {
    /// Limits of a connection that serves its own user only, without a limit on descriptors.
    fn default() -> Self {
        Self::within(Share::unlimited())
    }
}

impl Dials {
    /// Limits of a connection whose sockets count in this share.
    pub fn within(descriptors: Share) -> Self {
        Self {
            lookups: Semaphore::new(LOOKUPS),
            descriptors,
        }
    }
}

/// A socket to a target, and its permit.
pub type Dialled = (Stream, Permit);

/// Connects to the first address that the policy permits and that answers.
pub async fn dial_tcp(
    host: &str,
    port: u16,
    family: AddressFamily,
    dials: &Dials,
    permit: impl Fn(SocketAddr) -> Result<(), String>,
) -> Result<Dialled, DialError> {
    let mut permitted = Vec::new();
    let mut refusal = None;
    for address in resolve_within(dials, host, port, family).await? {
        match permit(address) {
            Ok(()) => permitted.push(address),
            Err(denied) => refusal = Some(denied),
        }
    }
    if let (true, Some(denied)) = (permitted.is_empty(), refusal) {
        return Err(DialError::Denied(denied));
    }
    // The channel needs one socket: if the share is full, nothing is dialled.
    let first = Mutex::new(Some(dials.descriptors.take(1).map_err(DialError::Full)?));
    let next = || {
        let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.map_or_else(|| dials.descriptors.take(1), Ok)
    };
    let connected = first_to_answer(permitted, |address| {
        let descriptor = next();
        async move {
            let descriptor = descriptor.map_err(io::Error::other)?;
            let stream = connect(address, CONNECT_TIMEOUT).await?;
            Ok((Stream::from(stream), descriptor))
        }
    });
    connected.await.map_err(DialError::Connect)
}

/// Connects to the addresses in order, and returns the first connection (after RFC 8305). The next attempt starts as
/// soon as one has failed or has not answered for a moment, so an address that drops packets delays the others little.
///
/// The error is that of the last attempt.
pub async fn first_to_answer<T, F: Future<Output = io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T> {
    let mut addresses = addresses.into_iter();
    let mut attempts = Vec::new();
    let mut last = io::ErrorKind::NotFound.into();
    loop {
        attempts.extend(addresses.next().map(|address| Box::pin(connect(address))));
        if attempts.is_empty() {
            return Err(last);
        }
        let answer = poll_fn(|cx| poll_any(&mut attempts, cx));
        let answer = match addresses.len() {
            0 => Ok(answer.await),
            _ => timeout(HEAD_START, answer).await,
        };
        match answer {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
    }
}

/// The outcome of the first attempt that is ready, which is removed from the list.
fn poll_any<T, F: Future<Output = io::Result<T>>>(
    attempts: &mut Vec<Pin<Box<F>>>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<T>> {
    for index in 0..attempts.len() {
        if let Poll::Ready(outcome) = attempts[index].as_mut().poll(cx) {
            drop(attempts.swap_remove(index));
            return Poll::Ready(outcome);
        }
    }
    Poll::Pending
}

/// Connects to one address, within `patience`.
///
/// A target on this machine has answered when `connect` returns: it needs no timer and no wait.
async fn connect(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    if let Err(error) = socket.connect(&address.into())
        && error.raw_os_error() != Some(Errno::EINPROGRESS as i32)
    {
        return Err(error);
    }
    let answered = socket.peer_addr().is_ok();
    let stream = TcpStream::from_std(socket.into())?;
    if !answered {
        timeout(patience, stream.writable())
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
    }
    Ok(stream)
}

/// Connects to a unix socket.
pub async fn dial_unix(path: &Path, dials: &Dials) -> Result<Dialled, DialError> {
    let descriptor = dials.descriptors.take(1).map_err(DialError::Full)?;
    let stream = UnixStream::connect(path)
        .await
        .map_err(DialError::Connect)?;
    Ok((stream.into(), descriptor))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    /// A socket that listens and never accepts, with a backlog of this length.
    pub(in super::super) fn listener(backlog: i32) -> (Socket, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&any.into()).unwrap();
        socket.listen(backlog).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, address)
    }

    #[tokio::test]
    async fn listening_target_is_connected() {
        let (listener, address) = listener(1);
        let stream = connect(address, SHORT).await.unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer.as_socket(), stream.local_addr().ok());
    }

    #[tokio::test]
    async fn refused_connection_is_reported_as_refused() {
        let (listener, address) = listener(1);
        drop(listener);
        let error = connect(address, SHORT).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    fn addresses(ports: &[u16]) -> Vec<SocketAddr> {
        let address = |port: &u16| SocketAddr::from(([127, 0, 0, 1], *port));
        ports.iter().map(address).collect()
    }

    /// Answers by port: 1 never, 2 with a refusal, all others with the port.
    async fn answer(address: SocketAddr) -> io::Result<u16> {
        match address.port() {
            1 => std::future::pending().await,
            2 => Err(io::ErrorKind::ConnectionRefused.into()),
            port => Ok(port),
        }
    }

    #[tokio::test]
    async fn address_does_not_wait_for_lookups() {
        let none_free = Dials {
            lookups: Semaphore::new(0),
            ..Dials::default()
        };
        let resolved = resolve_within(&none_free, "127.0.0.1", 7, AddressFamily::Any).await;
        assert_eq!(resolved.unwrap(), addresses(&[7]));
    }

    #[tokio::test(start_paused = true)]
    async fn silent_address_delays_the_next_only_a_moment() {
        let start = tokio::time::Instant::now();
        let answered = first_to_answer(addresses(&[1, 1, 7]), answer).await;
        assert_eq!(answered.unwrap(), 7);
        // Timers are accurate to a millisecond.
        let taken = start.elapsed().as_millis();
        assert!((500..510).contains(&taken), "{taken} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn refusal_starts_the_next_address_at_once() {
        let start = tokio::time::Instant::now();
        let answered = first_to_answer(addresses(&[2, 2, 7]), answer).await;
        assert_eq!(answered.unwrap(), 7);
        assert_eq!(start.elapsed(), Duration::ZERO);
        let error = first_to_answer(addresses(&[2, 2]), answer).await;
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert!(first_to_answer(Vec::new(), answer).await.is_err());
    }

    #[tokio::test]
    async fn targets_that_do_not_answer_delay_no_others() {
        let (_listener, silent) = listener(0);
        let _first = connect(silent, SHORT).await.unwrap();
        let dials = std::sync::Arc::new(Dials::default());
        let dial = |address: SocketAddr| {
            let dials = dials.clone();
            async move {
                let host = address.ip().to_string();
                dial_tcp(
                    &host,
                    address.port(),
                    AddressFamily::Any,
                    &dials,
                    |_| Ok(()),
                )
                .await
            }
        };
        let waiting: Vec<_> = (0..300).map(|_| tokio::spawn(dial(silent))).collect();
        tokio::task::yield_now().await;
        let (_other, answers) = listener(1);
        assert!(dial(answers).await.is_ok());
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn address_that_does_not_answer_times_out() {
        let (_listener, address) = listener(0);
        // The kernel accepts one connection more than the backlog, and drops the rest.
        let _first = connect(address, SHORT).await.unwrap();
        let error = connect(address, SHORT).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
