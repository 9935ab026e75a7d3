//! Forwards and sessions of a logged-in client: connections made for it (`-L`, `-D`), listeners (`-R`, in `remote`), and
//! programs (in `sessions`).

use std::net::SocketAddr;
use std::sync::Arc;

use adit_proto::message::connection::{ChannelType, OpenFailureReason, TcpAddresses};
use adit_proto::peer_text;
use log::{Level, warn};
use tokio::sync::mpsc::{Sender, channel};

use super::auth::Login;
use super::remote::RemoteForwards;
use super::sessions::Sessions;
use super::settings::ServerSettings;
use super::{Commons, Peer};
use crate::config::spec::Endpoint;
use crate::forward::dial::Dials;
use crate::forward::egress::Egress;
use crate::net::incoming::IncomingChannel;
use crate::net::{Handle, Inbox, Incoming, IncomingRequest};
use crate::policy::{Ask, Denied};
use crate::status::ForwardCounters;

/// Limit of the requests about listeners that wait for an earlier one, whose name may take long to resolve. `proto` has
/// the same limit for requests without an answer.
const MAX_WAITING_REQUESTS: usize = 4096;

/// Serves requests until the connection ends; its listeners end with it.
pub(super) async fn serve(
    handle: &Handle,
    incoming: &mut Inbox,
    settings: &Arc<ServerSettings>,
    commons: &Commons,
    login: Login,
) {
    let login = Arc::new(login);
    let remote = RemoteForwards::new(handle.clone(), settings.clone(), login.clone());
    let dials = Dials::within(login.descriptors.clone());
    let forwards = Forwards {
        settings: settings.clone(),
        sessions: Sessions::new(settings, commons, login.clone()),
        login,
        counters: Arc::default(),
        dials: Arc::new(dials),
    };
    // In parallel, so that channels do not wait while a listener's name is resolved.
    let (requests, waiting) = channel(MAX_WAITING_REQUESTS);
    tokio::select! {
        () = forwards.serve(handle, incoming, &requests) => {}
        () = remote.serve(waiting) => {}
    }
}

struct Forwards {
    settings: Arc<ServerSettings>,
    sessions: Sessions,
    login: Arc<Login>,
    /// Counters of this client's `-L` and `-D`, which the server cannot tell apart.
    counters: Arc<ForwardCounters>,
    dials: Arc<Dials>,
}

impl Forwards {
    /// Opens channels, and passes on the requests about listeners.
    async fn serve(
        &self,
        handle: &Handle,
        incoming: &mut Inbox,
        requests: &Sender<IncomingRequest>,
    ) {
        while let Some(event) = incoming.recv().await {
            match event {
                Incoming::Open(asked) => self.open(asked),
                Incoming::GlobalRequest(request) => {
                    let Err(_unserved) = requests.try_send(request) else {
                        continue;
                    };
                    warn!("{}: too many requests wait", self.login.who());
                    handle.end("too many requests wait");
                    return;
                }
                _ => {}
            }
        }
    }

    fn open(&self, asked: IncomingChannel) {
        if asked.channel_type == ChannelType::Session {
            self.sessions.open(asked);
            return;
        }
        let Some((target, ask)) = target_of(&asked.channel_type) else {
            let name = peer_text::name(asked.channel_type.name());
            let text = format!("adit serves no {name}");
            asked.refuse(OpenFailureReason::UNKNOWN_CHANNEL_TYPE, text);
            return;
        };
        if let Err(denied) = self.login.grant.permit(&ask) {
            self.refuse(asked, &target, &denied);
            return;
        }
        let egress = Egress {
            label: self.login.who(),
            family: self.settings.family,
            counters: self.counters.clone(),
            dials: self.dials.clone(),
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
            egress.carry(asked, target, permit).await;
        });
    }

    fn refuse(&self, asked: IncomingChannel, target: &Endpoint, denied: &Denied) {
        let (who, target) = (self.login.who(), target.to_string());
        let target = peer_text::description(&target);
        let line = format_args!("{who}: refused local port forward to {target}: {denied}");
        Peer(self.login.peer).log(Level::Warn, "refused forwards", line);
        let reason = OpenFailureReason::ADMINISTRATIVELY_PROHIBITED;
        asked.refuse(reason, denied.to_string());
    }
}

/// The target of a channel of `-L` or `-D`, and the question for the policy; none for other channels.
fn target_of(channel_type: &ChannelType) -> Option<(Endpoint, Ask<'_>)> {
    match channel_type {
        ChannelType::DirectTcpip(TcpAddresses { host, port, .. }) => {
            let (name, port) = (host.clone(), *port);
            let target = Endpoint::Tcp { host: name, port };
            Some((target, Ask::Connect { host, port }))
        }
        ChannelType::DirectStreamLocal { socket_path: path } => {
            Some((Endpoint::Unix(path.into()), Ask::ConnectUnix { path }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use adit_proto::message::connection::GlobalRequest;
    use tokio::net::TcpListener;

    use super::*;
    use crate::authorized_keys::KeyOptions;
    use crate::config::sshd_config::ServerOptions;
    use crate::forward::descriptors::{Pool, Share};
    use crate::net::pair::Pair;
    use crate::policy::Grant;
    use crate::server::LocalAccount;
    use crate::session::remote::policy::SessionGrant;
    use crate::session::remote::process::Starter;
    use crate::session::remote::start::Limits;

    fn forwards() -> Forwards {
        let account = LocalAccount::own().unwrap();
        let privileges = account.privileges();
        let (settings, _) =
            ServerSettings::new(ServerOptions::default(), Vec::new(), account).unwrap();
        let descriptors = Share::unlimited();
        let key = KeyOptions::none();
        let login = Arc::new(Login {
            user: "user".into(),
            grant: Grant::new(settings.rules.clone(), key.rules.clone(), privileges),
            sessions: SessionGrant::new(settings.sessions.clone(), key),
            peer: None,
            local: None,
            _socket: descriptors.take(1).unwrap(),
            descriptors,
        });
        let commons = Commons {
            descriptors: Pool::new(1000),
            readers: Arc::default(),
            starter: Starter::own(Limits::default()),
        };
        Forwards {
            sessions: Sessions::new(&settings, &commons, login.clone()),
            settings: Arc::new(settings),
            login,
            counters: Arc::default(),
            dials: Arc::default(),
        }
    }

    #[tokio::test]
    async fn channel_opens_while_a_request_waits() {
        let (client, server, mut incoming) = Pair::new().await.into_client_and_server();
        // No request is taken from this queue, as while a name is resolved.
        let (requests, mut waiting) = channel(1);
        let serving = tokio::spawn(async move {
            forwards().serve(&server, &mut incoming, &requests).await;
        });
        let asking = {
            let client = client.clone();
            tokio::spawn(async move { client.global_request(listen()).await })
        };
        let request = waiting.recv().await.unwrap();
        assert!(request.reply.is_some());
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let opened = client.open(direct_tcpip(target.local_addr().unwrap()));
        assert!(opened.await.is_ok());
        assert!(!asking.is_finished());
        client.end("the test is over");
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn more_waiting_requests_than_the_limit_end_the_connection() {
        let (client, server, mut incoming) = Pair::new().await.into_client_and_server();
        let (requests, _waiting) = channel(1);
        let ask = || client.global_request(listen());
        let asking = async { tokio::join!(ask(), ask()) };
        let forwards = forwards();
        let serving = forwards.serve(&server, &mut incoming, &requests);
        let ((first, second), ()) = tokio::join!(asking, serving);
        assert!(first.is_err() && second.is_err());
    }

    fn listen() -> GlobalRequest {
        GlobalRequest::TcpipForward {
            address_to_bind: "db.example.com".into(),
            port: 0,
        }
    }

    fn direct_tcpip(target: SocketAddr) -> ChannelType {
        ChannelType::DirectTcpip(TcpAddresses {
            host: target.ip().to_string(),
            port: target.port(),
            originator_address: "127.0.0.1".into(),
            originator_port: 1,
        })
    }
}
