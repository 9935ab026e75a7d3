//! The far end for thousands of connections: a process of its own, because one process may not have enough
//! files for both ends of them. It acknowledges the header with a byte, and then every chunk.

use std::cell::RefCell;
use std::io;
use std::net::Ipv4Addr;
use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::HEADER_LEN;
use crate::failure::{Attempt, Result};
use crate::process::Running;
use crate::workshop::{Workshop, free_port, wait_until_ready};

/// Bytes that one acknowledgement stands for.
pub(crate) const CHUNK: usize = 64 * 1024;

/// The process.
#[derive(Debug)]
pub(crate) struct FarEnd {
    _running: Running,
    port: u16,
}

impl FarEnd {
    /// Starts it on a free port of 127.0.0.1.
    pub(crate) fn start(workshop: &Workshop) -> Result<Self> {
        let own = std::env::current_exe().attempt(|| "find this program".to_owned())?;
        let port = free_port()?;
        let mut command = Command::new(own);
        command.args(["far-end", &port.to_string()]);
        let mut running = Running::start(command, &workshop.fresh("far_end.log"))?;
        let entry = (Ipv4Addr::LOCALHOST, port).into();
        wait_until_ready(&mut running, || super::echo::echo_connection(entry))?;
        Ok(Self {
            _running: running,
            port,
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// Serves until the process is killed.
pub(crate) fn serve(port: u16) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .attempt(|| "start a runtime".to_owned())?;
    runtime
        .block_on(accept(port))
        .attempt(|| format!("accept on 127.0.0.1:{port}"))
}

async fn accept(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        // Errors are the other end closing.
        tokio::spawn(acknowledge(socket));
    }
}

async fn acknowledge(mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.read_exact(&mut [0; HEADER_LEN + 1]).await?;
    socket.write_all(&[0]).await?;
    let mut open = 0;
    loop {
        socket.readable().await?;
        open += match take(&socket) {
            Ok(0) => return Ok(()),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        while open >= CHUNK {
            open -= CHUNK;
            socket.write_all(&[0]).await?;
        }
    }
}

/// One read into a buffer that all connections share: ten thousand of their own would be a load by themselves.
fn take(socket: &TcpStream) -> io::Result<usize> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; super::BUFFER]);
    }
    BUFFER.with_borrow_mut(|buffer| socket.try_read(buffer))
}
