//! Forwarding specifications: the grammar of `-L`, `-R`, `-D` and `-W`.
//!
//! ```text
//! [bind:]port:host:port   [bind:]port:/path   /path:host:port   /path:/path     -L, -R
//! [bind:]port             /path                                                 -D, -R (no /path)
//! ```
//!
//! A field in `[…]` is taken literally, `\x` takes one character literally, and a field that holds a
//! `/` is the path of a unix socket.

mod fields;

use std::fmt;
use std::path::{Path, PathBuf};

use super::expand::{ExpandError, Lookups, expand_variables};
use fields::{Field, split_fields, write_field};

/// The longest host name that a specification may hold, in bytes (`NI_MAXHOST` less its NUL).
pub const MAX_HOST: usize = 1024;

/// The longest path of a unix socket, in bytes (`sun_path` less its NUL).
pub const MAX_SOCKET_PATH: usize = 107;

/// Address to dial.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A host and a port.
    Tcp {
        /// A name or an address, brackets removed, not resolved.
        host: String,
        /// The port, never 0.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

/// The address that a listener was asked to bind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BindAddress {
    /// None given: loopback, or every address under `GatewayPorts`.
    Default,
    /// Empty or `*`: every address.
    Any,
    /// This name or address, brackets removed.
    Host(String),
}

/// Address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenSpec {
    /// A TCP port.
    Tcp {
        /// The address.
        bind: BindAddress,
        /// The port; 0, "the server chooses", only for remote forwards.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

/// One forward, as the user configured it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Forward {
    /// `-L`: listen here, dial there.
    Local {
        /// Address that the client listens on.
        listen: ListenSpec,
        /// Address that the server dials.
        target: Endpoint,
    },
    /// `-R` with a target: listen there, dial here.
    Remote {
        /// Address that the server listens on.
        listen: ListenSpec,
        /// Address that the client dials.
        target: Endpoint,
    },
    /// `-D`: SOCKS here, dial there.
    Dynamic {
        /// Address that the client listens on.
        listen: ListenSpec,
    },
    /// `-R` without a target: listen there, SOCKS and dial here.
    RemoteDynamic {
        /// Address that the server listens on; always TCP.
        listen: ListenSpec,
    },
}

/// The kind of specification that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecKind {
    /// `-L`.
    Local,
    /// `-R`.
    Remote,
    /// `-D`.
    Dynamic,
    /// `-W`.
    Stdio,
}

impl fmt::Display for SpecKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Remote => "remote",
            Self::Dynamic => "dynamic",
            Self::Stdio => "stdio",
        })
    }
}

/// Fault of a specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpecProblem {
    /// Nothing there.
    Empty,
    /// More than four fields.
    TooManyFields,
    /// `[` without `]`, or `]` in the middle of a field.
    Brackets,
    /// A `\` with nothing after it.
    Backslash,
    /// A listener alone where a target belongs, too.
    NoTarget,
    /// A target of which only the port is there.
    NoTargetHost(String),
    /// A target of which only the host is there.
    NoTargetPort(String),
    /// A target for `-D`, where each application says where to.
    TargetOfDynamic,
    /// The destination, which a space would have made an argument of its own.
    MissingSpace(String),
    /// Neither a number from 1 to 65535 nor the name of a service.
    Port(String),
    /// Port 0 where it has no meaning.
    PortZero,
    /// A host name that is empty.
    EmptyHost,
    /// A host name of more than [`MAX_HOST`] bytes.
    HostTooLong,
    /// A path of more than [`MAX_SOCKET_PATH`] bytes.
    PathTooLong,
    /// A path where a host belongs.
    PathAsHost(String),
    /// `-R /path` without a target.
    SocksOnPath,
    /// A variable that cannot be filled in.
    Expand(ExpandError),
}

impl fmt::Display for SpecProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::TooManyFields => f.write_str("more than four fields"),
            Self::Brackets => f.write_str("a bracketed field must end in ']' and then ':'"),
            Self::Backslash => f.write_str("nothing follows the backslash"),
            Self::NoTarget => f.write_str("it says where to listen, and not where to connect to"),
            Self::NoTargetHost(port) => {
                write!(
                    f,
                    "the host to connect to is missing in front of port {port}"
                )
            }
            Self::NoTargetPort(host) => {
                write!(f, "the port to connect to is missing behind '{host}'")
            }
            Self::TargetOfDynamic => {
                f.write_str("it takes no target: each application says where it wants to go")
            }
            Self::MissingSpace(word) => write!(f, "a space is missing before '{word}'"),
            Self::Port(word) => write!(f, "'{word}' is not a port or a service"),
            Self::PortZero => f.write_str("port 0 is not possible here"),
            Self::EmptyHost => f.write_str("the host is empty"),
            Self::HostTooLong => write!(f, "the host is longer than {MAX_HOST} bytes"),
            Self::PathTooLong => {
                write!(f, "the socket path is longer than {MAX_SOCKET_PATH} bytes")
            }
            Self::PathAsHost(word) => write!(f, "'{word}' is a path, not a host"),
            Self::SocksOnPath => f.write_str("remote SOCKS needs a TCP port to listen on"),
            Self::Expand(error) => write!(f, "{error}"),
        }
    }
}

/// A specification that cannot be read. Its text begins as OpenSSH's, which scripts look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    /// The kind of specification.
    pub kind: SpecKind,
    /// The specification as written.
    pub text: String,
    /// The fault.
    pub problem: SpecProblem,
}

impl SpecError {
    /// Advice to write it right.
    pub fn hint(&self) -> &'static str {
        match (&self.problem, self.kind) {
            _ if self.text.contains("://") => {
                "a tunnel carries any protocol: leave out http:// and the like, as in 8080:example.org:80"
            }
            (SpecProblem::TooManyFields, _) => "put an IPv6 address in brackets: [::1]:8080",
            (SpecProblem::PathTooLong, _) => {
                "choose a shorter path, such as one in /tmp or /run; the system takes no longer one for a socket"
            }
            (SpecProblem::SocksOnPath, _) => "name a target too: -R /path:host:port",
            (SpecProblem::MissingSpace(_), _) => {
                "the server to log in to is an argument of its own: -L 9000:db:5432 user@host"
            }
            (SpecProblem::TargetOfDynamic, _) => {
                "write [bind_address:]port, such as 1080; for one fixed target use -L"
            }
            (SpecProblem::NoTargetHost(_), _) => {
                "'localhost' there is the server itself: 8080:localhost:5432"
            }
            (SpecProblem::PortZero, SpecKind::Local | SpecKind::Dynamic) => {
                "only -R can leave the choice of the port to the system"
            }
            (_, SpecKind::Local) => "write [bind_address:]port:host:hostport, such as 8080:db:5432",
            (_, SpecKind::Remote) => {
                "write [bind_address:]port:host:hostport, or [bind_address:]port for SOCKS"
            }
            (_, SpecKind::Dynamic) => "write [bind_address:]port, such as 1080",
            (_, SpecKind::Stdio) => "write host:port, such as db:5432",
        }
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            text,
            problem,
        } = self;
        write!(f, "Bad {kind} forwarding specification '{text}': {problem}")
    }
}

impl std::error::Error for SpecError {}

impl Forward {
    /// Reads what follows `-L`.
    ///
    /// # Errors
    /// It is no local forward; the error says why.
    pub fn parse_local(text: &str, lookups: &Lookups<'_>) -> Result<Self, SpecError> {
        parse(SpecKind::Local, text, lookups, |fields| {
            let (listen, target) = listener_and_target(fields, lookups)?;
            refuse_port_zero(&listen)?;
            Ok(Self::Local { listen, target })
        })
    }

    /// Reads what follows `-R`: a forward with a target, or a remote SOCKS listener without one.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse_remote(text: &str, lookups: &Lookups<'_>) -> Result<Self, SpecError> {
        parse(SpecKind::Remote, text, lookups, |fields| {
            let has_path = fields.iter().any(|field| field.is_path);
            if let [listen, host] = fields
                && is_port(listen, lookups)
                && !host.is_path
                && !is_port(host, lookups)
            {
                return Err(SpecProblem::NoTargetPort(host.text.clone()));
            }
            if fields.len() > 2 || (fields.len() == 2 && has_path) {
                let (listen, target) = listener_and_target(fields, lookups)?;
                return Ok(Self::Remote { listen, target });
            }
            match listener(fields, lookups)? {
                ListenSpec::Unix(_) => Err(SpecProblem::SocksOnPath),
                listen @ ListenSpec::Tcp { .. } => Ok(Self::RemoteDynamic { listen }),
            }
        })
    }

    /// Reads what follows `-D`.
    ///
    /// # Errors
    /// It is no listener.
    pub fn parse_dynamic(text: &str, lookups: &Lookups<'_>) -> Result<Self, SpecError> {
        parse(SpecKind::Dynamic, text, lookups, |fields| {
            let has_target = match fields {
                [listen, host] => is_port(listen, lookups) && !is_port(host, lookups),
                fields => fields.len() > 2,
            };
            if has_target {
                return Err(SpecProblem::TargetOfDynamic);
            }
            let listen = listener(fields, lookups)?;
            refuse_port_zero(&listen)?;
            Ok(Self::Dynamic { listen })
        })
    }

    /// Address that this forward listens on.
    pub fn listen(&self) -> &ListenSpec {
        match self {
            Self::Local { listen, .. }
            | Self::Remote { listen, .. }
            | Self::Dynamic { listen }
            | Self::RemoteDynamic { listen } => listen,
        }
    }

    /// The same forward with `fill` applied to the paths of unix sockets.
    pub(crate) fn map_paths<E>(
        &self,
        fill: impl Fn(&Path) -> Result<PathBuf, E>,
    ) -> Result<Self, E> {
        let on_listen = |listen: &ListenSpec| match listen {
            ListenSpec::Unix(path) => fill(path).map(ListenSpec::Unix),
            tcp => Ok(tcp.clone()),
        };
        let on_target = |target: &Endpoint| match target {
            Endpoint::Unix(path) => fill(path).map(Endpoint::Unix),
            tcp => Ok(tcp.clone()),
        };
        Ok(match self {
            Self::Local { listen, target } => Self::Local {
                listen: on_listen(listen)?,
                target: on_target(target)?,
            },
            Self::Remote { listen, target } => Self::Remote {
                listen: on_listen(listen)?,
                target: on_target(target)?,
            },
            Self::Dynamic { listen } => Self::Dynamic {
                listen: on_listen(listen)?,
            },
            Self::RemoteDynamic { listen } => Self::RemoteDynamic {
                listen: on_listen(listen)?,
            },
        })
    }
}

impl Endpoint {
    /// Reads what follows `-W`: `host:port`, `[v6]:port` or `/path`.
    ///
    /// # Errors
    /// It is no address.
    pub fn parse_stdio(text: &str, lookups: &Lookups<'_>) -> Result<Self, SpecError> {
        parse(SpecKind::Stdio, text, lookups, |fields| match fields {
            [path] if path.is_path => unix_path(path).map(Endpoint::Unix),
            [host, port] => tcp_endpoint(host, port, lookups),
            [] => Err(SpecProblem::Empty),
            [host] => Err(SpecProblem::NoTargetPort(host.text.clone())),
            _ => Err(SpecProblem::TooManyFields),
        })
    }
}

/// The frame that all four kinds share: fill in variables, split, and say what was being read.
fn parse<T>(
    kind: SpecKind,
    text: &str,
    lookups: &Lookups<'_>,
    build: impl FnOnce(&[Field]) -> Result<T, SpecProblem>,
) -> Result<T, SpecError> {
    expand_variables(text, lookups)
        .map_err(SpecProblem::Expand)
        .and_then(|expanded| build(&split_fields(expanded.trim_ascii_start())?))
        .map_err(|problem| SpecError {
            kind,
            text: text.to_owned(),
            problem: match problem {
                SpecProblem::Port(_)
                | SpecProblem::TooManyFields
                | SpecProblem::NoTarget
                | SpecProblem::NoTargetPort(_)
                | SpecProblem::TargetOfDynamic => {
                    swallowed_destination(text).map_or(problem, SpecProblem::MissingSpace)
                }
                problem => problem,
            },
        })
}

/// The destination at the end of a specification that cannot be read, where one was typed without the space before it.
fn swallowed_destination(text: &str) -> Option<String> {
    let (_, last) = text.rsplit_once(':').unwrap_or(("", text));
    let word = last.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_destination = word.contains('@') && !word.contains('/');
    is_destination.then(|| word.to_owned())
}

/// A listener and a target: two fields, one of which is a path, or three or four.
fn listener_and_target(
    fields: &[Field],
    lookups: &Lookups<'_>,
) -> Result<(ListenSpec, Endpoint), SpecProblem> {
    let Some((last, before)) = fields.split_last() else {
        return Err(SpecProblem::Empty);
    };
    if fields.len() < 4 && last.is_path {
        if before.is_empty() {
            return Err(SpecProblem::NoTarget);
        }
        return Ok((listener(before, lookups)?, Endpoint::Unix(unix_path(last)?)));
    }
    match before {
        [] => Err(SpecProblem::NoTarget),
        [_] if is_port(last, lookups) => Err(SpecProblem::NoTargetHost(last.text.clone())),
        [_] => Err(SpecProblem::NoTargetPort(last.text.clone())),
        [listen @ .., host] => Ok((
            listener(listen, lookups)?,
            tcp_endpoint(host, last, lookups)?,
        )),
    }
}

/// A listener alone: `port`, `path` or `bind:port`.
fn listener(fields: &[Field], lookups: &Lookups<'_>) -> Result<ListenSpec, SpecProblem> {
    let (bind, port) = match fields {
        [path] if path.is_path => return unix_path(path).map(ListenSpec::Unix),
        [port] => (BindAddress::Default, port),
        [bind, port] => (bind_address(bind)?, port),
        [] => return Err(SpecProblem::Empty),
        _ => return Err(SpecProblem::TooManyFields),
    };
    Ok(ListenSpec::Tcp {
        bind,
        port: port_number(port, lookups)?,
    })
}

fn bind_address(field: &Field) -> Result<BindAddress, SpecProblem> {
    match field.text.as_str() {
        "" | "*" => Ok(BindAddress::Any),
        _ => host_name(field).map(BindAddress::Host),
    }
}

fn tcp_endpoint(
    host: &Field,
    port: &Field,
    lookups: &Lookups<'_>,
) -> Result<Endpoint, SpecProblem> {
    let host = host_name(host)?;
    if host.is_empty() {
        return Err(SpecProblem::EmptyHost);
    }
    match port_number(port, lookups)? {
        0 => Err(SpecProblem::PortZero),
        port => Ok(Endpoint::Tcp { host, port }),
    }
}

fn host_name(field: &Field) -> Result<String, SpecProblem> {
    match &field.text {
        path if field.is_path => Err(SpecProblem::PathAsHost(path.clone())),
        host if host.len() > MAX_HOST => Err(SpecProblem::HostTooLong),
        host => Ok(host.clone()),
    }
}

fn unix_path(field: &Field) -> Result<PathBuf, SpecProblem> {
    if field.text.len() > MAX_SOCKET_PATH {
        return Err(SpecProblem::PathTooLong);
    }
    Ok(PathBuf::from(&field.text))
}

fn port_number(field: &Field, lookups: &Lookups<'_>) -> Result<u16, SpecProblem> {
    let word = &field.text;
    word.parse()
        .ok()
        .or_else(|| (lookups.service)(word))
        .ok_or_else(|| SpecProblem::Port(word.clone()))
}

fn is_port(field: &Field, lookups: &Lookups<'_>) -> bool {
    port_number(field, lookups).is_ok()
}

fn refuse_port_zero(listen: &ListenSpec) -> Result<(), SpecProblem> {
    match listen {
        ListenSpec::Tcp { port: 0, .. } => Err(SpecProblem::PortZero),
        _ => Ok(()),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => {
                write_field(f, host)?;
                write!(f, ":{port}")
            }
            Self::Unix(path) => write_field(f, &path.to_string_lossy()),
        }
    }
}

impl fmt::Display for ListenSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp {
                bind: BindAddress::Default,
                port,
            } => write!(f, "{port}"),
            Self::Tcp {
                bind: BindAddress::Any,
                port,
            } => write!(f, "*:{port}"),
            Self::Tcp {
                bind: BindAddress::Host(host),
                port,
            } => {
                write_field(f, host)?;
                write!(f, ":{port}")
            }
            Self::Unix(path) => write_field(f, &path.to_string_lossy()),
        }
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { listen, target } => write!(f, "-L {listen}:{target}"),
            Self::Remote { listen, target } => write!(f, "-R {listen}:{target}"),
            Self::Dynamic { listen } => write!(f, "-D {listen}"),
            Self::RemoteDynamic { listen } => write!(f, "-R {listen}"),
        }
    }
}

#[cfg(test)]
mod tests;
