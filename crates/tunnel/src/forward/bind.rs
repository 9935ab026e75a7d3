//! Listening sockets of a forward, and the addresses they are bound to.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::descriptors::{Permit, Share};
use super::dial;
use crate::config::values::AddressFamily;
use crate::net::listener::{self, BindError, Listener, StaleSocket};
use crate::policy::BindHost;

/// Listening sockets of one forward.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The sockets.
    pub(crate) listeners: Vec<Listener>,
    /// Port of all sockets.
    pub(crate) port: u16,
    /// Messages about addresses that could not be bound, if at least one was.
    pub(crate) failures: Vec<String>,
    /// Permit for the sockets, from the share of the forward's login.
    pub(crate) descriptors: Permit,
}

/// Listens on those addresses of `hosts` that belong to `family`. One address is enough, as in OpenSSH; port 0 becomes
/// the same free port for all. The sockets count in the share `descriptors`.
///
/// # Errors
/// The error of the first address, if none could be bound; or the share is full.
pub(crate) async fn listen(
    hosts: Vec<BindHost>,
    port: u16,
    family: AddressFamily,
    descriptors: &Share,
) -> Result<Bound, BindError> {
    let wanted = hosts.first().map(ToString::to_string).unwrap_or_default();
    let take = |count| {
        descriptors.take(count).map_err(|full| BindError {
            address: format!("[{wanted}]:{port}"),
            source: io::Error::other(full),
        })
    };
    // The lookup of a name needs a socket, too.
    let lookup = take(1)?;
    let addresses = addresses(hosts, port, family).await?;
    drop(lookup);
    let descriptors = take(addresses.len())?;
    let first = match listener::bind_tcp(&addresses, port) {
        Ok((listeners, port)) => {
            return Ok(Bound {
                listeners,
                port,
                failures: Vec::new(),
                descriptors,
            });
        }
        Err(error) if addresses.len() < 2 => return Err(error),
        Err(error) => error,
    };
    let mut bound = Vec::new();
    let mut chosen = port;
    let mut failures = Vec::new();
    for address in addresses {
        match listener::bind_tcp(&[address], chosen) {
            Ok((listeners, port)) => {
                chosen = port;
                bound.extend(listeners);
            }
            Err(error) => failures.push(format!(
                "{error}; the forward listens on its other address only"
            )),
        }
    }
    match bound.is_empty() {
        true => Err(first),
        false => Ok(Bound {
            listeners: bound,
            port: chosen,
            failures,
            descriptors,
        }),
    }
}

/// Listens on a unix socket, with the permissions that `mask` leaves. The socket is of the share `descriptors`.
///
/// # Errors
/// It could not be bound; or the share is full.
pub(crate) fn listen_unix(
    path: &Path,
    mask: u32,
    stale: StaleSocket,
    descriptors: &Share,
) -> Result<Bound, BindError> {
    let descriptors = descriptors.take(1).map_err(|full| BindError {
        address: path.display().to_string(),
        source: io::Error::other(full),
    })?;
    Ok(Bound {
        listeners: vec![listener::bind_unix(path, mask, stale)?],
        port: 0,
        failures: Vec::new(),
        descriptors,
    })
}

async fn addresses(
    hosts: Vec<BindHost>,
    port: u16,
    family: AddressFamily,
) -> Result<Vec<SocketAddr>, BindError> {
    let mut addresses = Vec::new();
    for host in &hosts {
        match host {
            BindHost::Address(address) => addresses.push(SocketAddr::new(*address, port)),
            BindHost::Name(name) => {
                let resolved = dial::resolve(name, port, family).await;
                let resolved = resolved.map_err(|error| BindError {
                    address: name.clone(),
                    source: io::Error::other(error),
                })?;
                // The system resolves scopes, such as that of fe80::1%eth0.
                addresses.extend(resolved);
            }
        }
    }
    addresses.retain(|address| family.admits(address.ip()));
    match (addresses.is_empty(), hosts.first()) {
        (true, Some(host)) => Err(BindError {
            address: host.to_string(),
            source: io::Error::other("AddressFamily leaves no address of it"),
        }),
        _ => Ok(addresses),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, TcpListener};

    use super::super::descriptors::Pool;
    use super::*;
    use crate::net::listener::LOOPBACK;

    fn loopback() -> Vec<BindHost> {
        LOOPBACK
            .map(|address| BindHost::Address(address.ip()))
            .to_vec()
    }

    fn ips(listeners: &[Listener]) -> Vec<IpAddr> {
        let ip = |listener: &Listener| match listener {
            Listener::Tcp(listener) => Some(listener.local_addr().unwrap().ip()),
            Listener::Unix(..) => None,
        };
        listeners.iter().filter_map(ip).collect()
    }

    async fn listen(
        hosts: Vec<BindHost>,
        port: u16,
        family: AddressFamily,
    ) -> Result<Bound, BindError> {
        super::listen(hosts, port, family, &Share::unlimited()).await
    }

    #[tokio::test]
    async fn full_share_gets_no_listener() {
        let share = Pool::new(4).share("");
        let one_address = || vec![BindHost::Address(LOOPBACK[0].ip())];
        let listen = || super::listen(one_address(), 0, AddressFamily::Any, &share);
        let _first = listen().await.unwrap();
        let _second = listen().await.unwrap();
        let third = listen().await.unwrap();
        let error = listen().await.unwrap_err();
        assert!(
            error.to_string().contains("too many open connections"),
            "{error}"
        );
        drop(third);
        listen().await.unwrap();
    }

    #[tokio::test]
    async fn address_of_another_family_is_left_out() {
        let bound = listen(loopback(), 0, AddressFamily::Inet).await.unwrap();
        assert_eq!(ips(&bound.listeners), [LOOPBACK[0].ip()]);
        let only_v4 = vec![BindHost::Address(LOOPBACK[0].ip())];
        let error = listen(only_v4, 0, AddressFamily::Inet6).await.unwrap_err();
        assert!(error.to_string().contains("AddressFamily"), "{error}");
    }

    #[tokio::test]
    async fn scope_of_an_address_is_kept() {
        let lo = nix::net::if_::if_nametoindex("lo").unwrap();
        for host in ["fe80::1%lo".to_owned(), format!("fe80::1%{lo}")] {
            let hosts = vec![BindHost::Name(host.clone())];
            let found = addresses(hosts.clone(), 9, AddressFamily::Any)
                .await
                .unwrap();
            let [SocketAddr::V6(address)] = found.as_slice() else {
                panic!("{found:?}");
            };
            assert_eq!(address.scope_id(), lo, "{host}");
            // No machine here has this address. The system would call it invalid without its scope.
            let error = listen(hosts, 0, AddressFamily::Any).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable, "{host}");
            let expected = format!("bind [fe80::1%{lo}]:0: ");
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }

    #[tokio::test]
    async fn listener_needs_only_one_of_its_addresses() {
        let busy = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = busy.local_addr().unwrap().port();
        let result = listen(loopback(), port, AddressFamily::Any).await;
        if TcpListener::bind("[::1]:0").is_err() {
            assert!(result.is_err(), "there is no other address on this machine");
            return;
        }
        let bound = result.unwrap();
        let expected = (vec![LOOPBACK[1].ip()], port);
        assert_eq!((ips(&bound.listeners), bound.port), expected);
        assert_eq!(bound.failures.len(), 1);
        drop(bound);
        let only_busy = vec![BindHost::Address(LOOPBACK[0].ip())];
        assert!(listen(only_busy, port, AddressFamily::Any).await.is_err());
    }
}
