//! The keywords that ssh_config and sshd_config have in common, and what the connection of either end makes of them.

use adit_proto::transport::RekeyLimit;

use super::algorithms::{AlgorithmKind, AlgorithmList};
use super::error::LineError;
use super::keyword::{Keyword, deprecated, first, moot, option, restricts_unless, unsupported};
use super::lines::Arguments;
use super::values::{
    AddressFamily, LogLevel, RekeyLimitOption, SyslogFacility, address_family, log_level, mask,
    number, rekey_limit, syslog_facility, time_or_none, yes_no,
};
use crate::net::TcpKeepAlive;
use crate::net::listener::StaleSocket;

/// Limit of the variables of `SetEnv`.
const MAX_VARIABLES: usize = 1024;

/// The mask when none is set: sockets for their owner alone, as in OpenSSH.
const STREAM_LOCAL_BIND_MASK: u32 = 0o177;

/// Options of a connection that both files have. A field that is `None` was set nowhere.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConnectionOptions {
    /// `AddressFamily`; default any.
    pub address_family: Option<AddressFamily>,
    /// `TCPKeepAlive`; default yes.
    pub tcp_keep_alive: Option<bool>,
    /// `LogLevel`; default INFO.
    pub log_level: Option<LogLevel>,
    /// `SyslogFacility`; default AUTH at the server, USER at the client.
    pub syslog_facility: Option<SyslogFacility>,
    /// `StreamLocalBindMask`; default 0177.
    pub stream_local_bind_mask: Option<u32>,
    /// `StreamLocalBindUnlink`; default no.
    pub stream_local_bind_unlink: Option<bool>,
    /// `RekeyLimit`.
    pub rekey_limit: Option<RekeyLimitOption>,
    /// `Ciphers`.
    pub ciphers: Option<AlgorithmList>,
    /// `MACs`.
    pub macs: Option<AlgorithmList>,
    /// `KexAlgorithms`.
    pub kex_algorithms: Option<AlgorithmList>,
    /// `HostKeyAlgorithms`.
    pub host_key_algorithms: Option<AlgorithmList>,
    /// `PubkeyAcceptedAlgorithms`.
    pub pubkey_accepted_algorithms: Option<AlgorithmList>,
    /// `SetEnv`: names and values of the first line, each name once.
    pub set_env: Option<Vec<(String, String)>>,
    /// `AllowTerrapin`, which OpenSSH does not have: default no.
    pub allow_terrapin: Option<bool>,
}

/// The shared keywords. None of them may stand in a program's own table, too.
pub(super) static KEYWORDS: &[Keyword<ConnectionOptions>] = &[
    option("addressfamily", |o, a, _| {
        first(&mut o.address_family, a.one(address_family)?)
    }),
    option("tcpkeepalive", |o, a, _| {
        first(&mut o.tcp_keep_alive, a.one(yes_no)?)
    }),
    option("keepalive", |o, a, _| {
        first(&mut o.tcp_keep_alive, a.one(yes_no)?)
    }),
    option("loglevel", |o, a, _| {
        first(&mut o.log_level, a.one(log_level)?)
    }),
    option("syslogfacility", |o, a, _| {
        first(&mut o.syslog_facility, a.one(syslog_facility)?)
    }),
    option("streamlocalbindmask", |o, a, _| {
        first(&mut o.stream_local_bind_mask, a.one(mask)?)
    }),
    option("streamlocalbindunlink", |o, a, _| {
        first(&mut o.stream_local_bind_unlink, a.one(yes_no)?)
    }),
    option("rekeylimit", |o, a, _| {
        first(&mut o.rekey_limit, rekey_limit(a)?)
    }),
    option("ciphers", |o, a, _| {
        first(&mut o.ciphers, algorithms(AlgorithmKind::Cipher, a)?)
    }),
    option("macs", |o, a, _| {
        first(&mut o.macs, algorithms(AlgorithmKind::Mac, a)?)
    }),
    option("kexalgorithms", |o, a, _| {
        first(&mut o.kex_algorithms, algorithms(AlgorithmKind::Kex, a)?)
    }),
    option("hostkeyalgorithms", |o, a, _| {
        let list = algorithms(AlgorithmKind::Signature, a)?;
        first(&mut o.host_key_algorithms, list)
    }),
    option("pubkeyacceptedalgorithms", |o, a, _| {
        let list = algorithms(AlgorithmKind::Signature, a)?;
        first(&mut o.pubkey_accepted_algorithms, list)
    }),
    option("pubkeyacceptedkeytypes", |o, a, _| {
        let list = algorithms(AlgorithmKind::Signature, a)?;
        first(&mut o.pubkey_accepted_algorithms, list)
    }),
    option("allowterrapin", |o, a, _| {
        first(&mut o.allow_terrapin, a.one(yes_no)?)
    }),
    option("setenv", |o, a, _| first(&mut o.set_env, set_env(a)?)),
    // They restrict, and are not supported.
    restricts_unless("channeltimeout", times_out_no_forward),
    restricts_unless("requiredrsasize", asks_for_no_more_than_the_core),
    // Real and not supported.
    unsupported("hostbasedauthentication", &["no"]),
    unsupported("ipqos", &["none"]),
    unsupported("versionaddendum", &["none"]),
    // They say nothing about tunnels, or about certificates, of which none is taken.
    moot("casignaturealgorithms"),
    moot("fingerprinthash"),
    moot("gssapikexalgorithms"),
    moot("hostbasedacceptedalgorithms"),
    moot("logverbose"),
    moot("protocol"),
    moot("xauthlocation"),
    // Gone from OpenSSH too.
    deprecated("afstokenpassing"),
    deprecated("kerberostgtpassing"),
    deprecated("rhostsauthentication"),
    deprecated("rhostsrsaauthentication"),
    deprecated("rsaauthentication"),
];

/// RSA keys of less than 2048 bits are refused by the core, whatever the configuration says.
fn asks_for_no_more_than_the_core(arguments: Arguments) -> bool {
    let bits = arguments.only().and_then(|word| number(&word).ok());
    bits.is_some_and(|bits| bits <= 2048)
}

/// `ChannelTimeout none`, or nothing but limits of zero and limits for channels that adit never has.
fn times_out_no_forward(mut arguments: Arguments) -> bool {
    let is_harmless = |word: &String| match word.split_once('=') {
        Some((kind, limit)) => {
            let absent = [
                "session",
                "agent-connection",
                "x11-connection",
                "tun-connection",
            ];
            let kind = kind.split(':').next().unwrap_or_default();
            absent.contains(&kind) || time_or_none(limit).is_ok_and(|limit| limit.is_zero())
        }
        None => word == "none",
    };
    arguments
        .all()
        .is_ok_and(|words| words.iter().all(is_harmless))
}

fn algorithms(kind: AlgorithmKind, arguments: &mut Arguments) -> Result<AlgorithmList, LineError> {
    Ok(AlgorithmList::parse(kind, &arguments.word()?)?)
}

impl ConnectionOptions {
    /// `AddressFamily` with its default.
    pub(crate) fn family(&self) -> AddressFamily {
        self.address_family.unwrap_or(AddressFamily::Any)
    }

    /// `TCPKeepAlive` with its default.
    pub(crate) fn keep_alive_probes(&self) -> TcpKeepAlive {
        match self.tcp_keep_alive {
            Some(false) => TcpKeepAlive::Off,
            _ => TcpKeepAlive::On,
        }
    }

    /// `RekeyLimit` as the core takes it.
    pub(crate) fn rekey(&self) -> RekeyLimit {
        let limit = |limit: RekeyLimitOption| RekeyLimit {
            bytes: limit.bytes,
            interval: limit.interval,
        };
        self.rekey_limit.map_or(RekeyLimit::default(), limit)
    }

    /// `StreamLocalBindMask` with its default.
    pub(crate) fn bind_mask(&self) -> u32 {
        self.stream_local_bind_mask
            .unwrap_or(STREAM_LOCAL_BIND_MASK)
    }

    /// `StreamLocalBindUnlink` with its default: even without it, a socket that nobody listens on is removed.
    pub(crate) fn stale_socket(&self) -> StaleSocket {
        match self.stream_local_bind_unlink {
            Some(true) => StaleSocket::Unlink,
            _ => StaleSocket::UnlinkIfDead,
        }
    }
}

/// `SetEnv`: the first line counts, and in it the first value of a name.
fn set_env(arguments: &mut Arguments) -> Result<Vec<(String, String)>, LineError> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for word in arguments.all()? {
        let Some((name, value)) = word.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(arguments.bad_value(&word, "NAME=value"));
        };
        if variables.len() >= MAX_VARIABLES {
            return Err(LineError::TooMany(arguments.keyword().to_owned()));
        }
        if !variables.iter().any(|(known, _)| known == name) {
            variables.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(variables)
}
