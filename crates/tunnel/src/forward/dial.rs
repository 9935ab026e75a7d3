//! Connecting to the target of a forward: resolve, ask the policy about each address, try them in order.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::config::values::AddressFamily;
use crate::net::Stream;
use crate::net::listener::describe;

/// How long one address is tried; the kernel alone would take over two minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a target could not be reached.
#[derive(Debug)]
pub enum DialError {
    /// The name does not resolve.
    Resolve(io::Error),
    /// It resolves to nothing that may be dialled.
    Denied(String),
    /// None of its addresses took the connection; the last one's reason.
    Connect(io::Error),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Resolve(error) => write!(f, "cannot resolve: {}", resolve_reason(error)),
            DialError::Denied(why) => write!(f, "{why}"),
            DialError::Connect(error) => write!(f, "{}", describe(error)),
        }
    }
}

impl std::error::Error for DialError {}

/// The resolver's own words, without what the standard library puts before them.
pub fn resolve_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&text);
    text.to_owned()
}

/// The addresses of a host, of one family where that is asked for.
pub async fn resolve(
    host: &str,
    port: u16,
    family: AddressFamily,
) -> Result<Vec<SocketAddr>, DialError> {
    let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => tokio::net::lookup_host((host, port))
            .await
            .map_err(DialError::Resolve)?
            .collect(),
    };
    let wanted: Vec<_> = addresses
        .into_iter()
        .filter(|a| match family {
            AddressFamily::Any => true,
            AddressFamily::Inet => a.is_ipv4(),
            AddressFamily::Inet6 => a.is_ipv6(),
        })
        .collect();
    if wanted.is_empty() {
        return Err(DialError::Resolve(io::Error::other(
            "no address of the wanted family",
        )));
    }
    Ok(wanted)
}

/// Connects to the first address that the policy permits and that answers.
pub async fn dial_tcp(
    host: &str,
    port: u16,
    family: AddressFamily,
    permit: impl Fn(SocketAddr) -> Result<(), String>,
) -> Result<Stream, DialError> {
    let mut last = None;
    for address in resolve(host, port, family).await? {
        if let Err(denied) = permit(address) {
            last = Some(DialError::Denied(denied));
            continue;
        }
        match connect(address, CONNECT_TIMEOUT).await {
            Ok(stream) => return Ok(stream.into()),
            Err(error) => last = Some(DialError::Connect(error)),
        }
    }
    Err(last.unwrap_or_else(|| DialError::Connect(io::ErrorKind::NotFound.into())))
}

/// Connects to one address, which has `patience` to answer.
///
/// A target on this machine has answered by the time `connect` returns: it costs neither a timer nor a wait.
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
pub async fn dial_unix(path: &Path) -> Result<Stream, DialError> {
    let stream = UnixStream::connect(path)
        .await
        .map_err(DialError::Connect)?;
    Ok(stream.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    /// A socket that listens and never accepts, with room for few connections.
    fn listener(backlog: i32) -> (Socket, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&any.into()).unwrap();
        socket.listen(backlog).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, address)
    }

    #[tokio::test]
    async fn connects_to_who_listens() {
        let (listener, address) = listener(1);
        let stream = connect(address, SHORT).await.unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer.as_socket(), stream.local_addr().ok());
    }

    #[tokio::test]
    async fn refusal_is_told_as_such() {
        let (listener, address) = listener(1);
        drop(listener);
        let error = connect(address, SHORT).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn silence_is_given_up() {
        let (_listener, address) = listener(0);
        // The kernel answers one more than the backlog, and drops what comes then.
        let _first = connect(address, SHORT).await.unwrap();
        let error = connect(address, SHORT).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
