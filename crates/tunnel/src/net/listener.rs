//! Listening sockets of forwards: TCP on one or several addresses with the same port, or a unix socket.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use nix::errno::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::stream::Stream;

/// OpenSSH's backlog is 128; bursts of short connections need more.
const BACKLOG: i32 = 1024;

/// One listening socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket, which is unlinked when the listener is dropped.
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// Accepts the next connection, with the peer's address if it has one.
    ///
    /// # Errors
    /// A condition that lasts for a while, most often a lack of descriptors. A connection that broke before it was
    /// accepted is skipped.
    pub async fn accept(&self) -> io::Result<Accepted> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// The same as a poll.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        loop {
            let accepted = match self {
                Listener::Tcp(listener) => listener
                    .poll_accept(cx)
                    .map_ok(|(stream, peer)| (stream.into(), Some(peer))),
                Listener::Unix(listener, _) => listener
                    .poll_accept(cx)
                    .map_ok(|(stream, _)| (stream.into(), None)),
            };
            match accepted {
                Poll::Ready(Err(error)) if concerns_one_connection(&error) => {}
                other => return other,
            }
        }
    }
}

/// An accepted connection, and the peer's address if it has one.
pub type Accepted = (Stream, Option<SocketAddr>);

/// True for errors of a connection that `accept` removes from the backlog; the next one may be good.
fn concerns_one_connection(error: &io::Error) -> bool {
    const OF_ONE: [Errno; 8] = [
        Errno::ECONNABORTED,
        Errno::ENETDOWN,
        Errno::EPROTO,
        Errno::ENOPROTOOPT,
        Errno::EHOSTDOWN,
        Errno::ENONET,
        Errno::EHOSTUNREACH,
        Errno::ENETUNREACH,
    ];
    let code = error.raw_os_error().map(Errno::from_raw);
    code.is_some_and(|code| OF_ONE.contains(&code))
}

/// Binds all addresses with this port, whatever their own is; port 0 becomes the same free port for all. Returns the
/// port.
///
/// The error is that of the first address that failed; the others are then not bound either.
pub fn bind_tcp(addresses: &[SocketAddr], port: u16) -> Result<(Vec<Listener>, u16), BindError> {
    // A free port of one family may be in use in the other: try another one.
    const ATTEMPTS: usize = 16;
    let mut result = bind_all(addresses, port);
    for _ in 1..ATTEMPTS {
        match &result {
            Err(error) if port == 0 && error.kind() == io::ErrorKind::AddrInUse => {
                result = bind_all(addresses, port);
            }
            _ => break,
        }
    }
    result
}

/// Error of an address that could not be bound.
#[derive(Debug)]
pub struct BindError {
    /// The address.
    pub address: String,
    /// Cause.
    pub source: io::Error,
}

impl BindError {
    /// Kind of the underlying error.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // `bind [address]:port: reason` is OpenSSH's text, which scripts search for.
        write!(
            f,
            "cannot listen: bind {}: {}",
            self.address,
            describe(&self.source)
        )
    }
}

impl std::error::Error for BindError {}

/// Text of an error, without the number that the standard library adds.
pub fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_owned()
}

fn bind_all(addresses: &[SocketAddr], port: u16) -> Result<(Vec<Listener>, u16), BindError> {
    let mut listeners = Vec::new();
    let mut chosen = port;
    let mut missing_family = None;
    for &address in addresses {
        // The whole address: a link-local one is not valid without its scope.
        let mut address = address;
        address.set_port(chosen);
        let failed = |source| BindError {
            address: match address {
                SocketAddr::V4(_) => format!("[{}]:{chosen}", address.ip()),
                SocketAddr::V6(_) => address.to_string(),
            },
            source,
        };
        match bind_one(address) {
            Ok(listener) => {
                chosen = listener.local_addr().map_err(failed)?.port();
                listeners.push(Listener::Tcp(listener));
            }
            // A machine without IPv6 still has the other address.
            Err(error) if lacks_family(&error) && addresses.len() > 1 => {
                missing_family = Some(failed(error))
            }
            Err(error) => return Err(failed(error)),
        }
    }
    match (listeners.is_empty(), missing_family) {
        (true, Some(error)) => Err(error),
        _ => Ok((listeners, chosen)),
    }
}

fn lacks_family(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(code) if code == Errno::EAFNOSUPPORT as i32 || code == Errno::EADDRNOTAVAIL as i32
    )
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Both loopback addresses, without a port.
pub const LOOPBACK: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
];
/// Both wildcard addresses, without a port.
pub const WILDCARD: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
];

/// Treatment of a socket file that exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleSocket {
    /// Remove it only if no process listens on it, as after a crash.
    UnlinkIfDead,
    /// Remove it (`StreamLocalBindUnlink yes`).
    Unlink,
}

/// Binds a unix socket with the permissions that `mask` leaves (`StreamLocalBindMask`).
pub fn bind_unix(path: &Path, mask: u32, stale: StaleSocket) -> Result<Listener, BindError> {
    let failed = |source| BindError {
        address: path.display().to_string(),
        source,
    };
    remove_stale(path, stale).map_err(failed)?;
    let listener = {
        // The socket must never have wider permissions, so the mask is set before it is created. The mask belongs to
        // the whole process: two threads at once would restore each other's.
        static MASK: Mutex<()> = Mutex::new(());
        let _alone = MASK.lock().unwrap_or_else(PoisonError::into_inner);
        let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask));
        let listener = UnixListener::bind(path);
        nix::sys::stat::umask(before);
        listener.map_err(failed)?
    };
    let file = SocketFile::new(path).map_err(failed)?;
    Ok(Listener::Unix(listener, file))
}

fn remove_stale(path: &Path, stale: StaleSocket) -> io::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    let is_dead = metadata.file_type().is_socket() && nobody_listens(path);
    match stale {
        StaleSocket::Unlink => std::fs::remove_file(path),
        StaleSocket::UnlinkIfDead if is_dead => std::fs::remove_file(path),
        StaleSocket::UnlinkIfDead => Ok(()),
    }
}

/// True if no process listens on the socket. Does not block: a listener with a full backlog counts as listening.
fn nobody_listens(path: &Path) -> bool {
    let connected = SockAddr::unix(path).and_then(|address| {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        socket.connect(&address)
    });
    connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Our socket file, unlinked on drop unless another file has replaced it.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            inode: (metadata.dev(), metadata.ino()),
        })
    }

    /// Permission bits of the file.
    pub fn mode(&self) -> io::Result<u32> {
        Ok(std::fs::symlink_metadata(&self.path)?.permissions().mode() & 0o777)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours =
            std::fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.inode);
        if ours {
            // A failure leaves the file behind, and nothing can be done about it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lasting_errors_pause_a_listener() {
        for (errno, passes) in [
            (Errno::ECONNABORTED, true),
            (Errno::EPROTO, true),
            (Errno::EMFILE, false),
            (Errno::ENFILE, false),
            (Errno::ENOBUFS, false),
        ] {
            let error = io::Error::from_raw_os_error(errno as i32);
            assert_eq!(concerns_one_connection(&error), passes, "{errno}");
        }
    }

    #[tokio::test]
    async fn port_zero_becomes_one_port_for_both_families() {
        let (listeners, port) = bind_tcp(&LOOPBACK, 0).unwrap();
        assert_ne!(port, 0);
        for listener in &listeners {
            let Listener::Tcp(listener) = listener else {
                panic!()
            };
            assert_eq!(listener.local_addr().unwrap().port(), port);
        }
    }

    #[tokio::test]
    async fn error_names_the_busy_port() {
        let (_held, port) = bind_tcp(&LOOPBACK[..1], 0).unwrap();
        let error = bind_tcp(&LOOPBACK[..1], port).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot listen: bind [127.0.0.1]:{port}: Address already in use")
        );
    }

    #[tokio::test]
    async fn unix_socket_is_private_and_removed_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = bind_unix(&path, 0o177, StaleSocket::UnlinkIfDead).unwrap();
        let Listener::Unix(_, file) = &listener else {
            panic!()
        };
        assert_eq!(file.mode().unwrap(), 0o600);
        assert!(
            bind_unix(&path, 0o177, StaleSocket::UnlinkIfDead).is_err(),
            "it is alive"
        );
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn dead_socket_is_replaced_and_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(bind_unix(&path, 0o177, StaleSocket::UnlinkIfDead).unwrap());
        std::fs::write(&path, "precious").unwrap();
        assert!(bind_unix(&path, 0o177, StaleSocket::UnlinkIfDead).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
