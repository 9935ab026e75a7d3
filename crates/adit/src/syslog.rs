//! The system's log: a datagram for each message to the socket of its daemon.
//!
//! The C library's `syslog` waits while the daemon is busy; a server that serves everybody must not. A message that does
//! not fit is lost.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use adit_tunnel::config::values::SyslogFacility;
use log::Level;

/// Socket of daemons of every kind: syslogd, rsyslog, syslog-ng, journald, busybox.
pub(crate) const SOCKET: &str = "/dev/log";

/// A connection to the system's log.
#[derive(Debug)]
pub(crate) struct Syslog {
    program: &'static str,
    facility: SyslogFacility,
    path: &'static Path,
    socket: Mutex<UnixDatagram>,
}

impl Syslog {
    /// Connects to the daemon at `path`.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn connect(
        path: &'static Path,
        program: &'static str,
        facility: SyslogFacility,
    ) -> io::Result<Self> {
        Ok(Self {
            program,
            facility,
            path,
            socket: Mutex::new(connected(path)?),
        })
    }

    /// Writes a message. The daemon adds the time; one that was started anew is found again.
    pub(crate) fn write(&self, level: Level, message: &str) {
        let message = self.datagram(level, message);
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = socket.send(message.as_bytes());
        let daemon_has_gone = sent.is_err_and(|e| e.kind() != io::ErrorKind::WouldBlock);
        if daemon_has_gone && let Ok(again) = connected(self.path) {
            *socket = again;
            // There is nowhere left to report that a message could not be written.
            let _ = socket.send(message.as_bytes());
        }
    }

    /// `<PRIORITY>program[PID]: message` (RFC 3164 §4.1).
    fn datagram(&self, level: Level, message: &str) -> String {
        let severity = match level {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug | Level::Trace => 7,
        };
        let priority = self.facility.code() << 3 | severity;
        let (program, pid) = (self.program, std::process::id());
        format!("<{priority}>{program}[{pid}]: {message}")
    }
}

fn connected(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(daemon: &UnixDatagram) -> String {
        let mut room = [0; 200];
        let len = daemon.recv(&mut room).unwrap();
        String::from_utf8_lossy(&room[..len]).into_owned()
    }

    #[test]
    fn message_has_its_priority_and_reaches_a_daemon_that_was_started_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path: &'static Path = Box::leak(folder.path().join("log").into_boxed_path());
        assert!(Syslog::connect(path, "aditd", SyslogFacility::Auth).is_err());
        let daemon = UnixDatagram::bind(path).unwrap();
        let syslog = Syslog::connect(path, "aditd", SyslogFacility::Auth).unwrap();
        let pid = std::process::id();
        syslog.write(Level::Info, "Server listening");
        assert_eq!(
            received(&daemon),
            format!("<38>aditd[{pid}]: Server listening")
        );
        drop(daemon);
        std::fs::remove_file(path).unwrap();
        syslog.write(Level::Error, "lost");
        let daemon = UnixDatagram::bind(path).unwrap();
        syslog.write(Level::Error, "kept");
        assert_eq!(received(&daemon), format!("<35>aditd[{pid}]: kept"));
    }

    #[test]
    fn daemon_that_does_not_read_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path: &'static Path = Box::leak(folder.path().join("log").into_boxed_path());
        let _daemon = UnixDatagram::bind(path).unwrap();
        let syslog = Syslog::connect(path, "adit", SyslogFacility::Local(7)).unwrap();
        (0..10_000).for_each(|_| syslog.write(Level::Warn, "much"));
    }
}
