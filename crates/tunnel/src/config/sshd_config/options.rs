//! The server's options, typed. A field that is `None` was set nowhere.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::connection::ConnectionOptions;
use crate::policy::{AllowForwarding, GatewayPorts, RuleList};

use super::key_files::KeyFiles;
use super::session::SessionOptions;
use super::sources::{NetBlockSize, PenaltyOptions};
use super::users::{UserPattern, UserRules};
use crate::pattern::PeerList;

/// The port when none is set.
const DEFAULT_PORT: u16 = 22;

/// An address to listen on (`ListenAddress`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// A name or an address, brackets removed.
    pub host: String,
    /// The port; `None`: each `Port`.
    pub port: Option<u16>,
}

/// Limit on the number of unauthenticated connections (`MaxStartups start:rate:full`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxStartups {
    /// From so many on, connections are dropped at random.
    pub start: u32,
    /// The chance at `start`, in percent, from 1 to 100; it rises to 100 at `full`.
    pub rate: u32,
    /// From so many on, all are dropped.
    pub full: u32,
}

/// Ways in which root may log in (`PermitRootLogin`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermitRootLogin {
    /// As every user.
    Yes,
    /// Not with a password.
    ProhibitPassword,
    /// Only with a key that has a command of its own (`command=`).
    ForcedCommandsOnly,
    /// Not at all.
    No,
}

/// File in which the server writes its process number (`PidFile`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PidFile {
    /// Nowhere.
    Nowhere,
    /// In this file.
    At(PathBuf),
}

/// The server's options. The first value wins; lists that accumulate are `Vec`s.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerOptions {
    /// `Port`, each once; default 22.
    pub ports: Vec<u16>,
    /// `ListenAddress`; default every address. See [`ServerOptions::listen_on`].
    pub listen_addresses: Vec<ListenAddress>,
    /// `PidFile`; default `/run/sshd.pid` for sshd.
    pub pid_file: Option<PidFile>,
    /// `MaxStartups`; default 10:30:100.
    pub max_startups: Option<MaxStartups>,

    /// `PerSourceMaxStartups`; `u32::MAX`, the default: no limit.
    pub per_source_max_startups: Option<u32>,
    /// `PerSourceNetBlockSize`; default 32:128.
    pub per_source_net_block_size: Option<NetBlockSize>,
    /// `PerSourcePenalties`.
    pub per_source_penalties: PenaltyOptions,
    /// `PerSourcePenaltyExemptList`; `none` and by default: nobody.
    pub per_source_penalty_exempt: Option<Option<PeerList>>,

    /// `HostKey`, in order, each once.
    pub host_keys: Vec<PathBuf>,
    /// `AuthorizedKeysFile`; empty: `none`; default `.ssh/authorized_keys .ssh/authorized_keys2`. See
    /// [`KeyFiles`].
    pub authorized_keys_files: Option<Vec<String>>,
    /// `StrictModes`; default yes.
    pub strict_modes: Option<bool>,
    /// `LoginGraceTime`; zero: no limit; default 120 s.
    pub login_grace_time: Option<Duration>,
    /// `MaxAuthTries`; default 6.
    pub max_auth_tries: Option<u32>,
    /// `PubkeyAuthentication`; default yes.
    pub pubkey_authentication: Option<bool>,
    /// `AllowUsers`; empty: everybody. See [`UserRules`].
    pub allow_users: Vec<UserPattern>,
    /// `DenyUsers`.
    pub deny_users: Vec<UserPattern>,
    /// `PermitRootLogin`; default prohibit-password.
    pub permit_root_login: Option<PermitRootLogin>,

    /// `AllowTcpForwarding`; default yes.
    pub allow_tcp_forwarding: Option<AllowForwarding>,
    /// `AllowStreamLocalForwarding`; default yes.
    pub allow_stream_local_forwarding: Option<AllowForwarding>,
    /// `DisableForwarding`: overrides all that allows; default no.
    pub disable_forwarding: Option<bool>,
    /// `GatewayPorts`; default no.
    pub gateway_ports: Option<GatewayPorts>,
    /// `PermitOpen`; default any.
    pub permit_open: Option<RuleList>,
    /// `PermitListen`; default any.
    pub permit_listen: Option<RuleList>,

    /// Shells, commands and subsystems.
    pub session: SessionOptions,

    /// `ClientAliveInterval`; default and zero: never.
    pub client_alive_interval: Option<Duration>,
    /// `ClientAliveCountMax`; zero: never disconnect; default 3.
    pub client_alive_count_max: Option<u32>,
    /// `Compression`: `yes` and `delayed` are the same; default yes.
    pub compression: Option<bool>,
    /// Options that ssh_config has, too.
    pub connection: ConnectionOptions,
}

impl ServerOptions {
    /// Addresses to listen on: a host, or `None` for every address, and a port.
    ///
    /// A `ListenAddress` without a port stands for one per `Port`, wherever the lines stand.
    pub fn listen_on(&self) -> Vec<(Option<&str>, u16)> {
        let default = [DEFAULT_PORT];
        let ports = if self.ports.is_empty() {
            &default[..]
        } else {
            &self.ports[..]
        };
        if self.listen_addresses.is_empty() {
            return ports.iter().map(|&port| (None, port)).collect();
        }
        let on = |address: &ListenAddress| -> Vec<u16> {
            address
                .port
                .map_or_else(|| ports.to_vec(), |port| vec![port])
        };
        self.listen_addresses
            .iter()
            .flat_map(|address| {
                on(address)
                    .into_iter()
                    .map(|port| (Some(address.host.as_str()), port))
            })
            .collect()
    }

    /// `AllowUsers` and `DenyUsers` together.
    pub fn user_rules(&self) -> UserRules {
        UserRules {
            allow: self.allow_users.clone(),
            deny: self.deny_users.clone(),
        }
    }

    /// `AuthorizedKeysFile` with its default.
    pub fn key_files(&self) -> KeyFiles {
        KeyFiles::new(self.authorized_keys_files.as_deref())
    }
}
