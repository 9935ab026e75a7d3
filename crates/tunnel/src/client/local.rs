//! Local and dynamic forwards: listeners here, connections made by the server.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use log::warn;

use super::error::ForwardError;
use super::{Client, Started, label};
use crate::config::spec::{BindAddress, Endpoint, Forward, ListenSpec};
use crate::config::values::AddressFamily;
use crate::forward::dial;
use crate::forward::ingress::{Ingress, Route};
use crate::net::listener::{self, BindError, Listener};
use crate::policy::{BindHost, local_bind};

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
                let addresses = self.addresses(bind, *port).await?;
                bind_each(&addresses, *port, label)
            }
        }
    }

    async fn addresses(&self, bind: &BindAddress, port: u16) -> Result<Vec<IpAddr>, BindError> {
        let requested = match bind {
            BindAddress::Default => None,
            BindAddress::Any => Some(""),
            BindAddress::Host(host) => Some(host.as_str()),
        };
        let family = self.settings.family();
        let mut addresses = Vec::new();
        for host in local_bind(self.settings.gateway_ports(), requested) {
            match host {
                BindHost::Address(address) => addresses.push(address),
                BindHost::Name(name) => {
                    let resolved = dial::resolve(&name, port, family).await;
                    let resolved = resolved.map_err(|error| BindError {
                        address: name,
                        source: std::io::Error::other(error),
                    })?;
                    addresses.extend(resolved.iter().map(SocketAddr::ip));
                }
            }
        }
        addresses.retain(|a| match family {
            AddressFamily::Any => true,
            AddressFamily::Inet => a.is_ipv4(),
            AddressFamily::Inet6 => a.is_ipv6(),
        });
        Ok(addresses)
    }
}

/// Binds what can be bound: one address is enough, as in OpenSSH, but the others are said aloud.
fn bind_each(addresses: &[IpAddr], port: u16, label: &str) -> Result<Vec<Listener>, BindError> {
    let all = match listener::bind_tcp(addresses, port) {
        Ok((listeners, _)) => return Ok(listeners),
        Err(error) => error,
    };
    if addresses.len() < 2 {
        return Err(all);
    }
    let mut bound = Vec::new();
    let mut failures = Vec::new();
    for address in addresses {
        match listener::bind_tcp(&[*address], port) {
            Ok((listeners, _)) => bound.extend(listeners),
            Err(error) => failures.push(error),
        }
    }
    if bound.is_empty() {
        return Err(all);
    }
    for failure in failures {
        warn!("{label}: {failure}; the forward listens on its other address only");
    }
    Ok(bound)
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
