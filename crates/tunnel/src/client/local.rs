//! Local and dynamic forwards: listeners here, connections made by the server.

use std::sync::Arc;

use log::warn;

use super::error::ForwardError;
use super::{Client, Started, label};
use crate::config::spec::{BindAddress, Endpoint, Forward, ListenSpec};
use crate::forward::bind;
use crate::forward::descriptors::Share;
use crate::forward::ingress::{Ingress, Route};
use crate::forward::recent_targets::RecentTargets;
use crate::net::listener::{self, BindError, Listener};
use crate::policy::local_bind;

impl Client {
    pub(super) async fn start_local(&mut self, forward: &Forward) -> Result<Started, ForwardError> {
        let label = label(forward);
        let (listen, route) = match forward {
            Forward::Local { listen, target } => (listen, route_to(target)),
            Forward::Dynamic { listen } => (listen, Route::Socks),
            Forward::Remote { .. } | Forward::RemoteDynamic { .. } => {
                unreachable!("remote forwards start in remote.rs")
            }
        };
        let listeners = self
            .bind(listen, &label)
            .await
            .map_err(|source| ForwardError::Bind {
                label: label.clone(),
                source,
            })?;
        let ingress = Arc::new(Ingress {
            counters: self.counters(&label),
            label: label.clone(),
            peer_name: format!("server {}", self.settings.host),
            handle: self.handle.clone(),
            route,
            recent_targets: RecentTargets::default(),
            descriptors: Share::unlimited(),
        });
        for listener in listeners {
            self.listening.spawn(ingress.clone().serve(listener));
        }
        Ok(Started {
            label,
            allocated_port: None,
        })
    }

    async fn bind(&self, listen: &ListenSpec, label: &str) -> Result<Vec<Listener>, BindError> {
        match listen {
            ListenSpec::Unix(path) => {
                let mask = self.settings.stream_local_bind_mask();
                listener::bind_unix(path, mask, self.settings.stale_socket()).map(|l| vec![l])
            }
            ListenSpec::Tcp { bind, port } => {
                let requested = match bind {
                    BindAddress::Default => None,
                    BindAddress::Any => Some(""),
                    BindAddress::Host(host) => Some(host.as_str()),
                };
                let hosts = local_bind(self.settings.gateway_ports(), requested);
                let unlimited = Share::unlimited();
                let family = self.settings.family();
                let bound = bind::listen(hosts, *port, family, &unlimited).await?;
                for failure in bound.failures {
                    warn!("{label}: {failure}");
                }
                Ok(bound.listeners)
            }
        }
    }
}

fn route_to(target: &Endpoint) -> Route {
    match target {
        Endpoint::Tcp { host, port } => Route::DirectTcpip {
            host: host.clone(),
            port: *port,
        },
        Endpoint::Unix(path) => Route::DirectStreamLocal {
            path: path.to_string_lossy().into_owned(),
        },
    }
}
