//! Settings of the server: `sshd_config` with all defaults filled in and all keys loaded.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adit_proto::connection::KeepAlive;
use adit_proto::key::SigningKey;
use adit_proto::transport::TransportConfig;
use adit_proto::transport::algorithms::Compression;

use super::account::LocalAccount;
use super::penalties::PenaltyRules;
use crate::authorized_keys::{KeyOptions, LocalZone, StrictModes};
use crate::config::algorithms::AlgorithmError;
use crate::config::sshd_config::{
    KeyFiles, MaxStartups, NetBlockSize, PermitRootLogin, PidFile, ServerOptions, UserRules,
};
use crate::config::values::{AddressFamily, SyslogFacility};
use crate::net::TcpKeepAlive;
use crate::net::listener::StaleSocket;
use crate::pattern::PeerList;
use crate::policy::{AllowForwarding, Forwarding, GatewayPorts, RuleList, ServerRules};
use crate::session::remote::policy::SessionRules;

/// Defaults of OpenSSH.
const LOGIN_GRACE: Duration = Duration::from_secs(120);
const MAX_AUTH_TRIES: u32 = 6;
const CLIENT_ALIVE_COUNT_MAX: u32 = 3;
const MAX_STARTUPS: MaxStartups = MaxStartups {
    start: 10,
    rate: 30,
    full: 100,
};

/// Settings of a server; see `sshd_config(5)` for the keywords behind the fields.
#[derive(Debug)]
pub struct ServerSettings {
    /// Algorithms, host keys and limits of the core.
    pub transport: Arc<TransportConfig>,
    /// `ClientAliveInterval`, `ClientAliveCountMax`.
    pub keep_alive: Option<KeepAlive>,
    /// `TCPKeepAlive`.
    pub tcp_keep_alive: TcpKeepAlive,
    /// Addresses to listen on: a host, or none for all addresses, and a port.
    pub listen_on: Vec<(Option<String>, u16)>,
    /// `AddressFamily`.
    pub family: AddressFamily,
    /// `LoginGraceTime`; none is no limit.
    pub login_grace: Option<Duration>,
    /// `MaxAuthTries`.
    pub max_auth_tries: u32,
    /// `MaxStartups`.
    pub max_startups: MaxStartups,
    /// `PerSourceMaxStartups`.
    pub per_source_max_startups: u32,
    /// `PerSourceNetBlockSize`.
    pub net_block_size: NetBlockSize,
    /// `PerSourcePenalties`; none where they are switched off.
    pub penalties: Option<PenaltyRules>,
    /// `PerSourcePenaltyExemptList`; none if it is empty.
    pub penalty_exempt: Option<PeerList>,
    /// Rules on logins to the account.
    pub logins: Arc<LoginRules>,
    /// Forwarding rules.
    pub rules: ServerRules,
    /// Rules on shells, commands and subsystems.
    pub sessions: Arc<SessionRules>,
    /// `Banner`: a file that is shown before the login.
    pub banner: Option<PathBuf>,
    /// `StreamLocalBindMask`.
    pub stream_local_bind_mask: u32,
    /// `StreamLocalBindUnlink`.
    pub stale_socket: StaleSocket,
    /// The account that may log in.
    pub account: Arc<LocalAccount>,
    /// `SyslogFacility`.
    pub syslog_facility: SyslogFacility,
    /// `PidFile`; none if it is `none` or not set.
    pub pid_file: Option<PathBuf>,
}

/// Rules on logins to one account: its users and their keys.
#[derive(Debug)]
pub struct LoginRules {
    /// `AllowUsers`, `DenyUsers`.
    pub users: UserRules,
    /// `PermitRootLogin`.
    pub root: PermitRootLogin,
    /// `PubkeyAuthentication`.
    pub public_keys: PublicKeys,
    /// `AuthorizedKeysFile`.
    pub key_files: KeyFiles,
    /// `StrictModes`.
    pub strict_modes: StrictModes,
    /// The time zone of `expiry-time=` without `Z`.
    pub zone: LocalZone,
}

/// Use of public keys for logins (`PubkeyAuthentication`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicKeys {
    /// Keys in the account's files are accepted.
    Accepted,
    /// No key is accepted.
    Refused,
}

impl LoginRules {
    fn new(options: &ServerOptions, zone: LocalZone) -> Self {
        Self {
            users: options.user_rules(),
            root: options
                .permit_root_login
                .unwrap_or(PermitRootLogin::ProhibitPassword),
            public_keys: match options.pubkey_authentication {
                Some(false) => PublicKeys::Refused,
                _ => PublicKeys::Accepted,
            },
            key_files: options.key_files(),
            strict_modes: match options.strict_modes {
                Some(false) => StrictModes::No,
                _ => StrictModes::Yes,
            },
            zone,
        }
    }

    /// True if `user` may log in with a key of `account` from this address, if it is known.
    pub(super) fn admit(
        &self,
        user: &str,
        account: &LocalAccount,
        address: Option<IpAddr>,
    ) -> bool {
        let root_barred = account.is_root() && self.root == PermitRootLogin::No;
        user == account.name
            && !root_barred
            && self.public_keys == PublicKeys::Accepted
            && self.users.admit(user, address)
    }

    /// True if a key with these options may let into `account`: root may need one with a command of its own.
    pub(super) fn admit_key(&self, options: &KeyOptions, account: &LocalAccount) -> bool {
        let needs_command = account.is_root() && self.root == PermitRootLogin::ForcedCommandsOnly;
        !needs_command || options.command.is_some()
    }
}

impl ServerSettings {
    /// Fills in the defaults. The second value is a list of warnings: about configured algorithms that adit does not
    /// have, and about a time zone that cannot be used. As in the C library, such a zone counts as UTC.
    ///
    /// # Errors
    /// No algorithm of a list is left.
    pub fn new(
        options: ServerOptions,
        host_keys: Vec<SigningKey>,
        account: LocalAccount,
    ) -> Result<(Self, Vec<String>), AlgorithmError> {
        let connection = &options.connection;
        let compression = match options.compression {
            Some(false) => Compression::Off,
            _ => Compression::Delayed,
        };
        let offer = connection.server_offer(compression)?;
        let mut warnings = offer.warnings();
        let zone = LocalZone::system().unwrap_or_else(|error| {
            warnings.push(format!("{error}; times in authorized_keys are read as UTC"));
            LocalZone::utc()
        });
        let settings = Self {
            transport: Arc::new(TransportConfig {
                algorithms: offer.algorithms,
                rekey: connection.rekey(),
                host_keys,
            }),
            keep_alive: keep_alive(&options),
            tcp_keep_alive: connection.keep_alive_probes(),
            listen_on: listen_on(&options),
            family: connection.family(),
            login_grace: match options.login_grace_time {
                Some(Duration::ZERO) => None,
                other => Some(other.unwrap_or(LOGIN_GRACE)),
            },
            max_auth_tries: options.max_auth_tries.unwrap_or(MAX_AUTH_TRIES),
            max_startups: options.max_startups.unwrap_or(MAX_STARTUPS),
            per_source_max_startups: options.per_source_max_startups.unwrap_or(u32::MAX),
            net_block_size: options.per_source_net_block_size.unwrap_or_default(),
            penalties: PenaltyRules::new(&options.per_source_penalties),
            penalty_exempt: options.per_source_penalty_exempt.clone().flatten(),
            logins: Arc::new(LoginRules::new(&options, zone)),
            rules: rules(&options),
            sessions: Arc::new(SessionRules::new(&options)),
            banner: banner(&options),
            stream_local_bind_mask: connection.bind_mask(),
            stale_socket: connection.stale_socket(),
            account: Arc::new(account),
            syslog_facility: connection.syslog_facility.unwrap_or(SyslogFacility::Auth),
            pid_file: match &options.pid_file {
                Some(PidFile::At(path)) => Some(path.clone()),
                Some(PidFile::Nowhere) | None => None,
            },
        };
        Ok((settings, warnings))
    }

    /// True if `PerSourcePenaltyExemptList` names the address.
    pub(super) fn is_exempt(&self, address: IpAddr) -> bool {
        let list = self.penalty_exempt.as_ref();
        list.is_some_and(|list| list.matches(address))
    }
}

fn banner(options: &ServerOptions) -> Option<PathBuf> {
    let file = options.session.banner.clone()?;
    (!file.as_os_str().is_empty()).then_some(file)
}

fn listen_on(options: &ServerOptions) -> Vec<(Option<String>, u16)> {
    let named = options.listen_on().into_iter();
    named
        .map(|(host, port)| (host.map(str::to_owned), port))
        .collect()
}

fn keep_alive(options: &ServerOptions) -> Option<KeepAlive> {
    let interval = options.client_alive_interval.filter(|i| !i.is_zero())?;
    let count_max = match options
        .client_alive_count_max
        .unwrap_or(CLIENT_ALIVE_COUNT_MAX)
    {
        // Zero: probes are sent, and never lead to a disconnect.
        0 => u32::MAX,
        n => n,
    };
    Some(KeepAlive {
        interval,
        count_max,
    })
}

fn rules(options: &ServerOptions) -> ServerRules {
    ServerRules {
        allow_tcp: options.allow_tcp_forwarding.unwrap_or(AllowForwarding::Yes),
        allow_stream_local: options
            .allow_stream_local_forwarding
            .unwrap_or(AllowForwarding::Yes),
        disable_forwarding: match options.disable_forwarding {
            Some(true) => Forwarding::Disabled,
            _ => Forwarding::Allowed,
        },
        permit_open: options.permit_open.clone().unwrap_or(RuleList::Any),
        permit_listen: options.permit_listen.clone().unwrap_or(RuleList::Any),
        gateway_ports: options.gateway_ports.unwrap_or(GatewayPorts::No),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_with_forced_commands_only_needs_a_key_with_a_command() {
        let of_key = |command: Option<&str>| KeyOptions {
            command: command.map(str::to_owned),
            ..KeyOptions::none()
        };
        let mut account = LocalAccount::own().unwrap();
        for (line, uid, command, admitted) in [
            ("PermitRootLogin forced-commands-only", 0, None, false),
            ("PermitRootLogin forced-commands-only", 0, Some("x"), true),
            ("PermitRootLogin forced-commands-only", 1, None, true),
            ("PermitRootLogin yes", 0, None, true),
        ] {
            account.uid = uid;
            let rules = settings(&[line]).logins;
            let found = rules.admit_key(&of_key(command), &account);
            assert_eq!(found, admitted, "{line} {uid} {command:?}");
        }
    }
    use crate::config::Lookups;

    fn settings(lines: &[&str]) -> ServerSettings {
        let mut options = ServerOptions::default();
        for line in lines {
            options.apply_line(line, &Lookups::none()).unwrap();
        }
        let account = LocalAccount::own().unwrap();
        ServerSettings::new(options, Vec::new(), account).unwrap().0
    }

    #[test]
    fn compression_is_available_unless_it_is_switched_off() {
        let table: [(&[&str], Compression); 4] = [
            (&[], Compression::Delayed),
            (&["Compression yes"], Compression::Delayed),
            (&["Compression delayed"], Compression::Delayed),
            (&["Compression no"], Compression::Off),
        ];
        for (lines, expected) in table {
            let transport = settings(lines).transport;
            assert_eq!(transport.algorithms.compression, expected, "{lines:?}");
        }
    }
}
