//! russh as a server that forwards everything, or as a client with forwards; its command line is described in
//! `peer/scripted.rs`. Only TCP: russh has no unix forwards of its own either way round that the tests would use.

use russh::client::{self, AuthResult};
use russh::keys::{self, PrivateKeyWithHashAlg, PublicKey};
use russh::server::{self, Auth, VerifiedPublicKey};
use russh::{ChannelOpenFailure, Limits};
use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let args = Args::parse(env::args().skip(1))?;
    match args.role.as_str() {
        "server" => serve(args).await,
        "client" => connect(args).await,
        other => Err(format!("unknown role {other}").into()),
    }
}

/// The shared command line.
#[derive(Default)]
struct Args {
    role: String,
    values: HashMap<String, String>,
    local: Vec<[SocketAddr; 2]>,
    remote: Vec<[SocketAddr; 2]>,
}

impl Args {
    fn parse(mut words: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut args = Self {
            role: words.next().ok_or("no role")?,
            ..Self::default()
        };
        while let Some(flag) = words.next() {
            let value = words.next().ok_or("a flag without a value")?;
            match flag.as_str() {
                "-L" => args.local.push(forward(&value)?),
                "-R" => args.remote.push(forward(&value)?),
                _ => drop(args.values.insert(flag, value)),
            }
        }
        Ok(args)
    }

    fn value(&self, flag: &str) -> Outcome<&str> {
        self.values
            .get(flag)
            .map(String::as_str)
            .ok_or_else(|| format!("{flag} is missing").into())
    }

    fn limits(&self) -> Outcome<Limits> {
        let Some(bytes) = self.values.get("--rekey-bytes") else {
            return Ok(Limits::default());
        };
        let bytes = bytes.parse()?;
        Ok(Limits::new(bytes, bytes, Duration::from_secs(3600)))
    }
}

/// `ip:port:ip:port`, IPv4 only: the tests use no other form with this peer.
fn forward(spec: &str) -> Outcome<[SocketAddr; 2]> {
    let second = spec
        .match_indices(':')
        .nth(1)
        .ok_or("a forward needs four fields")?
        .0;
    Ok([spec[..second].parse()?, spec[second + 1..].parse()?])
}

// ---- server ----

async fn serve(args: Args) -> Outcome<()> {
    let config = Arc::new(server::Config {
        keys: vec![keys::load_secret_key(args.value("--host-key")?, None)?],
        limits: args.limits()?,
        auth_rejection_time: Duration::ZERO,
        inactivity_timeout: None,
        nodelay: true,
        ..server::Config::default()
    });
    let authorized = fs::read_to_string(args.value("--authorized-keys")?)?
        .lines()
        .map(PublicKey::from_openssh)
        .collect::<Result<Vec<_>, _>>()?;
    let authorized = Arc::new(authorized);
    let listener = TcpListener::bind(("127.0.0.1", args.value("--port")?.parse()?)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let config = Arc::clone(&config);
        let handler = ServerSide {
            authorized: Arc::clone(&authorized),
            listeners: JoinSet::new(),
        };
        tokio::spawn(async move {
            let running = match server::run_stream(config, stream, handler).await {
                Ok(running) => running,
                Err(error) => return eprintln!("connection: {error}"),
            };
            if let Err(error) = running.await {
                eprintln!("connection: {error}");
            }
        });
    }
}

/// One connection at the server; its listeners end with it.
struct ServerSide {
    authorized: Arc<Vec<PublicKey>>,
    listeners: JoinSet<()>,
}

impl server::Handler for ServerSide {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        _user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let known = self
            .authorized
            .iter()
            .any(|one| one.key_data() == key.public_key.key_data());
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: russh::Channel<server::Msg>,
        host_to_connect: &str,
        port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: server::ChannelOpenHandle,
        _session: &mut server::Session,
    ) -> Result<(), Self::Error> {
        let target = format!("{host_to_connect}:{port_to_connect}");
        tokio::spawn(async move {
            match TcpStream::connect(&target).await {
                Ok(stream) => {
                    reply.accept().await;
                    relay(channel, stream).await;
                }
                Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            }
        });
        Ok(())
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        session: &mut server::Session,
    ) -> Result<bool, Self::Error> {
        let Ok(listener) = TcpListener::bind(format!("{address}:{port}")).await else {
            return Ok(false);
        };
        *port = listener.local_addr()?.port().into();
        let (address, port, handle) = (address.to_owned(), *port, session.handle());
        self.listeners.spawn(async move {
            while let Ok((stream, origin)) = listener.accept().await {
                let (address, handle) = (address.clone(), handle.clone());
                tokio::spawn(async move {
                    let (ip, from) = (origin.ip().to_string(), origin.port().into());
                    match handle
                        .channel_open_forwarded_tcpip(address, port, ip, from)
                        .await
                    {
                        Ok(channel) => relay(channel, stream).await,
                        Err(error) => eprintln!("forwarded-tcpip: {error}"),
                    }
                });
            }
        });
        Ok(true)
    }
}

// ---- client ----

async fn connect(args: Args) -> Outcome<()> {
    let config = Arc::new(client::Config {
        limits: args.limits()?,
        nodelay: true,
        ..client::Config::default()
    });
    let port: u16 = args.value("--port")?.parse()?;
    let handler = ClientSide {
        port,
        known_hosts: args.value("--known-hosts")?.into(),
        targets: args
            .remote
            .iter()
            .map(|[listen, to]| (listen.port().into(), *to))
            .collect(),
    };
    let mut session = client::connect(config, ("127.0.0.1", port), handler).await?;
    let key = Arc::new(keys::load_secret_key(args.value("--key")?, None)?);
    let key = PrivateKeyWithHashAlg::new(key, None);
    match session
        .authenticate_publickey(args.value("--user")?, key)
        .await?
    {
        AuthResult::Success => {}
        AuthResult::Failure { .. } => return Err("permission denied".into()),
    }
    for [listen, _] in &args.remote {
        session
            .tcpip_forward(listen.ip().to_string(), listen.port().into())
            .await?;
    }
    let session = Arc::new(session);
    for [listen, to] in args.local {
        drop(listen_locally(Arc::clone(&session), listen, to).await?);
    }
    println!("ready");
    // The session has no event for its end that can be awaited while others use it.
    while !session.is_closed() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("connection closed".into())
}

async fn listen_locally(
    session: Arc<client::Handle<ClientSide>>,
    listen: SocketAddr,
    to: SocketAddr,
) -> Outcome<JoinHandle<()>> {
    let listener = TcpListener::bind(listen).await?;
    Ok(tokio::spawn(async move {
        while let Ok((stream, origin)) = listener.accept().await {
            let session = Arc::clone(&session);
            tokio::spawn(async move {
                let (host, from) = (to.ip().to_string(), origin.ip().to_string());
                let (port, from_port) = (to.port().into(), origin.port().into());
                match session
                    .channel_open_direct_tcpip(host, port, from, from_port)
                    .await
                {
                    Ok(channel) => relay(channel, stream).await,
                    Err(error) => eprintln!("direct-tcpip: {error}"),
                }
            });
        }
    }))
}

/// The connection at the client.
struct ClientSide {
    port: u16,
    known_hosts: PathBuf,
    targets: HashMap<u32, SocketAddr>,
}

impl client::Handler for ClientSide {
    type Error = russh::Error;

    async fn disconnected(
        &mut self,
        reason: client::DisconnectReason<Self::Error>,
    ) -> Result<(), Self::Error> {
        match reason {
            client::DisconnectReason::ReceivedDisconnect(said) => {
                eprintln!("disconnected by the server: {said:?}");
                Ok(())
            }
            client::DisconnectReason::Error(error) => {
                eprintln!("connection: {error}");
                Err(error)
            }
        }
    }

    async fn check_server_key(
        &mut self,
        key: &keys::PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let keys::PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Ok(false);
        };
        Ok(keys::check_known_hosts_path(
            "127.0.0.1",
            self.port,
            key,
            &self.known_hosts,
        )?)
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: russh::Channel<client::Msg>,
        _connected_address: &str,
        connected_port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: client::ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        let Some(&target) = self.targets.get(&connected_port) else {
            reply
                .reject(ChannelOpenFailure::AdministrativelyProhibited)
                .await;
            return Ok(());
        };
        tokio::spawn(async move {
            match TcpStream::connect(target).await {
                Ok(stream) => {
                    reply.accept().await;
                    relay(channel, stream).await;
                }
                Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
            }
        });
        Ok(())
    }
}

// ---- both ----

/// Copies both ways; each direction ends by itself.
async fn relay<M>(channel: russh::Channel<M>, mut stream: TcpStream)
where
    M: From<(russh::ChannelId, russh::ChannelMsg)> + Send + Sync + 'static,
{
    let _ = stream.set_nodelay(true);
    let mut channel = channel.into_stream();
    if let Err(error) = tokio::io::copy_bidirectional(&mut channel, &mut stream).await {
        eprintln!("relay: {error}");
    }
}
