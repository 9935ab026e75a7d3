//! A plain TCP relay: two of them in a row are what forwarding costs without SSH.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Bytes that a good tunnel reads at once.
const BUFFER: usize = 256 * 1024;

/// Relays every connection to `listener` to `target`, until the process is killed.
///
/// # Errors
/// The listener fails.
pub(crate) fn serve(listener: &TcpListener, target: SocketAddr) -> io::Result<()> {
    loop {
        let (inbound, _) = listener.accept()?;
        // A target that does not answer costs this connection only.
        thread::spawn(move || relay(inbound, target));
    }
}

fn relay(inbound: TcpStream, target: SocketAddr) -> io::Result<()> {
    let outbound = TcpStream::connect(target)?;
    inbound.set_nodelay(true)?;
    outbound.set_nodelay(true)?;
    let (from, to) = (outbound.try_clone()?, inbound.try_clone()?);
    let back = thread::spawn(move || copy(from, to));
    let forth = copy(inbound, outbound);
    // A panic there has been reported by its thread.
    let _ = back.join();
    forth
}

fn copy(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer)? {
            0 => return to.shutdown(Shutdown::Write),
            len => to.write_all(&buffer[..len])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_their_end_pass_both_ways() {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let target_address = target.local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let entry = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener, target_address));
        let mut near = TcpStream::connect(entry).unwrap();
        near.write_all(b"there").unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        let (mut far, _) = target.accept().unwrap();
        let mut heard = String::new();
        far.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "there");
        far.write_all(b"back").unwrap();
        drop(far);
        let mut answer = String::new();
        near.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "back");
    }
}
