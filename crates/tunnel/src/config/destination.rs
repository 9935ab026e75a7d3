//! Destination of a connection: `[user@]host[:port]` and `ssh://[user@]host[:port]`.

use std::fmt;

use super::values::port;

const EXPECTED: &str = "[user@]host[:port] or ssh://[user@]host[:port]";

/// A host, and perhaps a user and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The user, if one is named.
    pub user: Option<String>,
    /// A name or an address, brackets removed.
    pub host: String,
    /// The port, if one is named.
    pub port: Option<u16>,
}

impl Destination {
    /// Reads the destination of the command line: `[user@]host`, or an `ssh://` URI.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text.strip_prefix("ssh://") {
            Some(uri) => Self::parse_uri(uri),
            None => {
                let (user, host) = split_user(text);
                Self::checked(user.map(str::to_owned), host.to_owned(), None)
            }
        }
    }

    /// Reads one hop of `ProxyJump`: `[user@]host[:port]`, or an `ssh://` URI.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse_hop(text: &str) -> Result<Self, &'static str> {
        if let Some(uri) = text.strip_prefix("ssh://") {
            return Self::parse_uri(uri);
        }
        let (user, rest) = split_user(text);
        let (host, port) = split_port(rest)?;
        Self::checked(user.map(str::to_owned), host.to_owned(), port)
    }

    fn parse_uri(uri: &str) -> Result<Self, &'static str> {
        let (user, rest) = split_user(uri.strip_suffix('/').unwrap_or(uri));
        let user = user
            .map(|user| percent_decoded(user).ok_or(EXPECTED))
            .transpose()?;
        let (host, port) = split_port(rest)?;
        Self::checked(user, host.to_owned(), port)
    }

    fn checked(
        user: Option<String>,
        host: String,
        port: Option<u16>,
    ) -> Result<Self, &'static str> {
        if let Some(user) = &user {
            check_user(user)?;
        }
        check_host(&host)?;
        Ok(Self { user, host, port })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match (self.host.contains(':'), self.port) {
            (true, _) => write!(f, "[{}]", self.host)?,
            (false, _) => f.write_str(&self.host)?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Refuses a user name that a shell or a terminal would take for something else.
///
/// # Errors
/// What was expected.
pub fn check_user(user: &str) -> Result<(), &'static str> {
    let bad = |c: char| c.is_control() || "'`\";&<>|(){}".contains(c);
    // A dash after a blank would be an option.
    let option = user.starts_with('-') || {
        let pairs = user.chars().zip(user.chars().skip(1));
        pairs
            .into_iter()
            .any(|(a, b)| a.is_whitespace() && b == '-')
    };
    if user.is_empty() || option || user.ends_with('\\') || user.contains(bad) {
        return Err("a user name without shell or control characters");
    }
    Ok(())
}

/// Refuses a host name that a shell or a terminal would take for something else.
///
/// # Errors
/// What was expected.
pub fn check_host(host: &str) -> Result<(), &'static str> {
    let bad = |c: char| c.is_control() || c.is_whitespace() || "'`\"$\\;&<>|(){},/".contains(c);
    if host.is_empty() || host.starts_with('-') || host.contains(bad) {
        return Err("a host name without shell or control characters");
    }
    Ok(())
}

/// Splits at the last `@`: user names may hold one.
fn split_user(text: &str) -> (Option<&str>, &str) {
    match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, text),
    }
}

/// Splits `host`, `host:port`, `[host]` or `[host]:port`; several colons are an address alone.
fn split_port(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, after) = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').ok_or(EXPECTED)?,
        None if text.matches(':').count() == 1 => {
            text.split_at(text.find(':').unwrap_or(text.len()))
        }
        None => (text, ""),
    };
    match after.strip_prefix(':') {
        Some(word) => Ok((host, Some(port(word)?))),
        None if after.is_empty() => Ok((host, None)),
        None => Err(EXPECTED),
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_read_and_printed() {
        let table = [
            ("h", "h"),
            ("u@h", "u@h"),
            ("u@h:2222", "u@h:2222"),
            ("a@b@h", "a@b@h"),
            ("[::1]:22", "[::1]:22"),
            ("[h]:22", "h:22"),
            ("::1", "[::1]"),
            ("ssh://u@h:2223", "u@h:2223"),
            ("ssh://h/", "h"),
            ("ssh://u%40x@h", "u@x@h"),
            ("ssh://[::1]:22", "[::1]:22"),
        ];
        for (text, expected) in table {
            let hop = Destination::parse_hop(text).map(|hop| hop.to_string());
            assert_eq!(hop.as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_destination_is_refused() {
        for text in [
            "",
            "@h",
            "u@",
            "h:",
            "h:0",
            "h:x",
            "[::1",
            "[::1]x",
            "-oProxyCommand=x",
            "u@-x",
            "u -x@h",
            "$(x)@h",
            "a b",
            "$(x)",
            "`x`@h",
            "ssh://h/path",
            "ssh://u%4@h",
            "ssh://u%ff@h",
            "ssh://",
            "h\n",
        ] {
            assert!(Destination::parse_hop(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_line_takes_a_colon_as_part_of_the_name() {
        let read = Destination::parse("u@fe80::1").unwrap();
        assert_eq!((read.host.as_str(), read.port), ("fe80::1", None));
        assert_eq!(Destination::parse("ssh://h:22").unwrap().port, Some(22));
    }
}
