//! The load: applications at both ends of a tunnel.
//!
//! ```text
//!   flow, echo, churn, idle, turns, http (near) ─▶ tunnel ─▶ target, far_end, http (far)
//! ```
//!
//! Contents are not checked; that tunnels carry the right bytes is tested in `interop`.

pub(crate) mod churn;
pub(crate) mod echo;
pub(crate) mod far_end;
pub(crate) mod flow;
pub(crate) mod http;
pub(crate) mod idle;
pub(crate) mod target;
pub(crate) mod turns;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::{Domain, Socket, Type};

use crate::failure::{Attempt, Result};

/// Bytes that one write or read of a flow carries at most.
pub(crate) const BUFFER: usize = 256 * 1024;

/// The stack of a load thread: there may be hundreds, and they need little.
const STACK: usize = 64 * 1024;

/// No single answer may take longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The length of the header that opens a connection to any far end, and of the byte to be echoed behind it.
pub(crate) const HEADER_LEN: usize = 4;

/// Connects without Nagle's delay and with patience that ends.
pub(crate) fn connect(entry: SocketAddr) -> Result<TcpStream> {
    connect_from(Ipv4Addr::UNSPECIFIED, entry)
}

/// The same from an address of 127.0.0.0/8: each has ephemeral ports of its own, of which closed connections
/// keep some for a while.
pub(crate) fn connect_from(source: Ipv4Addr, entry: SocketAddr) -> Result<TcpStream> {
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if !source.is_unspecified() {
            // The port is chosen when the other end is known, so that it can serve for many other ends.
            setsockopt(&socket, IpBindAddressNoPort, &true)?;
            socket.bind(&SocketAddr::from((source, 0)).into())?;
        }
        socket.connect_timeout(&entry.into(), PATIENCE)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok::<_, std::io::Error>(socket.into())
    };
    open().attempt(|| format!("connect to {entry}"))
}

/// A thread with a small stack.
pub(crate) fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    thread::Builder::new()
        .stack_size(STACK)
        .spawn(work)
        .attempt(|| "start a thread".to_owned())
}

/// Opening bytes of a connection: the far end's task, and the number of a counter.
fn header(order: u8, number: u32) -> [u8; HEADER_LEN] {
    let [_, a, b, c] = number.to_be_bytes();
    [order, a, b, c]
}
