//! What one connection of the client runs with: `ssh_config` with every default filled in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adit_proto::connection::KeepAlive;
use adit_proto::key::SignatureAlgorithm;
use adit_proto::transport::TransportConfig;
use adit_proto::transport::algorithms::Compression;

use crate::config::algorithms::{AlgorithmError, AlgorithmList};
use crate::config::ssh_config::ClientOptions;
use crate::config::values::AddressFamily;
use crate::known_hosts::file::KnownHostsFiles;
use crate::known_hosts::known_types;
use crate::net::TcpKeepAlive;
use crate::net::listener::StaleSocket;
use crate::policy::GatewayPorts;

const SSH_PORT: u16 = 22;
const SERVER_ALIVE_COUNT_MAX: u32 = 3;
/// Without `ConnectTimeout` the kernel alone would wait over two minutes for each address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// Settings of one connection; see `ssh_config(5)` for the keywords behind the fields.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The host to connect to: a name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The account to log in to.
    pub user: String,
    /// Files with known host keys.
    pub known_hosts: KnownHostsFiles,
    /// The home directory of the local user.
    pub home: PathBuf,
    /// The options behind it all, expanded.
    pub options: ClientOptions,
}

impl ClientSettings {
    /// Settings for a host, from options that were expanded. `home` is the home directory of the local user.
    pub fn new(host: &str, local_user: &str, home: PathBuf, options: ClientOptions) -> Self {
        let user = options.user_known_hosts_files.clone().unwrap_or_else(|| {
            vec![
                home.join(".ssh/known_hosts"),
                home.join(".ssh/known_hosts2"),
            ]
        });
        let global = options.global_known_hosts_files.clone().unwrap_or_else(|| {
            vec![
                "/etc/ssh/ssh_known_hosts".into(),
                "/etc/ssh/ssh_known_hosts2".into(),
            ]
        });
        Self {
            host: options.host_name.clone().unwrap_or_else(|| host.to_owned()),
            port: options.port.unwrap_or(SSH_PORT),
            user: options
                .user
                .clone()
                .unwrap_or_else(|| local_user.to_owned()),
            known_hosts: KnownHostsFiles { user, global },
            home,
            options,
        }
    }

    /// The core's configuration. Host key types that are known for the host come first, since another type could not be
    /// compared; unless `HostKeyAlgorithms` says what comes first.
    ///
    /// # Errors
    /// A list of algorithms of which nothing is left.
    pub fn transport(
        &self,
        known: &[(PathBuf, String)],
    ) -> Result<Arc<TransportConfig>, AlgorithmError> {
        let options = &self.options;
        let compression = match options.compression {
            Some(true) => Compression::Delayed,
            _ => Compression::Off,
        };
        let mut offer = options.connection.offer(compression)?;
        let list = options.connection.host_key_algorithms.as_ref();
        if !list.is_some_and(AlgorithmList::says_the_order) {
            let types = known_types(known, self.known_host_name(), self.known_host_port());
            let is_known =
                |a: &SignatureAlgorithm| types.iter().any(|t| t == a.key_type().as_str());
            offer.algorithms.host_key.sort_by_key(|a| !is_known(a));
        }
        offer
            .warnings()
            .iter()
            .for_each(|text| log::warn!("{text}"));
        Ok(Arc::new(TransportConfig {
            algorithms: offer.algorithms,
            rekey: options.connection.rekey(),
            host_keys: Vec::new(),
        }))
    }

    /// `ServerAliveInterval`, `ServerAliveCountMax`.
    pub fn keep_alive(&self) -> Option<KeepAlive> {
        let interval = self
            .options
            .server_alive_interval
            .filter(|i| !i.is_zero())?;
        Some(KeepAlive {
            interval,
            count_max: self
                .options
                .server_alive_count_max
                .unwrap_or(SERVER_ALIVE_COUNT_MAX),
        })
    }

    /// The name to look up in known_hosts: `HostKeyAlias`, or the host.
    pub fn known_host_name(&self) -> &str {
        self.options.host_key_alias.as_deref().unwrap_or(&self.host)
    }

    /// The port that goes with it; an alias has none.
    pub fn known_host_port(&self) -> u16 {
        match self.options.host_key_alias {
            Some(_) => SSH_PORT,
            None => self.port,
        }
    }

    /// `ConnectTimeout`; zero, which `none` is, too, sets no limit of its own.
    pub fn connect_timeout(&self) -> Duration {
        let limit = self.options.connect_timeout.filter(|t| !t.is_zero());
        limit.unwrap_or(CONNECT_TIMEOUT)
    }

    /// `AddressFamily`.
    pub fn family(&self) -> AddressFamily {
        self.options.connection.family()
    }

    /// `TCPKeepAlive`.
    pub fn tcp_keep_alive(&self) -> TcpKeepAlive {
        self.options.connection.keep_alive_probes()
    }

    /// `GatewayPorts` of the client.
    pub fn gateway_ports(&self) -> GatewayPorts {
        match self.options.gateway_ports {
            Some(true) => GatewayPorts::Yes,
            _ => GatewayPorts::No,
        }
    }

    /// `StreamLocalBindMask`.
    pub fn stream_local_bind_mask(&self) -> u32 {
        self.options.connection.bind_mask()
    }

    /// `StreamLocalBindUnlink`.
    pub fn stale_socket(&self) -> StaleSocket {
        self.options.connection.stale_socket()
    }

    /// The keys to try: `IdentityFile`, or the customary ones.
    pub fn identity_files(&self) -> Vec<PathBuf> {
        let named = &self.options.identity_files;
        if !named.is_empty() {
            let is_none = |path: &PathBuf| path.as_os_str() == "none";
            return named.iter().filter(|p| !is_none(p)).cloned().collect();
        }
        ["id_rsa", "id_ecdsa", "id_ed25519"]
            .map(|name| self.home.join(".ssh").join(name))
            .to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::algorithms::AlgorithmKind;

    fn settings(options: ClientOptions) -> ClientSettings {
        ClientSettings::new("a", "user", "/nonexistent".into(), options)
    }

    #[test]
    fn known_types_come_first_unless_the_list_says_the_order() {
        let known = [("/k".into(), "a ssh-rsa AAAAB3NzaC1yc2E=\n".to_owned())];
        let first = |list: &str, known: &[(PathBuf, String)]| {
            let mut options = ClientOptions::default();
            let list = AlgorithmList::parse(AlgorithmKind::Signature, list).unwrap();
            options.connection.host_key_algorithms = Some(list);
            settings(options)
                .transport(known)
                .unwrap()
                .algorithms
                .host_key[0]
        };
        assert_eq!(first("+ssh-rsa", &[]), SignatureAlgorithm::Ed25519);
        assert_eq!(first("+ssh-rsa", &known), SignatureAlgorithm::RsaSha512);
        assert_eq!(first("-ecdsa*", &known), SignatureAlgorithm::RsaSha512);
        assert_eq!(
            first("ssh-ed25519,rsa-*", &known),
            SignatureAlgorithm::Ed25519
        );
        let preferred = first("^ecdsa-sha2-nistp256", &known);
        assert_eq!(preferred, SignatureAlgorithm::EcdsaNistp256);
    }

    #[test]
    fn connect_timeout_of_zero_is_no_limit_of_its_own() {
        let limit = |connect_timeout| {
            let options = ClientOptions {
                connect_timeout,
                ..ClientOptions::default()
            };
            settings(options).connect_timeout()
        };
        assert_eq!(limit(Some(Duration::ZERO)), CONNECT_TIMEOUT);
        assert_eq!(limit(None), CONNECT_TIMEOUT);
        assert_eq!(limit(Some(Duration::from_secs(5))), Duration::from_secs(5));
    }
}
