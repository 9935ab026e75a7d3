//! Outcomes of an attempt to connect, and their SOCKS replies.

use std::io;

use super::Version;
use crate::forward::dial::DialError;
use crate::net::outcome::{OpenError, Refusal};

/// Outcome of a request (RFC 1928 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Connected.
    Succeeded,
    /// Failed for a reason that no other outcome names.
    GeneralFailure,
    /// A rule forbids it.
    NotAllowed,
    /// No route to the host's network.
    NetworkUnreachable,
    /// The host does not answer, or its name has no address.
    HostUnreachable,
    /// The host refuses connections to the port.
    ConnectionRefused,
    /// The command is not supported.
    CommandNotSupported,
    /// The address type is not supported.
    AddressTypeNotSupported,
}

impl Version {
    /// Reply with the outcome of a request.
    ///
    /// Its bound address is 0.0.0.0:0, because the real one belongs to the far end of the tunnel.
    pub fn reply(self, outcome: Outcome) -> Vec<u8> {
        match (self, outcome) {
            (Self::V4, Outcome::Succeeded) => vec![0, 90, 0, 0, 0, 0, 0, 0],
            (Self::V4, _) => vec![0, 91, 0, 0, 0, 0, 0, 0],
            (Self::V5, _) => vec![5, outcome.v5_code(), 0, 1, 0, 0, 0, 0, 0, 0],
        }
    }
}

impl Outcome {
    /// The outcome of a refused channel: `reason` is the code of RFC 4254 §5.1, `description` the
    /// peer's text, which with OpenSSH is the system's message for a failed connect.
    pub fn of_open_failure(reason: u32, description: &str) -> Self {
        let says = |texts: &[&str]| texts.iter().any(|text| description.contains(text));
        match reason {
            1 => Self::NotAllowed,
            2 if says(&["refused"]) => Self::ConnectionRefused,
            2 if says(&["etwork is unreachable"]) => Self::NetworkUnreachable,
            2 if says(&UNREACHABLE_HOST) => Self::HostUnreachable,
            _ => Self::GeneralFailure,
        }
    }

    /// Outcome of a failed connect at this end.
    pub fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::ConnectionRefused,
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
                Self::NetworkUnreachable
            }
            io::ErrorKind::HostUnreachable | io::ErrorKind::TimedOut => Self::HostUnreachable,
            io::ErrorKind::PermissionDenied => Self::NotAllowed,
            _ => Self::GeneralFailure,
        }
    }

    /// Outcome of a target that was not reached from this end.
    pub(crate) fn of_dial(error: &DialError) -> Self {
        match error {
            DialError::Denied(_) => Self::NotAllowed,
            DialError::Resolve(_) => Self::HostUnreachable,
            DialError::Connect(error) => Self::of_io(error),
            DialError::Full(_) => Self::GeneralFailure,
        }
    }

    /// Outcome of a channel that was not opened.
    pub(crate) fn of_open(error: &OpenError) -> Self {
        match error {
            OpenError::Refused(Refusal { failure, .. }) => {
                Self::of_open_failure(failure.reason.0, &failure.description)
            }
            OpenError::Ended(_) => Self::GeneralFailure,
        }
    }

    fn v5_code(self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::GeneralFailure => 1,
            Self::NotAllowed => 2,
            Self::NetworkUnreachable => 3,
            Self::HostUnreachable => 4,
            Self::ConnectionRefused => 5,
            Self::CommandNotSupported => 7,
            Self::AddressTypeNotSupported => 8,
        }
    }
}

/// Error messages of systems and resolvers for a host that cannot be reached or found.
const UNREACHABLE_HOST: [&str; 6] = [
    "No route to host",
    "Host is unreachable",
    "timed out",
    "not known",
    "name resolution",
    "No address associated",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v5_codes_are_those_of_rfc_1928() {
        let codes = [
            (Outcome::Succeeded, 0),
            (Outcome::GeneralFailure, 1),
            (Outcome::NotAllowed, 2),
            (Outcome::NetworkUnreachable, 3),
            (Outcome::HostUnreachable, 4),
            (Outcome::ConnectionRefused, 5),
            (Outcome::CommandNotSupported, 7),
            (Outcome::AddressTypeNotSupported, 8),
        ];
        for (outcome, code) in codes {
            let reply = Version::V5.reply(outcome);
            assert_eq!(reply, [5, code, 0, 1, 0, 0, 0, 0, 0, 0], "{outcome:?}");
        }
    }

    #[test]
    fn v4_knows_granted_and_rejected() {
        assert_eq!(
            Version::V4.reply(Outcome::Succeeded),
            [0, 90, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            Version::V4.reply(Outcome::NotAllowed),
            [0, 91, 0, 0, 0, 0, 0, 0]
        );
    }

    #[test]
    fn texts_of_openssh_become_outcomes() {
        let cases = [
            (1, "administratively prohibited", Outcome::NotAllowed),
            (2, "Connection refused", Outcome::ConnectionRefused),
            (2, "Network is unreachable", Outcome::NetworkUnreachable),
            (2, "No route to host", Outcome::HostUnreachable),
            (2, "Connection timed out", Outcome::HostUnreachable),
            (2, "Name or service not known", Outcome::HostUnreachable),
            (
                2,
                "Temporary failure in name resolution",
                Outcome::HostUnreachable,
            ),
            (2, "open failed", Outcome::GeneralFailure),
            (4, "Connection refused", Outcome::GeneralFailure),
        ];
        for (reason, text, outcome) in cases {
            assert_eq!(
                Outcome::of_open_failure(reason, text),
                outcome,
                "{reason} {text}"
            );
        }
    }

    #[test]
    fn refused_connect_at_this_end_is_connection_refused_in_socks() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(Outcome::of_io(&refused), Outcome::ConnectionRefused);
        let odd = io::Error::other("odd");
        assert_eq!(Outcome::of_io(&odd), Outcome::GeneralFailure);
    }
}
