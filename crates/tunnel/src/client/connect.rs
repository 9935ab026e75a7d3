//! From settings to a logged-in connection: directly, or through the host before.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use adit_proto::Side;
use adit_proto::connection::{Connection, ConnectionConfig};
use adit_proto::message::connection::{ChannelType, TcpAddresses};
use log::debug;
use tokio::net::{TcpSocket, UnixStream};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout_at;

use super::error::ConnectError;
use super::settings::ClientSettings;
use super::{Client, Prompts, Trust, auth, host_key};
use crate::forward::dial::{self, DialError};
use crate::forward::relay::relay;
use crate::known_hosts::file::read_all;
use crate::net::connection::OpenError;
use crate::net::{Handle, Incoming, Stream, driver, handshake, memory, seed};

/// Connects and logs in.
pub(super) async fn establish(
    settings: &ClientSettings,
    hop: Option<&Client>,
    prompts: &Prompts,
) -> Result<(Handle, Receiver<Incoming>, Trust), ConnectError> {
    let silent = Prompts::none();
    let prompts = match settings.options.batch_mode {
        Some(true) => &silent,
        _ => prompts,
    };
    let known = read_all(&settings.known_hosts).map_err(|e| ConnectError::Local(e.to_string()))?;
    let transport = settings
        .transport(&known)
        .map_err(|e| ConnectError::Local(e.to_string()))?;
    let deadline = tokio::time::Instant::now() + settings.connect_timeout();
    let failed = |source| ConnectError::Connect {
        host: settings.host.clone(),
        port: settings.port,
        source,
    };
    seed::prepare();
    let begun = timeout_at(deadline, async {
        let socket = match hop {
            None => dial_direct(settings).await?,
            Some(hop) => dial_through(settings, hop).await?,
        };
        socket.prepare_ssh(settings.tcp_keep_alive());
        let ident = handshake::exchange_ident(&socket, Side::Client).await;
        let ident = ident.map_err(|e| handshake_error(settings, &e))?;
        debug!("Remote protocol version: {}", ident.line);
        let seed = seed::draw().map_err(|e| ConnectError::Local(e.to_string()))?;
        let config = ConnectionConfig {
            transport,
            keep_alive: settings.keep_alive(),
            peer_ident: ident.line,
            seed,
            windows: memory::windows(),
        };
        let connection = Connection::client(config, settings.user.clone(), Instant::now());
        let (handle, mut incoming, driver) = driver::start(socket, connection, &ident.early);
        tokio::spawn(driver);
        let key = host_key::receive(&handle, &mut incoming, &settings.host).await?;
        Ok::<_, ConnectError>((handle, incoming, key))
    });
    let (handle, mut incoming, key) = match begun.await {
        Ok(begun) => begun?,
        Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
    };
    let trust = host_key::judge(settings, &known, &key, prompts)
        .await
        .inspect_err(|_| {
            handle.end("Host key verification failed.");
        })?;
    handle.accept_host_key();
    auth::log_in(&handle, &mut incoming, settings, trust, prompts).await?;
    Ok((handle, incoming, trust))
}

async fn dial_direct(settings: &ClientSettings) -> Result<Stream, ConnectError> {
    let resolved = dial::resolve(&settings.host, settings.port, settings.family()).await;
    let addresses = resolved.map_err(|error| match error {
        DialError::Resolve(source) | DialError::Connect(source) => ConnectError::Resolve {
            host: settings.host.clone(),
            source,
        },
        DialError::Denied(why) => ConnectError::Local(why),
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
    if let Some(bind) = &settings.options.bind_address {
        let ip = bind
            .parse()
            .map_err(|_| io::Error::other(format!("BindAddress {bind} is not an address")))?;
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    Ok(socket.connect(address).await?.into())
}

/// A channel of the connection to the host before, as a stream: one end of a socket pair that a relay serves.
async fn dial_through(settings: &ClientSettings, hop: &Client) -> Result<Stream, ConnectError> {
    let opened = hop
        .handle
        .open(ChannelType::DirectTcpip(TcpAddresses {
            host: settings.host.clone(),
            port: settings.port,
            originator_address: "127.0.0.1".into(),
            originator_port: 0,
        }))
        .await;
    let channel = opened.map_err(|error| ConnectError::Handshake {
        host: settings.host.clone(),
        why: match error {
            OpenError::Refused(failure) => format!(
                "cannot be reached from {}: {}",
                hop.settings.host,
                failure.description.escape_debug()
            ),
            OpenError::Ended(ended) => format!("the connection to {}: {ended}", hop.settings.host),
        },
    })?;
    let (ours, theirs) = UnixStream::pair().map_err(|e| ConnectError::Local(e.to_string()))?;
    let theirs = Arc::new(theirs.into());
    tokio::spawn(async move { relay(channel, theirs, &Arc::default()).await });
    Ok(ours.into())
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
