//! Every keyword of ssh_config, in one table.

use std::path::PathBuf;

use crate::config::destination::{Destination, check_host, check_user};
use crate::config::error::LineError;
use crate::config::expand::Lookups;
use crate::config::keyword::{
    Block, Keyword, accumulate, block, deprecated, first, first_command, moot, option, raw,
    restricts, routes, unsupported,
};
use crate::config::lines::Arguments;
use crate::config::rules_syntax::rule_list;
use crate::config::spec::{Forward, SpecError};
use crate::config::values::{choose, number, port, time_or_none, yes_no};
use crate::known_hosts::StrictHostKeyChecking;
use crate::pattern::{Case, PatternList};
use crate::policy::HostPortRule;

use super::options::{Canonicalize, ClientOptions, IdentityAgent, ProxyJump, PubkeyAuthentication};
use super::session::{self, request_tty, session_type};

/// Number of `IdentityFile` lines that are kept, as in OpenSSH.
const MAX_IDENTITIES: usize = 100;

/// Number of forwards that are kept.
const MAX_FORWARDS: usize = 4096;

/// Number of `CanonicalDomains`: each is a look-up.
const MAX_DOMAINS: usize = 32;

/// Number of files that a `UserKnownHostsFile` line may name, as in OpenSSH.
const MAX_KNOWN_HOSTS: usize = 32;

/// All the keywords. A name may stand here once; aliases have lines of their own.
pub(super) static KEYWORDS: &[Keyword<ClientOptions>] = &[
    block("host", Block::Host),
    block("match", Block::Match),
    block("include", Block::Include),
    // Whom to connect to, and how.
    option("hostname", |o, a, _| first(&mut o.host_name, a.word()?)),
    option("user", |o, a, _| first(&mut o.user, a.one(user)?)),
    option("port", |o, a, _| first(&mut o.port, a.one(port)?)),
    option("bindaddress", |o, a, _| {
        first(&mut o.bind_address, a.word()?)
    }),
    option("canonicalizehostname", |o, a, _| {
        first(&mut o.canonicalize_hostname, a.one(canonicalize)?)
    }),
    option("canonicaldomains", |o, a, _| {
        first(&mut o.canonical_domains, canonical_domains(a)?)
    }),
    option("canonicalizemaxdots", |o, a, _| {
        first(&mut o.canonicalize_max_dots, a.one(number)?)
    }),
    option("canonicalizefallbacklocal", |o, a, _| {
        first(&mut o.canonicalize_fallback_local, a.one(yes_no)?)
    }),
    option("tag", |o, a, _| first(&mut o.tag, a.word()?)),
    option("connecttimeout", |o, a, _| {
        first(&mut o.connect_timeout, a.one(time_or_none)?)
    }),
    option("proxyjump", |o, a, _| {
        first(&mut o.proxy_jump, a.one(proxy_jump)?)
    }),
    // Logging in.
    option("identityfile", identity_file),
    option("identityfile2", identity_file),
    option("identitiesonly", |o, a, _| {
        first(&mut o.identities_only, a.one(yes_no)?)
    }),
    option("identityagent", |o, a, _| {
        first(&mut o.identity_agent, a.one(identity_agent)?)
    }),
    option("preferredauthentications", |o, a, _| {
        let methods = a.word()?.split(',').map(str::to_owned).collect();
        first(&mut o.preferred_authentications, methods)
    }),
    option("pubkeyauthentication", pubkey_authentication),
    option("dsaauthentication", pubkey_authentication),
    option("passwordauthentication", |o, a, _| {
        first(&mut o.password_authentication, a.one(yes_no)?)
    }),
    option("kbdinteractiveauthentication", kbd_interactive),
    option("challengeresponseauthentication", kbd_interactive),
    option("skeyauthentication", kbd_interactive),
    option("tisauthentication", kbd_interactive),
    option("numberofpasswordprompts", |o, a, _| {
        first(&mut o.number_of_password_prompts, a.one(number)?)
    }),
    option("batchmode", |o, a, _| {
        first(&mut o.batch_mode, a.one(yes_no)?)
    }),
    // Host keys.
    option("userknownhostsfile", |o, a, _| {
        first(&mut o.user_known_hosts_files, known_hosts(a)?)
    }),
    option("globalknownhostsfile", |o, a, _| {
        first(&mut o.global_known_hosts_files, known_hosts(a)?)
    }),
    option("stricthostkeychecking", |o, a, _| {
        let mode = a.one(StrictHostKeyChecking::parse)?;
        first(&mut o.strict_host_key_checking, mode)
    }),
    option("hashknownhosts", |o, a, _| {
        first(&mut o.hash_known_hosts, a.one(yes_no)?)
    }),
    option("hostkeyalias", |o, a, _| {
        first(&mut o.host_key_alias, a.word()?)
    }),
    option("nohostauthenticationforlocalhost", |o, a, _| {
        first(&mut o.no_host_authentication_for_localhost, a.one(yes_no)?)
    }),
    // Forwards.
    option("localforward", |o, a, lookups| {
        forward(o, a, lookups, Forward::parse_local)
    }),
    option("remoteforward", remote_forward),
    option("dynamicforward", |o, a, lookups| {
        let forward = Forward::parse_dynamic(&a.word()?, lookups)?;
        accumulate(&mut o.forwards, forward, a, MAX_FORWARDS)
    }),
    option("clearallforwardings", |o, a, _| {
        first(&mut o.clear_all_forwardings, a.one(yes_no)?)
    }),
    option("gatewayports", |o, a, _| {
        first(&mut o.gateway_ports, a.one(yes_no)?)
    }),
    option("exitonforwardfailure", |o, a, _| {
        first(&mut o.exit_on_forward_failure, a.one(yes_no)?)
    }),
    option("permitremoteopen", |o, a, _| {
        first(
            &mut o.permit_remote_open,
            rule_list(a, HostPortRule::parse_open)?,
        )
    }),
    // The connection.
    option("serveraliveinterval", |o, a, _| {
        first(&mut o.server_alive_interval, a.one(time_or_none)?)
    }),
    option("serveralivecountmax", |o, a, _| {
        first(&mut o.server_alive_count_max, a.one(number)?)
    }),
    option("compression", |o, a, _| {
        first(&mut o.compression, a.one(yes_no)?)
    }),
    // The session.
    raw("remotecommand", |o, rest| {
        first_command(&mut o.session.remote_command, rest)
    }),
    option("sendenv", |o, a, _| session::send_env(o, a)),
    raw("localcommand", |o, rest| {
        first_command(&mut o.session.local_command, rest)
    }),
    option("permitlocalcommand", |o, a, _| {
        first(&mut o.session.permit_local_command, a.one(yes_no)?)
    }),
    option("escapechar", |o, a, _| {
        first(&mut o.session.escape_char, a.one(str::parse)?)
    }),
    // The program.
    option("forkafterauthentication", |o, a, _| {
        first(&mut o.fork_after_authentication, a.one(yes_no)?)
    }),
    option("stdinnull", |o, a, _| {
        first(&mut o.session.stdin_null, a.one(yes_no)?)
    }),
    option("sessiontype", |o, a, _| {
        first(&mut o.session.session_type, a.one(session_type)?)
    }),
    option("requesttty", |o, a, _| {
        first(&mut o.session.request_tty, a.one(request_tty)?)
    }),
    option("ignoreunknown", |o, a, _| {
        let patterns = a.one(|text| PatternList::parse(text, Case::Insensitive))?;
        first(&mut o.ignore_unknown, patterns)
    }),
    // Real, not supported, and their absence makes the connection something else than was asked for.
    raw("proxycommand", proxy_command),
    restricts("revokedhostkeys", &["none"]),
    restricts("refuseconnection", &[]),
    restricts("checkhostip", &["no"]),
    restricts("knownhostscommand", &["none"]),
    routes("bindinterface", &[], "use BindAddress"),
    routes("canonicalizepermittedcnames", &["none"], "say none"),
    routes("proxyusefdpass", &["no"], "use ProxyJump"),
    // Real and not supported.
    unsupported("addkeystoagent", &["no"]),
    unsupported("certificatefile", &["none"]),
    unsupported("connectionattempts", &["1"]),
    unsupported("controlmaster", &["no"]),
    unsupported("controlpath", &["none"]),
    unsupported("controlpersist", &["no"]),
    unsupported("enableescapecommandline", &["no"]),
    unsupported("forwardagent", &["no"]),
    unsupported("kbdinteractivedevices", &[]),
    unsupported("pkcs11provider", &["none"]),
    unsupported("securitykeyprovider", &["internal"]),
    unsupported("smartcarddevice", &["none"]),
    unsupported("tunnel", &["no"]),
    unsupported("tunneldevice", &["any:any"]),
    unsupported("updatehostkeys", &["no"]),
    unsupported("verifyhostkeydns", &["no"]),
    // They say nothing about tunnels: terminals, X11, the environment, Kerberos.
    moot("enablesshkeysign"),
    moot("forwardx11"),
    moot("forwardx11timeout"),
    moot("forwardx11trusted"),
    moot("gssapiauthentication"),
    moot("gssapiclientidentity"),
    moot("gssapidelegatecredentials"),
    moot("gssapikeyexchange"),
    moot("gssapirenewalforcesrekey"),
    moot("gssapiserveridentity"),
    moot("gssapitrustdns"),
    moot("hostbasedkeytypes"),
    moot("obscurekeystroketiming"),
    moot("visualhostkey"),
    moot("warnweakcrypto"),
    // Gone from OpenSSH too.
    deprecated("cipher"),
    deprecated("compressionlevel"),
    deprecated("fallbacktorsh"),
    deprecated("globalknownhostsfile2"),
    deprecated("kerberosauthentication"),
    deprecated("protocolkeepalives"),
    deprecated("setuptimeout"),
    deprecated("useblacklistedkeys"),
    deprecated("useprivilegedport"),
    deprecated("userknownhostsfile2"),
    deprecated("useroaming"),
    deprecated("usersh"),
];

fn canonicalize(word: &str) -> Result<Canonicalize, &'static str> {
    let table = [
        ("no", Canonicalize::No),
        ("false", Canonicalize::No),
        ("yes", Canonicalize::Direct),
        ("true", Canonicalize::Direct),
        ("always", Canonicalize::Always),
    ];
    choose(word, &table).ok_or("no, yes or always")
}

fn canonical_domains(arguments: &mut Arguments) -> Result<Vec<String>, LineError> {
    let words = arguments.every(|word| match word {
        "none" => Ok(word.to_owned()),
        _ => check_host(word).map(|()| word.to_owned()),
    })?;
    if words.len() > MAX_DOMAINS {
        return Err(LineError::TooMany(arguments.keyword().to_owned()));
    }
    match words.iter().any(|word| word == "none") {
        true if words.len() == 1 => Ok(Vec::new()),
        true => Err(arguments.bad_value("none", "none alone, or domains")),
        false => Ok(words),
    }
}

fn user(word: &str) -> Result<String, &'static str> {
    check_user(word).map(|()| word.to_owned())
}

fn identity_file(
    options: &mut ClientOptions,
    arguments: &mut Arguments,
    _: &Lookups<'_>,
) -> Result<(), LineError> {
    let path = PathBuf::from(arguments.word()?);
    accumulate(&mut options.identity_files, path, arguments, MAX_IDENTITIES)
}

fn identity_agent(word: &str) -> Result<IdentityAgent, &'static str> {
    if word == "none" {
        return Ok(IdentityAgent::Disabled);
    }
    if word == "SSH_AUTH_SOCK" {
        return Ok(IdentityAgent::Variable(word.to_owned()));
    }
    // `${NAME}/path` is a path; `$NAME` alone names a variable that holds the whole path.
    match word.strip_prefix('$').filter(|name| !name.starts_with('{')) {
        None => Ok(IdentityAgent::Socket(PathBuf::from(word))),
        Some(name) if is_variable_name(name) => Ok(IdentityAgent::Variable(name.to_owned())),
        Some(_) => Err("none, SSH_AUTH_SOCK, $VARIABLE or a path"),
    }
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn pubkey_authentication(
    options: &mut ClientOptions,
    arguments: &mut Arguments,
    _: &Lookups<'_>,
) -> Result<(), LineError> {
    let value = arguments.one(|word| {
        let table = [
            ("yes", PubkeyAuthentication::Yes),
            ("true", PubkeyAuthentication::Yes),
            ("no", PubkeyAuthentication::No),
            ("false", PubkeyAuthentication::No),
            ("unbound", PubkeyAuthentication::Unbound),
            ("host-bound", PubkeyAuthentication::HostBound),
        ];
        choose(word, &table).ok_or("yes, no, unbound or host-bound")
    })?;
    first(&mut options.pubkey_authentication, value)
}

fn kbd_interactive(
    options: &mut ClientOptions,
    arguments: &mut Arguments,
    _: &Lookups<'_>,
) -> Result<(), LineError> {
    first(
        &mut options.kbd_interactive_authentication,
        arguments.one(yes_no)?,
    )
}

fn known_hosts(arguments: &mut Arguments) -> Result<Vec<PathBuf>, LineError> {
    let words = arguments.all()?;
    if words.len() > MAX_KNOWN_HOSTS {
        return Err(LineError::TooMany(arguments.keyword().to_owned()));
    }
    match words.iter().any(|word| word == "none") {
        true if words.len() == 1 => Ok(Vec::new()),
        true => Err(arguments.bad_value("none", "none alone, or files")),
        false => Ok(words.into_iter().map(PathBuf::from).collect()),
    }
}

/// Reads `ProxyJump` and `-J`: hops separated by commas, or `none`.
fn proxy_jump(word: &str) -> Result<ProxyJump, &'static str> {
    if word.eq_ignore_ascii_case("none") {
        return Ok(ProxyJump::Direct);
    }
    word.split(',')
        .map(Destination::parse_hop)
        .collect::<Result<_, _>>()
        .map(ProxyJump::Through)
}

/// `ProxyCommand none` shuts out a later `ProxyJump`. A command, unless a `ProxyJump` came first, would
/// be another way to the host than the one asked for: an error, not a warning.
fn proxy_command(options: &mut ClientOptions, command: &str) -> Result<(), LineError> {
    if command.eq_ignore_ascii_case("none") {
        return first(&mut options.proxy_jump, ProxyJump::Direct);
    }
    match options.proxy_jump {
        Some(_) => Ok(()),
        None => Err(LineError::NotSupported {
            keyword: "ProxyCommand".to_owned(),
            hint: "use ProxyJump, or ProxyCommand none",
        }),
    }
}

type ParseForward = fn(&str, &Lookups<'_>) -> Result<Forward, SpecError>;

/// A listener and a target, each a word of its own.
fn forward(
    options: &mut ClientOptions,
    arguments: &mut Arguments,
    lookups: &Lookups<'_>,
    parse: ParseForward,
) -> Result<(), LineError> {
    let listen = arguments.word()?;
    let Some(target) = arguments.optional() else {
        return Err(arguments.bad_value(&listen, "a listener and a target, two words"));
    };
    let forward = parse(&format!("{listen}:{target}"), lookups)?;
    accumulate(&mut options.forwards, forward, arguments, MAX_FORWARDS)
}

/// As `LocalForward`, or a listener alone for remote SOCKS.
fn remote_forward(
    options: &mut ClientOptions,
    arguments: &mut Arguments,
    lookups: &Lookups<'_>,
) -> Result<(), LineError> {
    let mut spec = arguments.word()?;
    if let Some(target) = arguments.optional() {
        spec = format!("{spec}:{target}");
    }
    let forward = Forward::parse_remote(&spec, lookups)?;
    accumulate(&mut options.forwards, forward, arguments, MAX_FORWARDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_stands_in_one_table_once_in_lower_case() {
        crate::config::keyword::assert_sound::<ClientOptions>();
    }
}
