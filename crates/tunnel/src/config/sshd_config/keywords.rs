//! Every keyword of sshd_config, in one table.

use std::path::PathBuf;

use crate::config::error::LineError;
use crate::config::expand::{Lookups, expand_tokens};
use crate::config::keyword::{
    Block, Keyword, accumulate, block, deprecated, first, first_command, moot, option, raw,
    restricts, unsupported,
};
use crate::config::lines::Arguments;
use crate::config::rules_syntax::rule_list;
use crate::config::values::{choose, number, port, time, yes_no};
use crate::policy::{AllowForwarding, GatewayPorts, HostPortRule};

use super::options::{ListenAddress, MaxStartups, PermitRootLogin, PidFile, ServerOptions};
use super::session;
use super::sources;
use super::users::UserPattern;
use crate::pattern::{BadPeer, PeerList};

/// Number of entries that a list which accumulates may have.
const MAX_ENTRIES: usize = 4096;

/// All the keywords. A name may stand here once; aliases have lines of their own.
pub(super) static KEYWORDS: &[Keyword<ServerOptions>] = &[
    block("match", Block::Match),
    block("include", Block::Include),
    // Listening.
    option("port", |o, a, _| {
        let port = a.one(port)?;
        accumulate(&mut o.ports, port, a, MAX_ENTRIES)
    }),
    option("listenaddress", |o, a, _| {
        let address = a.one(listen_address)?;
        accumulate(&mut o.listen_addresses, address, a, MAX_ENTRIES)
    }),
    option("pidfile", |o, a, _| {
        first(&mut o.pid_file, a.one(pid_file)?)
    }),
    option("maxstartups", |o, a, _| {
        first(&mut o.max_startups, a.one(max_startups)?)
    }),
    option("persourcemaxstartups", |o, a, _| {
        first(
            &mut o.per_source_max_startups,
            a.one(sources::max_startups)?,
        )
    }),
    option("persourcenetblocksize", |o, a, _| {
        first(
            &mut o.per_source_net_block_size,
            a.one(sources::net_block_size)?,
        )
    }),
    option("persourcepenalties", |o, a, _| {
        sources::penalties(&mut o.per_source_penalties, a)
    }),
    option("persourcepenaltyexemptlist", |o, a, _| {
        let list = a.one(exempt_list)?;
        first(&mut o.per_source_penalty_exempt, list)
    }),
    // Logging in.
    option("hostkey", host_key),
    option("hostdsakey", host_key),
    option("authorizedkeysfile", |o, a, _| {
        first(&mut o.authorized_keys_files, authorized_keys_files(a)?)
    }),
    option("strictmodes", |o, a, _| {
        first(&mut o.strict_modes, a.one(yes_no)?)
    }),
    option("logingracetime", |o, a, _| {
        first(&mut o.login_grace_time, a.one(time)?)
    }),
    option("maxauthtries", |o, a, _| {
        first(&mut o.max_auth_tries, a.one(number)?)
    }),
    option("pubkeyauthentication", |o, a, _| {
        first(&mut o.pubkey_authentication, a.one(yes_no)?)
    }),
    option("dsaauthentication", |o, a, _| {
        first(&mut o.pubkey_authentication, a.one(yes_no)?)
    }),
    option("allowusers", |o, a, _| {
        let patterns = a.every(UserPattern::parse)?;
        patterns
            .into_iter()
            .try_for_each(|p| accumulate(&mut o.allow_users, p, a, MAX_ENTRIES))
    }),
    option("denyusers", |o, a, _| {
        let patterns = a.every(UserPattern::parse)?;
        patterns
            .into_iter()
            .try_for_each(|p| accumulate(&mut o.deny_users, p, a, MAX_ENTRIES))
    }),
    option("permitrootlogin", |o, a, _| {
        first(&mut o.permit_root_login, a.one(permit_root_login)?)
    }),
    // Forwarding.
    option("allowtcpforwarding", |o, a, _| {
        first(&mut o.allow_tcp_forwarding, a.one(allow_forwarding)?)
    }),
    option("allowstreamlocalforwarding", |o, a, _| {
        first(
            &mut o.allow_stream_local_forwarding,
            a.one(allow_forwarding)?,
        )
    }),
    option("disableforwarding", |o, a, _| {
        first(&mut o.disable_forwarding, a.one(yes_no)?)
    }),
    option("gatewayports", |o, a, _| {
        first(&mut o.gateway_ports, a.one(gateway_ports)?)
    }),
    option("permitopen", |o, a, _| {
        first(&mut o.permit_open, rule_list(a, HostPortRule::parse_open)?)
    }),
    option("permitlisten", |o, a, _| {
        first(
            &mut o.permit_listen,
            rule_list(a, HostPortRule::parse_listen)?,
        )
    }),
    // Sessions.
    option("acceptenv", |o, a, _| session::accept_env(o, a)),
    raw("forcecommand", |o, rest| {
        first_command(&mut o.session.force_command, rest)
    }),
    option("permittty", |o, a, _| {
        first(&mut o.session.permit_tty, a.one(yes_no)?)
    }),
    option("permituserrc", |o, a, _| {
        first(&mut o.session.permit_user_rc, a.one(yes_no)?)
    }),
    option("permituserenvironment", |o, a, _| {
        let permitted = a.one(session::user_environment)?;
        first(&mut o.session.permit_user_environment, permitted)
    }),
    option("maxsessions", |o, a, _| {
        first(&mut o.session.max_sessions, a.one(number)?)
    }),
    option("subsystem", |o, a, _| session::subsystem(o, a)),
    option("banner", |o, a, _| {
        first(&mut o.session.banner, a.one(session::banner)?)
    }),
    option("printmotd", |o, a, _| {
        first(&mut o.session.print_motd, a.one(yes_no)?)
    }),
    option("printlastlog", |o, a, _| {
        first(&mut o.session.print_last_log, a.one(yes_no)?)
    }),
    option("allowagentforwarding", |o, a, _| {
        first(&mut o.session.allow_agent_forwarding, a.one(yes_no)?)
    }),
    // The connection.
    option("clientaliveinterval", |o, a, _| {
        first(&mut o.client_alive_interval, a.one(time)?)
    }),
    option("clientalivecountmax", |o, a, _| {
        first(&mut o.client_alive_count_max, a.one(number)?)
    }),
    option("compression", |o, a, _| {
        first(&mut o.compression, a.one(compression)?)
    }),
    // They say who may log in and what he may do: without them the server would allow more.
    restricts("allowgroups", &[]),
    restricts("denygroups", &[]),
    restricts("authenticationmethods", &["any", "publickey"]),
    restricts("authorizedkeyscommand", &["none"]),
    restricts("chrootdirectory", &["none"]),
    restricts("pubkeyauthoptions", &["none"]),
    restricts("rdomain", &["none"]),
    restricts("refuseconnection", &["no"]),
    restricts("revokedkeys", &["none"]),
    restricts("unusedconnectiontimeout", &["none", "0"]),
    restricts("usedns", &["no"]),
    // Real and not supported: without them the server allows less, or only looks different.
    unsupported("authorizedkeyscommanduser", &["none"]),
    unsupported("authorizedprincipalscommand", &["none"]),
    unsupported("authorizedprincipalscommanduser", &["none"]),
    unsupported("authorizedprincipalsfile", &["none"]),
    unsupported("challengeresponseauthentication", &["no"]),
    unsupported("exposeauthinfo", &["no"]),
    unsupported("hostcertificate", &["none"]),
    unsupported("hostkeyagent", &["none"]),
    unsupported("kbdinteractiveauthentication", &["no"]),
    unsupported("kerberosauthentication", &["no"]),
    unsupported("passwordauthentication", &["no"]),
    unsupported("permittunnel", &["no"]),
    unsupported("skeyauthentication", &["no"]),
    unsupported("trustedusercakeys", &["none"]),
    // They say nothing about tunnels: shells, X11, mail, the log's name, other ways to log in.
    moot("debianbanner"),
    moot("gssapiauthentication"),
    moot("gssapicleanupcredentials"),
    moot("gssapikeyexchange"),
    moot("gssapistorecredentialsonrekey"),
    moot("gssapistrictacceptorcheck"),
    moot("hostbasedacceptedkeytypes"),
    moot("hostbasedusesnamefrompacketonly"),
    moot("ignorerhosts"),
    moot("ignoreuserknownhosts"),
    moot("kerberosgetafstoken"),
    moot("kerberosorlocalpasswd"),
    moot("kerberosticketcleanup"),
    moot("modulifile"),
    moot("pamservicename"),
    moot("permitemptypasswords"),
    moot("securitykeyprovider"),
    moot("sshdauthpath"),
    moot("sshdsessionpath"),
    moot("usepam"),
    moot("x11displayoffset"),
    moot("x11forwarding"),
    moot("x11uselocalhost"),
    // Gone from OpenSSH too.
    deprecated("authorizedkeysfile2"),
    deprecated("checkmail"),
    deprecated("gssapicleanupcreds"),
    deprecated("gssapiusesessioncredcache"),
    deprecated("gssusesessionccache"),
    deprecated("keyregenerationinterval"),
    deprecated("pamauthenticationviakbdint"),
    deprecated("permitblacklistedkeys"),
    deprecated("reversemappingcheck"),
    deprecated("serverkeybits"),
    deprecated("uselogin"),
    deprecated("useprivilegeseparation"),
    deprecated("verifyreversemapping"),
];

/// `host`, `host:port`, `[v6]:port`, or an IPv6 address alone.
fn listen_address(word: &str) -> Result<ListenAddress, &'static str> {
    const EXPECTED: &str = "host, host:port or [address]:port";
    let (host, after) = match word.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').ok_or(EXPECTED)?,
        None if word.matches(':').count() == 1 => {
            word.split_at(word.find(':').unwrap_or(word.len()))
        }
        None => (word, ""),
    };
    let port = match after.strip_prefix(':') {
        Some(word) => Some(port(word)?),
        None if after.is_empty() => None,
        None => return Err(EXPECTED),
    };
    if host.is_empty() {
        return Err(EXPECTED);
    }
    Ok(ListenAddress {
        host: host.to_owned(),
        port,
    })
}

fn host_key(
    options: &mut ServerOptions,
    arguments: &mut Arguments,
    _: &Lookups<'_>,
) -> Result<(), LineError> {
    let path = PathBuf::from(arguments.word()?);
    accumulate(&mut options.host_keys, path, arguments, MAX_ENTRIES)
}

fn pid_file(word: &str) -> Result<PidFile, &'static str> {
    match word {
        "none" => Ok(PidFile::Nowhere),
        path => Ok(PidFile::At(PathBuf::from(path))),
    }
}

/// `start:rate:full`, or one number for both `start` and `full`.
fn max_startups(word: &str) -> Result<MaxStartups, &'static str> {
    const EXPECTED: &str = "start:rate:full, such as 10:30:100";
    let numbers = word.split(':').map(number).collect::<Result<Vec<u32>, _>>();
    let startups = match *numbers.map_err(|_| EXPECTED)?.as_slice() {
        [full] => MaxStartups {
            start: full,
            rate: 100,
            full,
        },
        [start, rate, full] => MaxStartups { start, rate, full },
        _ => return Err(EXPECTED),
    };
    let sound = startups.start <= startups.full && (1..=100).contains(&startups.rate);
    // Zero would let nobody in.
    (sound && startups.full > 0)
        .then_some(startups)
        .ok_or(EXPECTED)
}

/// `none`, or addresses, networks and patterns, separated by commas.
fn exempt_list(word: &str) -> Result<Option<PeerList>, &'static str> {
    match word {
        "none" => Ok(None),
        list => PeerList::parse(list).map(Some).map_err(BadPeer::expected),
    }
}

/// The tokens are checked here, where file and line are known.
fn authorized_keys_files(arguments: &mut Arguments) -> Result<Vec<String>, LineError> {
    let words = arguments.all()?;
    for word in &words {
        expand_tokens(word, |token| {
            matches!(token, 'h' | 'u' | 'U').then(String::new)
        })?;
    }
    match words.iter().any(|word| word == "none") {
        true if words.len() == 1 => Ok(Vec::new()),
        true => Err(arguments.bad_value("none", "none alone, or files")),
        false => Ok(words),
    }
}

fn permit_root_login(word: &str) -> Result<PermitRootLogin, &'static str> {
    let table = [
        ("yes", PermitRootLogin::Yes),
        ("prohibit-password", PermitRootLogin::ProhibitPassword),
        ("without-password", PermitRootLogin::ProhibitPassword),
        ("forced-commands-only", PermitRootLogin::ForcedCommandsOnly),
        ("no", PermitRootLogin::No),
    ];
    choose(word, &table).ok_or("yes, prohibit-password, forced-commands-only or no")
}

fn allow_forwarding(word: &str) -> Result<AllowForwarding, &'static str> {
    let table = [
        ("yes", AllowForwarding::Yes),
        ("true", AllowForwarding::Yes),
        ("all", AllowForwarding::Yes),
        ("no", AllowForwarding::No),
        ("false", AllowForwarding::No),
        ("local", AllowForwarding::Local),
        ("remote", AllowForwarding::Remote),
    ];
    choose(word, &table).ok_or("yes, no, local or remote")
}

fn gateway_ports(word: &str) -> Result<GatewayPorts, &'static str> {
    let table = [
        ("no", GatewayPorts::No),
        ("false", GatewayPorts::No),
        ("yes", GatewayPorts::Yes),
        ("true", GatewayPorts::Yes),
        ("clientspecified", GatewayPorts::ClientSpecified),
    ];
    choose(word, &table).ok_or("no, yes or clientspecified")
}

fn compression(word: &str) -> Result<bool, &'static str> {
    let table = [
        ("yes", true),
        ("true", true),
        ("delayed", true),
        ("no", false),
        ("false", false),
    ];
    choose(word, &table).ok_or("yes, delayed or no")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_stands_in_one_table_once_in_lower_case() {
        crate::config::keyword::assert_sound::<ServerOptions>();
    }
}
