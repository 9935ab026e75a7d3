//! Setting up a connection: from the settings to the login, directly or through a hop.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use adit_proto::Side;
use adit_proto::connection::ConnectionConfig;
use adit_proto::message::connection::{ChannelType, TcpAddresses};
use adit_proto::peer_text;
use adit_proto::transport::TransportConfig;
use log::debug;
use tokio::net::{TcpSocket, UnixStream};
use tokio::time::timeout;

use super::error::ConnectError;
use super::host_key::{Presented, Role};
use super::settings::{ClientSettings, Questions};
use super::{Client, LoggedIn, Prompts, aside, auth, host_key};
use crate::config::values::AddressFamily;
use crate::forward::dial::{self, DialError};
use crate::forward::relay::relay;
use crate::known_hosts::file::read_all;
use crate::net::handshake::{self, PeerIdent};
use crate::net::outcome::OpenError;
use crate::net::{ClientLogin, Stream, memory, seed};

/// Connects and logs in.
pub(super) async fn establish(
    settings: &ClientSettings,
    hop: Option<&Client>,
    role: Role,
    prompts: &Prompts,
) -> Result<LoggedIn, ConnectError> {
    let silent = Prompts::none();
    let prompts = match settings.login.questions {
        Questions::Suppressed => &silent,
        Questions::Asked => prompts,
    };
    let files = settings.known_hosts.clone();
    let known = aside(move || read_all(&files)).await;
    let known = known.map_err(local)?.map_err(local)?;
    let transport = settings.transport(&known).map_err(local)?;
    let begun = timeout(
        settings.connect_timeout,
        begin(settings, hop, role, transport),
    );
    let (mut login, presented) = begun.await.unwrap_or_else(|_| {
        Err(ConnectError::Connect {
            host: settings.host.clone(),
            port: settings.port,
            source: io::ErrorKind::TimedOut.into(),
        })
    })?;
    let trust = host_key::judge(settings, &known, &presented, prompts)
        .await
        .inspect_err(|_| {
            login.end("Host key verification failed.");
        })?;
    login.accept_host_key();
    let success = auth::log_in(&mut login, settings, trust, prompts).await?;
    let (handle, incoming) = login.finish(success);
    Ok(LoggedIn {
        handle,
        incoming,
        trust,
    })
}

/// Connects, and exchanges keys up to the server's host key.
async fn begin(
    settings: &ClientSettings,
    hop: Option<&Client>,
    role: Role,
    transport: Arc<TransportConfig>,
) -> Result<(ClientLogin, Presented), ConnectError> {
    seed::prepare();
    let (socket, ident) = match hop {
        None => greet(settings, dial_direct(settings).await?).await?,
        Some(hop) => greet_through(settings, hop).await?,
    };
    debug!(
        "Remote protocol version: {}",
        peer_text::description(&ident.line)
    );
    let address = socket.peer_addr().map(|address| address.ip());
    let config = ConnectionConfig {
        transport,
        keep_alive: settings.keep_alive,
        peer_ident: ident.line,
        seed: seed::draw().map_err(local)?,
        windows: memory::windows(),
    };
    let mut login = ClientLogin::start(socket, config, settings.user.clone(), &ident.early);
    let key = host_key::receive(&mut login, &settings.host).await?;
    Ok((login, Presented { key, address, role }))
}

/// An error of this machine, not of the host.
fn local(error: impl fmt::Display) -> ConnectError {
    ConnectError::Local(error.to_string())
}

async fn dial_direct(settings: &ClientSettings) -> Result<Stream, ConnectError> {
    let resolved = dial::resolve(&settings.host, settings.port, settings.family).await;
    let addresses = resolved.map_err(|error| match error {
        DialError::Resolve(source) | DialError::Connect(source) => ConnectError::Resolve {
            host: settings.host.clone(),
            source,
        },
        DialError::Denied(why) => ConnectError::Local(why),
        DialError::Full(full) => local(full),
    })?;
    let connected = dial::first_to_answer(addresses, |address| dial_one(settings, address)).await;
    connected.map_err(|source| ConnectError::Connect {
        host: settings.host.clone(),
        port: settings.port,
        source,
    })
}

async fn dial_one(settings: &ClientSettings, address: SocketAddr) -> io::Result<Stream> {
    debug!(
        "Connecting to {} [{}] port {}.",
        settings.host,
        address.ip(),
        address.port()
    );
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(bind) = &settings.bind_address {
        socket.bind(source_address(bind, address).await?)?;
    }
    Ok(socket.connect(address).await?.into())
}

/// Resolves `BindAddress`, an address (perhaps with a scope) or a name, in the address family of the host.
async fn source_address(bind: &str, host: SocketAddr) -> io::Result<SocketAddr> {
    let family = match host {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let found = dial::resolve(bind, 0, family).await;
    let found = found.map_err(|error| io::Error::other(format!("BindAddress {bind}: {error}")))?;
    Ok(found[0])
}

/// Exchanges identification lines.
async fn greet(
    settings: &ClientSettings,
    socket: Stream,
) -> Result<(Stream, PeerIdent), ConnectError> {
    socket.prepare_ssh(settings.tcp_keep_alive);
    let ident = handshake::exchange_ident(&socket, Side::Client).await;
    let ident = ident.map_err(|e| handshake_error(settings, &e))?;
    Ok((socket, ident))
}

/// The same through a channel of the connection to the hop. Our line is sent before the channel is confirmed.
async fn greet_through(
    settings: &ClientSettings,
    hop: &Client,
) -> Result<(Stream, PeerIdent), ConnectError> {
    let opening = hop
        .handle()
        .begin_open(ChannelType::DirectTcpip(TcpAddresses {
            host: settings.host.clone(),
            port: settings.port,
            originator_address: "127.0.0.1".into(),
            originator_port: 0,
        }));
    let (channel, mut confirmation) =
        opening.map_err(|error| unreachable_from(hop, settings, error))?;
    // One end of a socket pair; a relay serves the other.
    let (ours, theirs) = UnixStream::pair().map_err(local)?;
    let theirs = Arc::new(theirs.into());
    tokio::spawn(async move { relay(channel, theirs, &Arc::default()).await });
    tokio::select! {
        biased;
        Err(error) = confirmation.given() => Err(unreachable_from(hop, settings, error)),
        greeted = greet(settings, ours.into()) => greeted,
    }
}

fn unreachable_from(hop: &Client, settings: &ClientSettings, error: OpenError) -> ConnectError {
    let hop = &hop.settings().host;
    let why = match error {
        OpenError::Refused(refusal) => {
            let why = peer_text::description(&refusal.failure.description);
            format!("cannot be reached from {hop}: {why}")
        }
        OpenError::Ended(ended) => format!("the connection to {hop}: {ended}"),
    };
    ConnectError::Handshake {
        host: settings.host.clone(),
        why,
    }
}

fn handshake_error(settings: &ClientSettings, error: &io::Error) -> ConnectError {
    ConnectError::Handshake {
        host: settings.host.clone(),
        why: format!(
            "kex_exchange_identification: {}",
            crate::net::listener::describe(error)
        ),
    }
}
