//! The options in front of a key: `name`, `name="value"`, separated by commas.

use std::fmt;

use super::KeyOptions;
use super::expiry::Expiry;
use crate::pattern::PeerList;
use crate::policy::{Forwarding, HostPortRule, Permission, RuleList};

/// Number of `permitopen=`, `permitlisten=` and `environment=` that may stand on one line.
const MAX_REPEATS: usize = 4096;

/// Reason why the options of a line make it unusable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadOptions {
    /// Not text, or a quote or a comma is out of place.
    Syntax,
    /// An option that adit does not know; guessing what it restricts is not safe.
    Unknown(String),
    /// A value that is missing, unquoted or malformed.
    BadValue {
        /// The option.
        option: &'static str,
        /// The fault.
        why: &'static str,
    },
    /// An option that may stand only once.
    Repeated(&'static str),
    /// An option that adit knows and cannot honour.
    Unsupported(Unsupported),
}

/// Options that adit knows and cannot honour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    /// `cert-authority` and `principals=`: certificates.
    Certificates,
    /// `tunnel=`: tun devices.
    Tunnel,
    /// `verify-required`: security keys that verify their user.
    VerifyRequired,
}

/// A parsed line of options.
pub(super) struct KeyLineOptions {
    pub(super) options: KeyOptions,
    pub(super) expiry: Vec<Expiry>,
    pub(super) from: Option<PeerList>,
}

/// Length of the options at the start of `line`: up to the first blank outside quotes.
///
/// `None` if a quote stays open or nothing follows.
pub(super) fn length(line: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut at = 0;
    loop {
        match line.get(at..)? {
            [b'\\', b'"', ..] => at += 1,
            [b'"', ..] => quoted = !quoted,
            [b' ' | b'\t', ..] if !quoted => return Some(at),
            [] => return None,
            _ => {}
        }
        at += 1;
    }
}

/// Parses options; empty text has none.
pub(super) fn parse(options: &[u8]) -> Result<KeyLineOptions, BadOptions> {
    let mut rest = std::str::from_utf8(options).map_err(|_| BadOptions::Syntax)?;
    let mut parser = Parser::new();
    if rest.is_empty() {
        return Ok(parser.finish());
    }
    loop {
        let (option, after) = next_option(rest)?;
        parser.apply(option)?;
        rest = match after.strip_prefix(',') {
            Some(next) => next,
            None if after.is_empty() => return Ok(parser.finish()),
            None => return Err(BadOptions::Syntax),
        };
    }
}

/// One option, its value without quotes.
struct Written {
    name: String,
    value: Value,
}

/// Text that follows an option's name.
enum Value {
    Absent,
    Unquoted,
    Quoted(String),
}

fn next_option(text: &str) -> Result<(Written, &str), BadOptions> {
    let end = text.find(['=', ',']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let name = name.to_ascii_lowercase();
    let Some(rest) = rest.strip_prefix('=') else {
        let value = Value::Absent;
        return Ok((Written { name, value }, rest));
    };
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(',').unwrap_or(rest.len());
        let value = Value::Unquoted;
        return Ok((Written { name, value }, &rest[end..]));
    };
    let (value, rest) = dequote(quoted).ok_or(BadOptions::Syntax)?;
    let value = Value::Quoted(value);
    Ok((Written { name, value }, rest))
}

/// Reads up to the closing quote; `\"` is a quote, every other backslash is itself.
fn dequote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let special = rest.find(['"', '\\'])?;
        value.push_str(&rest[..special]);
        rest = &rest[special..];
        if let Some(after) = rest.strip_prefix("\\\"") {
            value.push('"');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('\\') {
            value.push('\\');
            rest = after;
        } else {
            return Some((value, &rest[1..]));
        }
    }
}

/// Collects what the options say.
struct Parser {
    line: KeyLineOptions,
    permit_open: Vec<HostPortRule>,
    permit_listen: Vec<HostPortRule>,
}

impl Parser {
    fn new() -> Self {
        let options = KeyOptions::none();
        let (expiry, from) = (Vec::new(), None);
        Self {
            line: KeyLineOptions {
                options,
                expiry,
                from,
            },
            permit_open: Vec::new(),
            permit_listen: Vec::new(),
        }
    }

    fn apply(&mut self, written: Written) -> Result<(), BadOptions> {
        match written.value {
            Value::Absent => self.apply_flag(written.name),
            Value::Unquoted => Err(match valued(&written.name) {
                Some(option) => BadOptions::BadValue {
                    option,
                    why: "must be in quotes",
                },
                None => BadOptions::Unknown(written.name),
            }),
            Value::Quoted(value) => match valued(&written.name) {
                Some(option) => self.apply_value(option, value),
                None => Err(BadOptions::Unknown(written.name)),
            },
        }
    }

    fn apply_flag(&mut self, name: String) -> Result<(), BadOptions> {
        let options = &mut self.line.options;
        let forwarding = &mut options.rules.port_forwarding;
        match name.as_str() {
            "restrict" => {
                *forwarding = Forwarding::Disabled;
                options.terminal = Permission::Refused;
                options.user_rc = Permission::Refused;
            }
            "no-port-forwarding" => *forwarding = Forwarding::Disabled,
            "port-forwarding" => *forwarding = Forwarding::Allowed,
            "no-pty" => options.terminal = Permission::Refused,
            "pty" => options.terminal = Permission::Granted,
            "no-user-rc" => options.user_rc = Permission::Refused,
            "user-rc" => options.user_rc = Permission::Granted,
            // Nothing that these switch exists in adit: no agents at servers, no displays, no touch.
            "agent-forwarding"
            | "no-agent-forwarding"
            | "x11-forwarding"
            | "no-x11-forwarding"
            | "touch-required"
            | "no-touch-required"
            | "no-verify-required" => {}
            "cert-authority" => return Err(BadOptions::Unsupported(Unsupported::Certificates)),
            "verify-required" => return Err(BadOptions::Unsupported(Unsupported::VerifyRequired)),
            "" => return Err(BadOptions::Syntax),
            _ => {
                return Err(match valued(&name) {
                    Some(option) => BadOptions::BadValue {
                        option,
                        why: "needs a value",
                    },
                    None => BadOptions::Unknown(name),
                });
            }
        }
        Ok(())
    }

    fn apply_value(&mut self, option: &'static str, value: String) -> Result<(), BadOptions> {
        let bad = |why| BadOptions::BadValue { option, why };
        match option {
            "from" => {
                let from = PeerList::parse(&value).map_err(|error| bad(error.why()))?;
                once(option, &mut self.line.from, from)
            }
            "command" => once(option, &mut self.line.options.command, value),
            "expiry-time" => {
                let expiry = Expiry::parse(&value).ok_or(bad("is not a time"))?;
                push(option, &mut self.line.expiry, expiry)
            }
            "environment" => {
                let variable = parse_variable(&value).ok_or(bad("is not NAME=value"))?;
                self.add_variable(variable)
            }
            "permitopen" => {
                let rule = HostPortRule::parse_open(&value).map_err(|_| {
                    bad(
                        "needs host:port; * stands for any, IPv6 addresses stand in brackets, \
                         IPv4 addresses have four decimal numbers",
                    )
                })?;
                push(option, &mut self.permit_open, rule)
            }
            "permitlisten" => {
                let rule = HostPortRule::parse_listen(&value)
                    .map_err(|_| bad("needs port or host:port; * stands for any, addresses in their usual writing"))?;
                push(option, &mut self.permit_listen, rule)
            }
            "principals" => Err(BadOptions::Unsupported(Unsupported::Certificates)),
            _ => Err(BadOptions::Unsupported(Unsupported::Tunnel)),
        }
    }

    fn finish(mut self) -> KeyLineOptions {
        let rules = &mut self.line.options.rules;
        if !self.permit_open.is_empty() {
            rules.permit_open = RuleList::Only(self.permit_open);
        }
        if !self.permit_listen.is_empty() {
            rules.permit_listen = RuleList::Only(self.permit_listen);
        }
        self.line
    }

    fn add_variable(&mut self, variable: (String, String)) -> Result<(), BadOptions> {
        let environment = &mut self.line.options.environment;
        match environment.iter().any(|(name, _)| *name == variable.0) {
            true => Ok(()),
            false => push("environment", environment, variable),
        }
    }
}

/// The options that take a value.
fn valued(name: &str) -> Option<&'static str> {
    const NAMES: [&str; 8] = [
        "from",
        "command",
        "expiry-time",
        "environment",
        "permitopen",
        "permitlisten",
        "principals",
        "tunnel",
    ];
    NAMES.into_iter().find(|known| *known == name)
}

fn once<T>(option: &'static str, slot: &mut Option<T>, value: T) -> Result<(), BadOptions> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(BadOptions::Repeated(option)),
    }
}

fn push<T>(option: &'static str, list: &mut Vec<T>, value: T) -> Result<(), BadOptions> {
    if list.len() >= MAX_REPEATS {
        let why = "stands too often on one line";
        return Err(BadOptions::BadValue { option, why });
    }
    list.push(value);
    Ok(())
}

fn parse_variable(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let sound = !name.is_empty() && name.bytes().all(legal) && !value.contains('\0');
    sound.then(|| (name.to_owned(), value.to_owned()))
}

impl fmt::Display for BadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadOptions::Syntax => write!(f, "malformed options"),
            BadOptions::Unknown(name) => write!(f, "unknown option {}", name.escape_debug()),
            BadOptions::BadValue { option, why } => write!(f, "bad option {option}=: it {why}"),
            BadOptions::Repeated(option) => write!(f, "option {option}= stands more than once"),
            BadOptions::Unsupported(what) => what.fmt(f),
        }
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unsupported::Certificates => {
                "options cert-authority and principals= are not supported: no certificates yet"
            }
            Unsupported::Tunnel => "option tunnel= is not supported: no tun devices",
            Unsupported::VerifyRequired => {
                "option verify-required is not supported: no security keys yet"
            }
        })
    }
}
