//! Guesses at what was meant by a destination that leads nowhere, from how it was typed.

/// The guess about a name that does not resolve.
pub(super) fn unresolved(host: &str) -> Option<String> {
    match with_port(host) {
        Some((host, port)) => Some(format!("a port is an option: -p {port} {host}")),
        None => like_a_command(host),
    }
}

/// The guess about a word that may have been meant as a command: no host of the configuration, no address, no domain.
pub(super) fn like_a_command(word: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b == b'-';
    let is_one = !word.is_empty() && word.bytes().all(plain) && word != "localhost";
    is_one.then(|| {
        format!(
            "'{word}' is taken for the name of a host: is it one? adit --help shows what there is"
        )
    })
}

/// `host:port` in two, where ssh and adit take it for a name.
fn with_port(word: &str) -> Option<(&str, u16)> {
    let (host, port) = word.split_once(':')?;
    let port = port.parse().ok().filter(|&port| port != 0)?;
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_behind_a_name_is_pointed_at() {
        let hint = unresolved("example.com:22").unwrap();
        assert_eq!(hint, "a port is an option: -p 22 example.com");
        for host in ["example.com", ":22", "h:", "h:ssh", "h:0", "::1", "h:22:22"] {
            assert_eq!(unresolved(host), None, "{host}");
        }
    }

    #[test]
    fn words_like_commands_are_pointed_at() {
        for word in ["help", "list", "dry-run"] {
            assert!(unresolved(word).unwrap().contains("--help"), "{word}");
        }
        for host in ["db1", "example.com", "localhost", "127.0.0.1", "Help"] {
            assert_eq!(unresolved(host), None, "{host}");
        }
    }
}
