//! Local and dynamic forwards: listeners here, connections made by the server.

use std::sync::Arc;

use log::warn;
use tokio::task::JoinSet;

use super::table::label;
use crate::client::{ClientSettings, ForwardError};
use crate::config::spec::{BindAddress, Endpoint, Forward, ListenSpec};
use crate::forward::bind;
use crate::forward::descriptors::Share;
use crate::forward::ingress::{FixedRoute, Ingress, Route};
use crate::forward::recent_targets::RecentTargets;
use crate::forward::uplink::Uplink;
use crate::net::listener::{self, BindError, Listener};
use crate::policy::local_bind;
use crate::status::ForwardCounters;

/// Listens for a forward, and accepts until the set of accept loops is dropped.
pub(super) async fn listen(
    settings: &ClientSettings,
    uplink: Uplink,
    forward: &Forward,
    counters: &Arc<ForwardCounters>,
) -> Result<JoinSet<()>, ForwardError> {
    let label = label(forward);
    let route = match forward {
        Forward::Local { target, .. } => Route::Fixed(route_to(target)),
        _ => Route::Socks,
    };
    let listeners = bind(settings, forward.listen(), &label).await;
    let listeners = listeners.map_err(|source| ForwardError::Bind {
        label: label.clone(),
        source,
    })?;
    let ingress = Arc::new(Ingress {
        label,
        peer_name: format!("server {}", settings.host),
        uplink,
        route,
        counters: counters.clone(),
        recent_targets: RecentTargets::default(),
        descriptors: Share::unlimited(),
    });
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(ingress.clone().serve(listener));
    }
    Ok(accepting)
}

async fn bind(
    settings: &ClientSettings,
    listen: &ListenSpec,
    label: &str,
) -> Result<Vec<Listener>, BindError> {
    match listen {
        ListenSpec::Unix(path) => {
            let mask = settings.stream_local_bind_mask;
            listener::bind_unix(path, mask, settings.stale_socket).map(|l| vec![l])
        }
        ListenSpec::Tcp { bind, port } => {
            let requested = match bind {
                BindAddress::Default => None,
                BindAddress::Any => Some(""),
                BindAddress::Host(host) => Some(host.as_str()),
            };
            let hosts = local_bind(settings.gateway_ports, requested);
            let unlimited = Share::unlimited();
            let bound = bind::listen(hosts, *port, settings.family, &unlimited).await?;
            for failure in bound.failures {
                warn!("{label}: {failure}");
            }
            Ok(bound.listeners)
        }
    }
}

fn route_to(target: &Endpoint) -> FixedRoute {
    match target {
        Endpoint::Tcp { host, port } => FixedRoute::DirectTcpip {
            host: host.clone(),
            port: *port,
        },
        Endpoint::Unix(path) => FixedRoute::DirectStreamLocal {
            path: path.to_string_lossy().into_owned(),
        },
    }
}
