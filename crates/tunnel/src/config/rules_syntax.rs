//! Syntax of forwarding rules: `PermitOpen host:port`, `PermitListen [host:]port`.

use crate::pattern::looks_like_an_address;
use crate::policy::{HostPortRule, PortRule, RuleList};

use super::error::LineError;
use super::lines::Arguments;

const EXPECTED_OPEN: &str = "host:port, with * for any";
const EXPECTED_LISTEN: &str = "[host:]port, with * for any";
const LOOKALIKE: &str = "a host that does not merely look like an address";

/// The longest host name that the system's resolver takes (`NI_MAXHOST`).
const MAX_HOST: usize = 1024;

impl HostPortRule {
    /// Reads one `host:port` of `PermitOpen`, `permitopen=` or `PermitRemoteOpen`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse_open(text: &str) -> Result<Self, &'static str> {
        let (host, port) = split_host(text).ok_or(EXPECTED_OPEN)?;
        Self::from_parts(host, port, EXPECTED_OPEN)
    }

    /// Reads one `[host:]port` of `PermitListen` or `permitlisten=`; a port alone is that port on any host.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse_listen(text: &str) -> Result<Self, &'static str> {
        let (host, port) = split_host(text).unwrap_or(("*", text));
        Self::from_parts(host, port, EXPECTED_LISTEN)
    }

    fn from_parts(host: &str, port: &str, expected: &'static str) -> Result<Self, &'static str> {
        let port = match port {
            "*" => PortRule::Any,
            _ => PortRule::Exactly(decimal_port(port).ok_or(expected)?),
        };
        if host.is_empty() || host.len() >= MAX_HOST {
            return Err(expected);
        }
        if looks_like_an_address(host) {
            return Err(LOOKALIKE);
        }
        let host = host.to_owned();
        Ok(Self { host, port })
    }
}

/// Splits `host:port` or `[host]:port`. A host with colons needs its brackets.
fn split_host(text: &str) -> Option<(&str, &str)> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']')?;
        return Some((host, after.strip_prefix(':')?));
    }
    let (host, port) = text.split_once(':')?;
    (!port.contains(':')).then_some((host, port))
}

fn decimal_port(text: &str) -> Option<u16> {
    // `parse` would also take a sign.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port != 0)
}

/// Reads the words after `PermitOpen` or `PermitListen`: `any` or `none` alone, or rules.
pub(crate) fn rule_list(
    arguments: &mut Arguments,
    parse: fn(&str) -> Result<HostPortRule, &'static str>,
) -> Result<RuleList, LineError> {
    let words = arguments.all()?;
    let list = match words[0].as_str() {
        "any" => RuleList::Any,
        "none" => RuleList::None,
        _ => {
            let rule =
                |word: &String| parse(word).map_err(|expected| arguments.bad_value(word, expected));
            return words
                .iter()
                .map(rule)
                .collect::<Result<_, _>>()
                .map(RuleList::Only);
        }
    };
    match words.get(1) {
        None => Ok(list),
        Some(first) => Err(LineError::ExtraArguments {
            keyword: arguments.keyword().to_owned(),
            first: first.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(host: &str, port: PortRule) -> Result<HostPortRule, ()> {
        Ok(HostPortRule {
            host: host.into(),
            port,
        })
    }

    #[test]
    fn permit_open_takes_a_host_and_a_port() {
        let table = [
            ("db:5432", rule("db", PortRule::Exactly(5432))),
            ("*:5432", rule("*", PortRule::Exactly(5432))),
            ("db:*", rule("db", PortRule::Any)),
            ("*:*", rule("*", PortRule::Any)),
            ("[::1]:80", rule("::1", PortRule::Exactly(80))),
            ("[db]:80", rule("db", PortRule::Exactly(80))),
            ("::1:80", Err(())),
            ("db", Err(())),
            ("db:", Err(())),
            (":80", Err(())),
            ("db:0", Err(())),
            ("db:+1", Err(())),
            ("db:65536", Err(())),
            ("db:http", Err(())),
            ("[::1]80", Err(())),
            ("[::1", Err(())),
            ("db/80", Err(())),
            ("127.1:80", Err(())),
            ("127.0.0.01:80", Err(())),
            ("10.0.0.256:80", Err(())),
            ("0x7f.0.0.1:80", Err(())),
            ("[1:2:3]:80", Err(())),
            ("[fe80::1%lo]:80", rule("fe80::1%lo", PortRule::Exactly(80))),
            ("", Err(())),
        ];
        for (text, expected) in table {
            assert_eq!(
                HostPortRule::parse_open(text).map_err(drop),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn permit_listen_takes_a_port_alone() {
        let table = [
            ("8080", rule("*", PortRule::Exactly(8080))),
            ("*", rule("*", PortRule::Any)),
            ("localhost:8080", rule("localhost", PortRule::Exactly(8080))),
            ("[::]:*", rule("::", PortRule::Any)),
            ("localhost", Err(())),
            ("0", Err(())),
            ("::1", Err(())),
            ("127.1:8080", Err(())),
            ("127.0.0.?:8080", rule("127.0.0.?", PortRule::Exactly(8080))),
        ];
        for (text, expected) in table {
            assert_eq!(
                HostPortRule::parse_listen(text).map_err(drop),
                expected,
                "{text}"
            );
        }
    }
}
