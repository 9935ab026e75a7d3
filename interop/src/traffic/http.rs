//! A web server of one kind of page, for curl: it answers with the `Host` header and the path that it was asked for.

use crate::forward::Address;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Duration;

/// More header lines than curl ever sends.
const MAX_HEADERS: usize = 100;

/// The server. Its thread ends with the test process.
pub struct WebServer {
    address: Address,
}

impl WebServer {
    /// Serves on `addr`.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    pub fn on(addr: impl ToSocketAddrs) -> Self {
        let listener = TcpListener::bind(addr).expect("a listener for the web server");
        let address = Address::Tcp(listener.local_addr().expect("a bound address"));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(stream));
            }
        });
        Self { address }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Address that it listens on.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

fn answer(stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut lines = BufReader::new(&stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let path = request
        .split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    let mut host = String::new();
    for line in lines.take(MAX_HEADERS) {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("host")
        {
            host = value.trim().to_owned();
        }
    }
    let body = format!("host={host} path={path}\n");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    (&stream).write_all(format!("{head}{body}").as_bytes())
}
