//! Connections whose bytes come back, and how long they take.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::target::order;
use super::{HEADER_LEN, connect_from, header};
use crate::failure::{Attempt, Result};

/// An echoing connection to the far end through `entry`, proven by one byte.
pub(crate) fn echo_connection(entry: SocketAddr) -> Result<TcpStream> {
    echo_connection_from(Ipv4Addr::UNSPECIFIED, entry)
}

/// The same from another address of 127.0.0.0/8.
pub(crate) fn echo_connection_from(source: Ipv4Addr, entry: SocketAddr) -> Result<TcpStream> {
    let mut socket = connect_from(source, entry)?;
    first_echo(&mut socket).attempt(|| format!("get an echo through {entry}"))?;
    Ok(socket)
}

/// One byte to 127.0.0.1:`target` and back through the SOCKS5 proxy at `entry`.
pub(crate) fn socks_echo(entry: SocketAddr, target: u16) -> Result<()> {
    socks_echo_from(Ipv4Addr::UNSPECIFIED, entry, target)
}

/// The same from another address of 127.0.0.0/8.
pub(crate) fn socks_echo_from(source: Ipv4Addr, entry: SocketAddr, target: u16) -> Result<()> {
    let mut socket = connect_from(source, entry)?;
    let [high, low] = target.to_be_bytes();
    let [a, b, c, d] = Ipv4Addr::LOCALHOST.octets();
    let mut talk = || {
        socket.write_all(&[5, 1, 0])?;
        socket.read_exact(&mut [0; 2])?;
        socket.write_all(&[5, 1, 0, 1, a, b, c, d, high, low])?;
        socket.read_exact(&mut [0; 10])?;
        first_echo(&mut socket)
    };
    talk().attempt(|| format!("get an echo through the SOCKS proxy at {entry}"))
}

/// Asks the far end of `socket` to echo, and waits for the echo of one byte.
fn first_echo(socket: &mut TcpStream) -> io::Result<()> {
    let mut bytes = [b'!'; HEADER_LEN + 1];
    bytes[..HEADER_LEN].copy_from_slice(&header(order::ECHO, 0));
    socket.write_all(&bytes)?;
    socket.read_exact(&mut [0])
}

/// Sends 64 bytes and waits for their echo, again and again; each trip's time in microseconds.
pub(crate) fn echo_times(socket: &mut TcpStream, time: Duration) -> Result<Vec<f64>> {
    let mut ball = [0x5a; 64];
    let mut times = Vec::new();
    let end = Instant::now() + time;
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok(times);
        }
        let mut throw = || {
            socket.write_all(&ball)?;
            socket.read_exact(&mut ball)
        };
        throw().attempt(|| "get an echo of 64 bytes".to_owned())?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::target::Target;

    #[test]
    fn echoes_come_back() {
        let target = Target::start().unwrap();
        let mut socket = echo_connection(target.address).unwrap();
        let times = echo_times(&mut socket, Duration::from_millis(20)).unwrap();
        assert!(times.iter().all(|time| *time > 0.0));
        assert!(!times.is_empty());
    }
}
