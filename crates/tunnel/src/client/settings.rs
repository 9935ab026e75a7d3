//! Settings of one connection of the client: `ssh_config` with all defaults filled in.

mod login;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adit_proto::connection::KeepAlive;
use adit_proto::key::SignatureAlgorithm;
use adit_proto::transport::TransportConfig;
use adit_proto::transport::algorithms::Compression;

use crate::config::algorithms::{AlgorithmError, AlgorithmList};
use crate::config::connection::ConnectionOptions;
use crate::config::destination::Destination;
use crate::config::ssh_config::{ClientOptions, ProxyJump};
use crate::config::values::AddressFamily;
use crate::known_hosts::file::{Hashing, KnownHostsFiles};
use crate::known_hosts::{StrictHostKeyChecking, known_types};
use crate::net::TcpKeepAlive;
use crate::net::listener::StaleSocket;
use crate::policy::{GatewayPorts, RuleList};

pub use login::{AgentKeys, Asking, Identities, LoginMethod, LoginSettings, Questions};

const SSH_PORT: u16 = 22;
const SERVER_ALIVE_COUNT_MAX: u32 = 3;
/// Time limit without `ConnectTimeout`. The kernel's own is more than two minutes for each address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// Default of `UserKnownHostsFile`, in the user's home directory.
const USER_KNOWN_HOSTS: [&str; 2] = [".ssh/known_hosts", ".ssh/known_hosts2"];
/// Default of `GlobalKnownHostsFile`.
const GLOBAL_KNOWN_HOSTS: [&str; 2] = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];

/// Settings of one connection; see `ssh_config(5)` for the keywords behind the fields.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Host to connect to: a name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Account of the login.
    pub user: String,
    /// Hops, the first one first; none for a direct connection (`ProxyJump`).
    pub jump: Vec<Destination>,
    /// `BindAddress`; none if the system chooses.
    pub bind_address: Option<String>,
    /// `AddressFamily`.
    pub family: AddressFamily,
    /// `ConnectTimeout`.
    pub connect_timeout: Duration,
    /// `TCPKeepAlive`.
    pub tcp_keep_alive: TcpKeepAlive,
    /// `ServerAliveInterval`, `ServerAliveCountMax`.
    pub keep_alive: Option<KeepAlive>,
    /// Files with known host keys.
    pub known_hosts: KnownHostsFiles,
    /// Rules on the host key.
    pub host_key: HostKeyRules,
    /// Settings of the login.
    pub login: LoginSettings,
    /// `GatewayPorts` of the client.
    pub gateway_ports: GatewayPorts,
    /// `StreamLocalBindMask`.
    pub stream_local_bind_mask: u32,
    /// `StreamLocalBindUnlink`.
    pub stale_socket: StaleSocket,
    /// Targets of remote dynamic forwards (`PermitRemoteOpen`).
    pub permit_remote_open: RuleList,
    /// `ExitOnForwardFailure`.
    pub on_forward_failure: OnForwardFailure,
    compression: Compression,
    /// Lists of algorithms, and limits of the key exchange.
    negotiation: ConnectionOptions,
}

/// Rules on the host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKeyRules {
    /// Name to look up in known_hosts: `HostKeyAlias`, or the host.
    pub name: String,
    /// Port that belongs to the name; an alias has none.
    pub port: u16,
    /// `StrictHostKeyChecking`.
    pub checking: StrictHostKeyChecking,
    /// `HashKnownHosts`.
    pub hashing: Hashing,
    /// `NoHostAuthenticationForLocalhost`.
    pub this_machine: ThisMachine,
}

/// Treatment of the key of this machine (`NoHostAuthenticationForLocalhost`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThisMachine {
    /// Checked like any other. Always so with `HostKeyAlias`, which mostly means a forward to another machine.
    Checked,
    /// Accepted without a check.
    Trusted,
}

/// Reaction to a forward that cannot be set up (`ExitOnForwardFailure`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnForwardFailure {
    /// The client ends.
    End,
    /// The client continues without the forward.
    GoOn,
}

impl ClientSettings {
    /// Settings for a host, from expanded options. `home` is the home directory of the local user.
    pub fn new(host: &str, local_user: &str, home: PathBuf, options: ClientOptions) -> Self {
        let connection = &options.connection;
        let host = options.host_name.clone().unwrap_or_else(|| host.to_owned());
        let port = options.port.unwrap_or(SSH_PORT);
        let timeout = options.connect_timeout.filter(|limit| !limit.is_zero());
        Self {
            host_key: HostKeyRules::new(&options, &host, port),
            host,
            port,
            user: options
                .user
                .clone()
                .unwrap_or_else(|| local_user.to_owned()),
            jump: match &options.proxy_jump {
                Some(ProxyJump::Through(hops)) => hops.clone(),
                Some(ProxyJump::Direct) | None => Vec::new(),
            },
            bind_address: options.bind_address.clone(),
            family: connection.family(),
            // Zero, or `none`, leaves the kernel's limit.
            connect_timeout: timeout.unwrap_or(CONNECT_TIMEOUT),
            tcp_keep_alive: connection.keep_alive_probes(),
            keep_alive: keep_alive(&options),
            known_hosts: known_hosts(&options, &home),
            login: LoginSettings::new(&options, &home),
            gateway_ports: match options.gateway_ports {
                Some(true) => GatewayPorts::Yes,
                _ => GatewayPorts::No,
            },
            stream_local_bind_mask: connection.bind_mask(),
            stale_socket: connection.stale_socket(),
            permit_remote_open: options.permit_remote_open.unwrap_or(RuleList::Any),
            on_forward_failure: match options.exit_on_forward_failure {
                Some(true) => OnForwardFailure::End,
                _ => OnForwardFailure::GoOn,
            },
            compression: match options.compression {
                Some(true) => Compression::Delayed,
                _ => Compression::Off,
            },
            negotiation: options.connection,
        }
    }

    /// Configuration of the core. Unless `HostKeyAlgorithms` sets an order, known types of the host's keys come first,
    /// because a key of another type could not be compared.
    ///
    /// # Errors
    /// No algorithm of a list is left.
    pub fn transport(
        &self,
        known: &[(PathBuf, String)],
    ) -> Result<Arc<TransportConfig>, AlgorithmError> {
        let mut offer = self.negotiation.offer(self.compression)?;
        let list = self.negotiation.host_key_algorithms.as_ref();
        if !list.is_some_and(AlgorithmList::says_the_order) {
            let types = known_types(known, &self.host_key.name, self.host_key.port);
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
            rekey: self.negotiation.rekey(),
            host_keys: Vec::new(),
        }))
    }

    /// Signature algorithms for the user's keys, the preferred one first (`PubkeyAcceptedAlgorithms`).
    ///
    /// # Errors
    /// No algorithm of the list is left.
    pub fn accepted_signatures(&self) -> Result<Vec<SignatureAlgorithm>, AlgorithmError> {
        self.negotiation.accepted_signatures()
    }
}

impl HostKeyRules {
    fn new(options: &ClientOptions, host: &str, port: u16) -> Self {
        let alias = options.host_key_alias.as_deref();
        Self {
            name: alias.unwrap_or(host).to_owned(),
            port: match alias {
                Some(_) => SSH_PORT,
                None => port,
            },
            checking: options.strict_host_key_checking.unwrap_or_default(),
            hashing: match options.hash_known_hosts {
                Some(true) => Hashing::Hashed,
                _ => Hashing::Plain,
            },
            this_machine: match options.no_host_authentication_for_localhost {
                Some(true) if alias.is_none() => ThisMachine::Trusted,
                _ => ThisMachine::Checked,
            },
        }
    }
}

fn keep_alive(options: &ClientOptions) -> Option<KeepAlive> {
    let interval = options.server_alive_interval.filter(|i| !i.is_zero())?;
    Some(KeepAlive {
        interval,
        count_max: options
            .server_alive_count_max
            .unwrap_or(SERVER_ALIVE_COUNT_MAX),
    })
}

fn known_hosts(options: &ClientOptions, home: &Path) -> KnownHostsFiles {
    let of_user = || USER_KNOWN_HOSTS.map(|name| home.join(name)).to_vec();
    let of_system = || GLOBAL_KNOWN_HOSTS.map(PathBuf::from).to_vec();
    KnownHostsFiles {
        user: options
            .user_known_hosts_files
            .clone()
            .unwrap_or_else(of_user),
        global: options
            .global_known_hosts_files
            .clone()
            .unwrap_or_else(of_system),
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
    fn known_types_come_first_unless_a_list_sets_the_order() {
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
    fn connect_timeout_of_zero_is_no_limit() {
        let limit = |connect_timeout| {
            let options = ClientOptions {
                connect_timeout,
                ..ClientOptions::default()
            };
            settings(options).connect_timeout
        };
        assert_eq!(limit(Some(Duration::ZERO)), CONNECT_TIMEOUT);
        assert_eq!(limit(None), CONNECT_TIMEOUT);
        assert_eq!(limit(Some(Duration::from_secs(5))), Duration::from_secs(5));
    }
}
