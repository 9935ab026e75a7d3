//! The host's final name: `CanonicalizeHostname` and the keywords beside it.
//!
//! The system's resolver is asked, which does not tell about aliases: `CanonicalizePermittedCNAMEs` is an error.

use std::net::IpAddr;

use crate::config::error::ConfigError;
use crate::config::expand::Lookups;

use super::{Canonicalize, ClientOptions, ProxyJump};

/// Number of dots that a name may hold to be completed, if nothing is set.
const MAX_DOTS: u32 = 1;

/// The name to connect to, from the one that `HostName` gave: an address in its usual writing, or a name in lower
/// case, completed by the first of `CanonicalDomains` under which it resolves.
pub(super) fn host_name(
    options: &ClientOptions,
    name: &str,
    lookups: &Lookups<'_>,
) -> Result<String, ConfigError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let name = name.to_ascii_lowercase();
    if name.contains(':') || !is_wanted(options) {
        return Ok(name);
    }
    let found = match name.strip_suffix('.') {
        Some(whole) => (lookups.resolves)(&name).then(|| whole.to_owned()),
        None if name.matches('.').count() > max_dots(options) => return Ok(name),
        None => completed(options, &name, lookups),
    };
    match (found, options.canonicalize_fallback_local) {
        (Some(found), _) => Ok(found),
        (None, Some(false)) => Err(ConfigError::Unresolved(name)),
        (None, _) => Ok(name),
    }
}

/// Under `yes`, a name that a jump host resolves stays as it is.
fn is_wanted(options: &ClientOptions) -> bool {
    match options.canonicalize_hostname {
        None | Some(Canonicalize::No) => false,
        Some(Canonicalize::Always) => true,
        Some(Canonicalize::Direct) => !matches!(options.proxy_jump, Some(ProxyJump::Through(_))),
    }
}

fn max_dots(options: &ClientOptions) -> usize {
    options.canonicalize_max_dots.unwrap_or(MAX_DOTS) as usize
}

fn completed(options: &ClientOptions, name: &str, lookups: &Lookups<'_>) -> Option<String> {
    let domains = options.canonical_domains.as_deref().unwrap_or_default();
    domains
        .iter()
        .map(|domain| format!("{name}.{domain}"))
        // The dot at the end keeps the resolver from completing it further.
        .find(|whole| (lookups.resolves)(&format!("{whole}.")))
}
