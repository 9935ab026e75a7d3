//! What a logged-in client may have: connections made for it (`-L`, `-D`), and listeners (`-R`).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use adit_proto::connection::RequestRefused;
use adit_proto::message::connection::{ChannelType, GlobalRequest, OpenFailureReason};
use log::{debug, info, warn};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;

use super::auth::Login;
use super::settings::ServerSettings;
use crate::config::spec::Endpoint;
use crate::forward::dial;
use crate::forward::egress::Egress;
use crate::forward::ingress::{Ingress, Route};
use crate::forward::registry::{Registry, RemoteAddress};
use crate::net::connection::ChannelAsked;
use crate::net::listener::{self, BindError, Listener};
use crate::net::{Handle, Incoming};
use crate::policy::{Ask, BindHost, remote_bind};
use crate::status::ForwardCounters;

/// Serves requests until the connection ends; its listeners end with it.
pub(super) async fn serve(
    handle: &Handle,
    incoming: &mut Receiver<Incoming>,
    settings: &Arc<ServerSettings>,
    login: Login,
) {
    let mut forwards = Forwards {
        handle: handle.clone(),
        settings: settings.clone(),
        login: Arc::new(login),
        counters: Arc::default(),
        listening: Registry::default(),
    };
    while let Some(event) = incoming.recv().await {
        match event {
            Incoming::Open(asked) => forwards.open(asked),
            Incoming::Global {
                request,
                want_reply,
            } => {
                let reply = forwards.global(request).await;
                if want_reply && handle.reply_global(reply).is_err() {
                    return;
                }
            }
            _ => {}
        }
    }
}

/// The accept loops of one remote forward; they end when it is dropped.
type Listening = JoinSet<()>;

struct Forwards {
    handle: Handle,
    settings: Arc<ServerSettings>,
    login: Arc<Login>,
    /// What is carried for this client's own `-L` and `-D`, which the server cannot tell apart.
    counters: Arc<ForwardCounters>,
    listening: Registry<Listening>,
}

impl Forwards {
    fn open(&self, asked: ChannelAsked) {
        let (target, permitted) = match &asked.channel_type {
            ChannelType::DirectTcpip(a) => (
                Endpoint::Tcp {
                    host: a.host.clone(),
                    port: a.port,
                },
                self.login.grant.permit(&Ask::Connect {
                    host: &a.host,
                    port: a.port,
                }),
            ),
            ChannelType::DirectStreamLocal { socket_path } => (
                Endpoint::Unix(socket_path.into()),
                self.login
                    .grant
                    .permit(&Ask::ConnectUnix { path: socket_path }),
            ),
            other => {
                let text = format!(
                    "adit serves forwards only, no {}",
                    other.name().escape_debug()
                );
                asked.refuse(OpenFailureReason::UNKNOWN_CHANNEL_TYPE, text);
                return;
            }
        };
        if let Err(denied) = permitted {
            warn!(
                "{}: refused local port forward to {target}: {denied}",
                self.who()
            );
            asked.refuse(
                OpenFailureReason::ADMINISTRATIVELY_PROHIBITED,
                denied.to_string(),
            );
            return;
        }
        let egress = Egress {
            label: self.who(),
            family: self.settings.family,
            counters: self.counters.clone(),
            target: target.clone(),
        };
        let login = self.login.clone();
        tokio::spawn(async move {
            let host = match &target {
                Endpoint::Tcp { host, .. } => host.clone(),
                Endpoint::Unix(_) => String::new(),
            };
            let permit = |addr: SocketAddr| {
                let ask = Ask::Dial { host: &host, addr };
                login
                    .grant
                    .permit(&ask)
                    .map_err(|denied| denied.to_string())
            };
            egress.carry(asked, permit).await;
        });
    }

    async fn global(&mut self, request: GlobalRequest) -> Result<Option<u16>, RequestRefused> {
        match request {
            GlobalRequest::TcpipForward {
                address_to_bind,
                port,
            } => self.listen_tcp(address_to_bind, port).await,
            GlobalRequest::StreamLocalForward { socket_path } => self.listen_unix(socket_path),
            GlobalRequest::CancelTcpipForward {
                address_to_bind,
                port,
            } => self.cancel(&RemoteAddress::Tcp {
                address: address_to_bind,
                port,
            }),
            GlobalRequest::CancelStreamLocalForward { socket_path } => {
                self.cancel(&RemoteAddress::Unix(socket_path))
            }
            GlobalRequest::KeepAlive | GlobalRequest::Other(_) => Err(RequestRefused),
        }
    }

    async fn listen_tcp(
        &mut self,
        address: String,
        port: u16,
    ) -> Result<Option<u16>, RequestRefused> {
        let ask = Ask::Listen {
            host: &address,
            port,
        };
        if let Err(denied) = self.login.grant.permit(&ask) {
            return Err(self.refuse_listen(
                &format!("{}:{port}", address.escape_debug()),
                &denied.to_string(),
            ));
        }
        let bind = remote_bind(self.login.grant.gateway_ports(), &address);
        if let Some(notice) = bind.notice(&address) {
            info!("{}: {notice}", self.who());
            let _ = self.handle.debug(&notice);
        }
        let bound = match self.resolve(&bind.hosts, port).await {
            Ok(addresses) => listener::bind_tcp(&addresses, port),
            Err(error) => Err(error),
        };
        let (listeners, bound_port) = match bound {
            Ok(bound) => bound,
            Err(error) => {
                return Err(self.refuse_listen(
                    &format!("{}:{port}", address.escape_debug()),
                    &error.to_string(),
                ));
            }
        };
        let route = Route::ForwardedTcpip {
            address: address.clone(),
            port: bound_port,
        };
        let label = format!(
            "{}: remote forward {}:{bound_port}",
            self.who(),
            address.escape_debug()
        );
        let key = RemoteAddress::Tcp {
            address,
            port: bound_port,
        };
        self.start(key, label, route, listeners)?;
        Ok((port == 0).then_some(bound_port))
    }

    fn listen_unix(&mut self, path: String) -> Result<Option<u16>, RequestRefused> {
        if let Err(denied) = self.login.grant.permit(&Ask::ListenUnix { path: &path }) {
            return Err(self.refuse_listen(&path, &denied.to_string()));
        }
        let settings = &self.settings;
        let bound = listener::bind_unix(
            Path::new(&path),
            settings.stream_local_bind_mask,
            settings.stale_socket,
        );
        let listener = match bound {
            Ok(listener) => listener,
            Err(error) => return Err(self.refuse_listen(&path, &error.to_string())),
        };
        let label = format!("{}: remote forward {}", self.who(), path.escape_debug());
        let route = Route::ForwardedStreamLocal { path: path.clone() };
        self.start(RemoteAddress::Unix(path), label, route, vec![listener])?;
        Ok(None)
    }

    fn start(
        &mut self,
        key: RemoteAddress,
        label: String,
        route: Route,
        listeners: Vec<Listener>,
    ) -> Result<(), RequestRefused> {
        info!("{label}: listening");
        let ingress = Arc::new(Ingress {
            label,
            peer_name: format!("client of {}", self.login.user),
            handle: self.handle.clone(),
            route,
            counters: Arc::default(),
        });
        let mut listening = JoinSet::new();
        for listener in listeners {
            listening.spawn(ingress.clone().serve(listener));
        }
        self.listening.insert(key, listening).map_err(|_| {
            warn!("{}: too many remote forwards", self.who());
            RequestRefused
        })
    }

    fn cancel(&mut self, key: &RemoteAddress) -> Result<Option<u16>, RequestRefused> {
        match self.listening.remove(key) {
            Some(_) => {
                debug!("{}: remote forward {key:?} cancelled", self.who());
                Ok(None)
            }
            None => Err(RequestRefused),
        }
    }

    /// Says why, here and to the client, whose wire format has no room for a reason.
    fn refuse_listen(&self, what: &str, why: &str) -> RequestRefused {
        warn!("{}: refused remote forward {what}: {why}", self.who());
        let _ = self
            .handle
            .debug(&format!("remote forward {what} refused: {why}"));
        RequestRefused
    }

    async fn resolve(&self, hosts: &[BindHost], port: u16) -> Result<Vec<IpAddr>, BindError> {
        let mut addresses = Vec::new();
        for host in hosts {
            match host {
                BindHost::Address(address) => addresses.push(*address),
                BindHost::Name(name) => {
                    let resolved = dial::resolve(name, port, self.settings.family).await;
                    let resolved = resolved.map_err(|error| BindError {
                        address: name.clone(),
                        source: io::Error::other(error),
                    })?;
                    addresses.extend(resolved.iter().map(SocketAddr::ip));
                }
            }
        }
        Ok(addresses)
    }

    fn who(&self) -> String {
        match self.login.peer {
            Some(peer) => format!("{} from {peer}", self.login.user),
            None => self.login.user.clone(),
        }
    }
}
