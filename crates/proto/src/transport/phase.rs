//! The one place that says which message is legal when (RFC 4253 §7.1, §10; OpenSSH PROTOCOL §1.10).

use crate::error::Misbehaviour;
use crate::message::{Category, category};

/// How far the transport is, as far as legality goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before the first NEWKEYS of the peer.
    FirstExchange {
        /// Strict key exchange: nothing but the exchange itself. An injected IGNORE is how packets get lost unseen.
        strict: bool,
    },
    /// The peer has sent KEXINIT and not yet NEWKEYS.
    Exchange,
    /// Keys are in place.
    Settled,
}

/// How far the connection is, above the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before the authentication succeeded.
    Authenticating,
    /// After it.
    Connected,
}

impl Phase {
    /// Whether a message is legal.
    pub(crate) fn check(self, number: u8, stage: Stage) -> Result<(), Misbehaviour> {
        let legal = match (category(number), self) {
            (Category::Disconnect, _) => true,
            (Category::Transport, Phase::FirstExchange { strict }) => !strict,
            (Category::Transport, _) => true,
            (Category::KexInit, Phase::Exchange) => false,
            // A second KEXINIT of the first exchange is caught where the exchange knows what it waits for.
            (Category::KexInit, _) => true,
            (Category::Kex, Phase::FirstExchange { .. } | Phase::Exchange) => true,
            (Category::Kex, Phase::Settled) => false,
            (Category::Service | Category::Userauth, Phase::Settled) => {
                stage == Stage::Authenticating
            }
            (Category::ExtInfo, Phase::Settled) => stage == Stage::Authenticating,
            // RFC 4253 §7.1 forbids them between the peer's KEXINIT and its NEWKEYS; paramiko sends answers there all
            // the same, OpenSSH takes them, and they are as encrypted and authentic as any.
            (Category::Connection, Phase::Settled | Phase::Exchange) => stage == Stage::Connected,
            // UNIMPLEMENTED is the answer, once there are keys.
            (Category::Unknown, Phase::Settled) => true,
            (_, Phase::FirstExchange { .. } | Phase::Exchange) => false,
        };
        match legal {
            true => Ok(()),
            false => Err(Misbehaviour::UnexpectedMessage(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::number::*;

    const FIRST: Phase = Phase::FirstExchange { strict: true };

    #[test]
    fn strict_first_exchange_takes_nothing_but_the_exchange() {
        for legal in [KEXINIT, KEX_ECDH_REPLY, NEWKEYS, DISCONNECT] {
            assert_eq!(FIRST.check(legal, Stage::Authenticating), Ok(()));
        }
        for illegal in [
            IGNORE,
            DEBUG,
            UNIMPLEMENTED,
            EXT_INFO,
            SERVICE_REQUEST,
            CHANNEL_DATA,
            200,
        ] {
            assert!(FIRST.check(illegal, Stage::Authenticating).is_err());
        }
    }

    #[test]
    fn channels_wait_for_authentication() {
        for number in [GLOBAL_REQUEST, CHANNEL_OPEN, CHANNEL_DATA, PING] {
            assert!(Phase::Settled.check(number, Stage::Authenticating).is_err());
            assert!(Phase::Settled.check(number, Stage::Connected).is_ok());
        }
    }

    #[test]
    fn authentication_is_over_once_connected() {
        for number in [
            USERAUTH_REQUEST,
            SERVICE_REQUEST,
            USERAUTH_SUCCESS,
            EXT_INFO,
        ] {
            assert!(Phase::Settled.check(number, Stage::Connected).is_err());
        }
    }

    #[test]
    fn second_kexinit_during_an_exchange_is_refused_and_channel_messages_are_not() {
        assert!(Phase::Exchange.check(KEXINIT, Stage::Connected).is_err());
        assert!(
            Phase::Exchange
                .check(CHANNEL_DATA, Stage::Connected)
                .is_ok()
        );
        assert!(
            Phase::Exchange
                .check(CHANNEL_DATA, Stage::Authenticating)
                .is_err()
        );
        assert!(Phase::Exchange.check(IGNORE, Stage::Connected).is_ok());
    }
}
