//! Global requests and their answers (RFC 4254 §4, §7.1; OpenSSH PROTOCOL §2.4).

use super::{MAX_TYPE_LEN, place, port};
use crate::message::number;
use crate::wire::{Reader, WireError, Writer};

/// Request of SSH_MSG_GLOBAL_REQUEST (RFC 4254 §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GlobalRequest {
    /// `tcpip-forward` (RFC 4254 §7.1): listen for us.
    TcpipForward {
        /// The address to bind, as the user asked.
        address_to_bind: String,
        /// The port, 0 for any.
        port: u16,
    },
    /// `cancel-tcpip-forward` (RFC 4254 §7.1).
    CancelTcpipForward {
        /// As in the request that began it.
        address_to_bind: String,
        /// The port that is bound.
        port: u16,
    },
    /// `streamlocal-forward@openssh.com`.
    StreamLocalForward {
        /// The path of the socket to listen on.
        socket_path: String,
    },
    /// `cancel-streamlocal-forward@openssh.com`.
    CancelStreamLocalForward {
        /// The path of the socket.
        socket_path: String,
    },
    /// `keepalive@openssh.com`: any answer will do.
    KeepAlive,
    /// Any other request, by name.
    Other(String),
}

impl GlobalRequest {
    /// Reads the message: the request and whether an answer is wanted. One whose own fields are bad is `Other`, so that
    /// it can be refused instead of the connection ended.
    pub fn parse(payload: &[u8]) -> Result<(Self, bool), WireError> {
        let mut r = Reader::new(payload);
        r.u8("message number")?;
        let name = r.text("request name")?;
        let want_reply = r.boolean("want reply")?;
        let request = Self::parse_fields(name, &mut r).unwrap_or_else(|_| Self::other(name));
        Ok((request, want_reply))
    }

    fn parse_fields(name: &str, r: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match name {
            "tcpip-forward" => GlobalRequest::TcpipForward {
                address_to_bind: place(r, "address to bind")?,
                port: port(r, "port to bind")?,
            },
            "cancel-tcpip-forward" => GlobalRequest::CancelTcpipForward {
                address_to_bind: place(r, "address to bind")?,
                port: port(r, "port to bind")?,
            },
            "streamlocal-forward@openssh.com" => GlobalRequest::StreamLocalForward {
                socket_path: place(r, "socket path")?,
            },
            "cancel-streamlocal-forward@openssh.com" => GlobalRequest::CancelStreamLocalForward {
                socket_path: place(r, "socket path")?,
            },
            "keepalive@openssh.com" => GlobalRequest::KeepAlive,
            other => Self::other(other),
        })
    }

    /// A name that cannot be one (RFC 4251 §6) is not kept.
    fn other(name: &str) -> Self {
        let is_name = name.len() <= MAX_TYPE_LEN && !name.contains(char::is_control);
        GlobalRequest::Other(if is_name { name } else { "" }.to_owned())
    }

    /// The message as bytes; an answer is always wanted.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::message(number::GLOBAL_REQUEST);
        w.string(self.name()).boolean(true);
        match self {
            GlobalRequest::TcpipForward {
                address_to_bind,
                port,
            }
            | GlobalRequest::CancelTcpipForward {
                address_to_bind,
                port,
            } => {
                w.string(address_to_bind).u32((*port).into());
            }
            GlobalRequest::StreamLocalForward { socket_path }
            | GlobalRequest::CancelStreamLocalForward { socket_path } => {
                w.string(socket_path);
            }
            GlobalRequest::KeepAlive | GlobalRequest::Other(_) => {}
        }
        w.into_vec()
    }

    /// The name on the wire.
    pub fn name(&self) -> &str {
        match self {
            GlobalRequest::TcpipForward { .. } => "tcpip-forward",
            GlobalRequest::CancelTcpipForward { .. } => "cancel-tcpip-forward",
            GlobalRequest::StreamLocalForward { .. } => "streamlocal-forward@openssh.com",
            GlobalRequest::CancelStreamLocalForward { .. } => {
                "cancel-streamlocal-forward@openssh.com"
            }
            GlobalRequest::KeepAlive => "keepalive@openssh.com",
            GlobalRequest::Other(name) => name,
        }
    }
}

/// SSH_MSG_REQUEST_SUCCESS; `port` only where the request asked for port 0 (RFC 4254 §7.1).
pub fn encode_request_success(port: Option<u16>) -> Vec<u8> {
    let mut w = Writer::message(number::REQUEST_SUCCESS);
    if let Some(port) = port {
        w.u32(port.into());
    }
    w.into_vec()
}

/// The port in SSH_MSG_REQUEST_SUCCESS, where there is one.
pub fn parse_request_success(payload: &[u8]) -> Result<Option<u16>, WireError> {
    let mut r = Reader::new(payload);
    r.u8("message number")?;
    if r.rest().is_empty() {
        return Ok(None);
    }
    port(&mut r, "allocated port").map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn global_request_with_bad_fields_can_be_refused() {
        let mut w = Writer::message(number::GLOBAL_REQUEST);
        w.string("tcpip-forward").boolean(true);
        w.string("localhost").u32(70_000);
        let other = GlobalRequest::Other("tcpip-forward".into());
        assert_eq!(GlobalRequest::parse(w.as_slice()), Ok((other, true)));
    }

    #[test]
    fn name_of_a_global_request_that_cannot_be_one_is_no_other_name() {
        for name in ["keepalive\0@openssh.com", &"x".repeat(257)] {
            let mut w = Writer::message(number::GLOBAL_REQUEST);
            w.string(name).boolean(true);
            let (request, _) = GlobalRequest::parse(w.as_slice()).unwrap();
            assert_eq!(request, GlobalRequest::Other(String::new()));
        }
    }

    #[test]
    fn global_requests_round_trip() {
        for request in [
            GlobalRequest::TcpipForward {
                address_to_bind: "localhost".into(),
                port: 0,
            },
            GlobalRequest::CancelStreamLocalForward {
                socket_path: "/run/x".into(),
            },
            GlobalRequest::KeepAlive,
        ] {
            assert_eq!(
                GlobalRequest::parse(&request.encode()),
                Ok((request.clone(), true))
            );
        }
    }
}
