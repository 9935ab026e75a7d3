//! Remote forwards of a client: listeners at the server whose connections go to the client.

use std::path::Path;
use std::sync::Arc;

use adit_proto::connection::RequestRefused;
use adit_proto::message::connection::GlobalRequest;
use adit_proto::peer_text;
use log::{Level, debug};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;

use super::Peer;
use super::auth::Login;
use super::settings::ServerSettings;
use crate::forward::bind::{self, Bound};
use crate::forward::descriptors::Permit;
use crate::forward::ingress::{FixedRoute, Ingress, Route};
use crate::forward::recent_targets::RecentTargets;
use crate::forward::registry::{Registry, RemoteAddress};
use crate::forward::uplink::Uplink;
use crate::net::{Handle, IncomingRequest};
use crate::policy::{Ask, LISTEN_NOTICE, remote_bind};

/// Accept loops of one remote forward, which end when this is dropped.
struct Listening {
    accepting: JoinSet<()>,
    /// Permit for its sockets.
    _descriptors: Permit,
}

/// Remote forwards of one client.
pub(super) struct RemoteForwards {
    handle: Handle,
    settings: Arc<ServerSettings>,
    login: Arc<Login>,
    listening: Registry<Listening>,
}

impl RemoteForwards {
    pub(super) fn new(handle: Handle, settings: Arc<ServerSettings>, login: Arc<Login>) -> Self {
        Self {
            handle,
            settings,
            login,
            listening: Registry::default(),
        }
    }

    /// Answers the requests one after the other, as RFC 4254 §4 requires, until the connection ends.
    pub(super) async fn serve(mut self, mut requests: Receiver<IncomingRequest>) {
        while let Some(IncomingRequest { request, reply }) = requests.recv().await {
            let answer = self.answer(request).await;
            if let Some(reply) = reply
                && reply.send(answer).is_err()
            {
                return;
            }
        }
    }

    async fn answer(&mut self, request: GlobalRequest) -> Result<Option<u16>, RequestRefused> {
        match request {
            GlobalRequest::TcpipForward {
                address_to_bind,
                port,
            } => self.listen_tcp(address_to_bind, port).await,
            GlobalRequest::StreamLocalForward { socket_path } => self.listen_unix(socket_path),
            GlobalRequest::CancelTcpipForward {
                address_to_bind,
                port,
            } => {
                self.cancel(&RemoteAddress::Tcp {
                    address: address_to_bind,
                    port,
                })
                .await
            }
            GlobalRequest::CancelStreamLocalForward { socket_path } => {
                self.cancel(&RemoteAddress::Unix(socket_path)).await
            }
            GlobalRequest::KeepAlive | GlobalRequest::Other(_) => Err(RequestRefused),
        }
    }

    async fn listen_tcp(
        &mut self,
        address: String,
        port: u16,
    ) -> Result<Option<u16>, RequestRefused> {
        let shown = peer_text::name(&address).to_string();
        let bound = self.bind_tcp(&address, port).await;
        let bound = bound.map_err(|why| self.refuse_listen(&format!("{shown}:{port}"), &why))?;
        let label = format!(
            "{}: remote forward {shown}:{}",
            self.login.who(),
            bound.port
        );
        for failure in &bound.failures {
            let line = format_args!("{label}: {failure}");
            Peer(self.login.peer).log(Level::Warn, "addresses without a listener", line);
            let _ = self.handle.debug(&format!("{LISTEN_NOTICE}: {failure}"));
        }
        let route = FixedRoute::ForwardedTcpip {
            address: address.clone(),
            port: bound.port,
        };
        let key = RemoteAddress::Tcp {
            address,
            port: bound.port,
        };
        let bound_port = (port == 0).then_some(bound.port);
        self.start(key, label, route, bound)?;
        Ok(bound_port)
    }

    /// Asks the policy, and listens on the addresses that it has for the client's. The error is a sentence.
    async fn bind_tcp(&self, host: &str, port: u16) -> Result<Bound, String> {
        let Login {
            grant, descriptors, ..
        } = &*self.login;
        let permitted = grant.permit(&Ask::Listen { host, port });
        permitted.map_err(|denied| denied.to_string())?;
        let wanted = remote_bind(grant.gateway_ports(), host);
        if let Some(notice) = wanted.notice(host) {
            let kind = "other listening addresses than asked for";
            let line = format_args!("{}: {notice}", self.login.who());
            Peer(self.login.peer).log(Level::Info, kind, line);
            let _ = self.handle.debug(&notice);
        }
        let bound = bind::listen(wanted.hosts, port, self.settings.family, descriptors).await;
        bound.map_err(|error| error.to_string())
    }

    fn listen_unix(&mut self, path: String) -> Result<Option<u16>, RequestRefused> {
        let shown = peer_text::name(&path).to_string();
        let bound = self.bind_unix(&path);
        let bound = bound.map_err(|why| self.refuse_listen(&shown, &why))?;
        let label = format!("{}: remote forward {shown}", self.login.who());
        let route = FixedRoute::ForwardedStreamLocal { path: path.clone() };
        self.start(RemoteAddress::Unix(path), label, route, bound)?;
        Ok(None)
    }

    /// The same for a unix socket.
    fn bind_unix(&self, path: &str) -> Result<Bound, String> {
        let permitted = self.login.grant.permit(&Ask::ListenUnix { path });
        permitted.map_err(|denied| denied.to_string())?;
        let (mask, stale) = (
            self.settings.stream_local_bind_mask,
            self.settings.stale_socket,
        );
        let bound = bind::listen_unix(Path::new(path), mask, stale, &self.login.descriptors);
        bound.map_err(|error| error.to_string())
    }

    fn start(
        &mut self,
        key: RemoteAddress,
        label: String,
        route: FixedRoute,
        bound: Bound,
    ) -> Result<(), RequestRefused> {
        let line = format_args!("{label}: listening");
        Peer(self.login.peer).log(Level::Info, "remote forwards", line);
        let ingress = Arc::new(Ingress {
            label,
            peer_name: format!("client of {}", self.login.user),
            uplink: Uplink::Fixed(self.handle.clone()),
            route: Route::Fixed(route),
            counters: Arc::default(),
            recent_targets: RecentTargets::default(),
            descriptors: self.login.descriptors.clone(),
        });
        let mut accepting = JoinSet::new();
        for listener in bound.listeners {
            accepting.spawn(ingress.clone().serve(listener));
        }
        let listening = Listening {
            accepting,
            _descriptors: bound.descriptors,
        };
        self.listening.insert(key, listening).map_err(|_| {
            let line = format_args!("{}: too many remote forwards", self.login.who());
            Peer(self.login.peer).log(Level::Warn, "refused forwards", line);
            RequestRefused
        })
    }

    async fn cancel(&mut self, key: &RemoteAddress) -> Result<Option<u16>, RequestRefused> {
        match self.listening.remove(key) {
            Some(mut listening) => {
                // The next request may be for the same address, which must be free by then.
                listening.accepting.shutdown().await;
                debug!("{}: remote forward {key} cancelled", self.login.who());
                Ok(None)
            }
            None => Err(RequestRefused),
        }
    }

    /// Logs the reason, and sends it to the client in a debug message: the reply of the protocol cannot carry it.
    fn refuse_listen(&self, what: &str, why: &str) -> RequestRefused {
        let who = self.login.who();
        let line = format_args!("{who}: refused remote forward {what}: {why}");
        Peer(self.login.peer).log(Level::Warn, "refused forwards", line);
        let _ = self
            .handle
            .debug(&format!("remote forward {what} refused: {why}"));
        RequestRefused
    }
}
