//! Phase gate: the one place that decides which message is legal when (RFC 4253 §7.1, §10; OpenSSH PROTOCOL §1.10).

use crate::Side;
use crate::error::Misbehaviour;
use crate::message::{Category, category, number};

/// Phase of the transport, as far as it decides which messages are legal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Before the first NEWKEYS of the peer.
    FirstExchange {
        /// Strict key exchange: only messages of the exchange are legal. An injected IGNORE would let an attacker
        /// remove a packet unnoticed.
        strict: bool,
    },
    /// The peer has sent KEXINIT and not yet NEWKEYS.
    Exchange,
    /// No key exchange of the peer is running.
    Settled,
}

/// Stage of the connection above the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before authentication succeeded.
    Authenticating,
    /// After authentication succeeded.
    Connected,
}

/// Treatment of a legal message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageAction {
    Handle,
    /// The message is dropped without an answer.
    Ignore,
}

impl Phase {
    /// Checks that a message to `side` is legal.
    pub(crate) fn check(
        self,
        number: u8,
        stage: Stage,
        side: Side,
    ) -> Result<MessageAction, Misbehaviour> {
        if self.ignores(number, stage, side) {
            return Ok(MessageAction::Ignore);
        }
        match self.is_legal(number, stage) {
            true => Ok(MessageAction::Handle),
            false => Err(Misbehaviour::UnexpectedMessage(number)),
        }
    }

    fn ignores(self, number: u8, stage: Stage, side: Side) -> bool {
        match (number, stage, self) {
            // The client had not read our USERAUTH_SUCCESS yet (RFC 4252 §5.1).
            (number::USERAUTH_REQUEST, Stage::Connected, Phase::Settled) => side == Side::Server,
            // Harmless, but unauthenticated peers get no work done: OpenSSH's answers were CVE-2025-26466.
            (number::PING, Stage::Authenticating, Phase::Settled | Phase::Exchange) => true,
            _ => false,
        }
    }

    fn is_legal(self, number: u8, stage: Stage) -> bool {
        match (category(number), self) {
            (Category::Disconnect, _) => true,
            (Category::Transport, Phase::FirstExchange { strict }) => !strict,
            (Category::Transport, _) => true,
            (Category::KexInit, Phase::Exchange) => false,
            // The key exchange itself detects a second KEXINIT of the first exchange.
            (Category::KexInit, Phase::FirstExchange { .. }) => true,
            // New keys are not needed before the login, and a key exchange is work for an unauthenticated peer. OpenSSH
            // neither begins nor accepts one before it, in either role.
            (Category::KexInit, Phase::Settled) => stage == Stage::Connected,
            (Category::Kex, Phase::FirstExchange { .. } | Phase::Exchange) => true,
            (Category::Kex, Phase::Settled) => false,
            (Category::Service | Category::Userauth, Phase::Settled) => {
                stage == Stage::Authenticating
            }
            (Category::ExtInfo, Phase::Settled) => stage == Stage::Authenticating,
            // RFC 4253 §7.1 forbids them between the peer's KEXINIT and its NEWKEYS. paramiko still sends answers
            // there, OpenSSH accepts them, and they are encrypted and authenticated like all others.
            (Category::Connection, Phase::Settled | Phase::Exchange) => stage == Stage::Connected,
            // UNIMPLEMENTED is the answer once there are keys.
            (Category::Unknown, Phase::Settled) => true,
            (_, Phase::FirstExchange { .. } | Phase::Exchange) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::number::*;

    const FIRST: Phase = Phase::FirstExchange { strict: true };

    /// Result of the check, which must be the same for both roles.
    fn check(phase: Phase, number: u8, stage: Stage) -> Result<MessageAction, Misbehaviour> {
        let [server, client] = [Side::Server, Side::Client].map(|s| phase.check(number, stage, s));
        assert_eq!(server, client);
        server
    }

    #[test]
    fn strict_first_exchange_permits_only_messages_of_the_exchange() {
        for legal in [KEXINIT, KEX_ECDH_REPLY, NEWKEYS, DISCONNECT] {
            let action = check(FIRST, legal, Stage::Authenticating);
            assert_eq!(action, Ok(MessageAction::Handle));
        }
        for illegal in [
            IGNORE,
            DEBUG,
            UNIMPLEMENTED,
            EXT_INFO,
            PING,
            SERVICE_REQUEST,
            CHANNEL_DATA,
            200,
        ] {
            assert!(check(FIRST, illegal, Stage::Authenticating).is_err());
        }
    }

    #[test]
    fn channel_messages_are_illegal_before_authentication() {
        for number in [GLOBAL_REQUEST, CHANNEL_OPEN, CHANNEL_DATA, PONG] {
            assert!(check(Phase::Settled, number, Stage::Authenticating).is_err());
            assert!(check(Phase::Settled, number, Stage::Connected).is_ok());
        }
    }

    #[test]
    fn authentication_messages_are_illegal_after_the_login() {
        for number in [SERVICE_REQUEST, USERAUTH_SUCCESS, EXT_INFO] {
            assert!(check(Phase::Settled, number, Stage::Connected).is_err());
        }
    }

    #[test]
    fn later_key_exchange_is_illegal_before_the_login() {
        assert!(check(FIRST, KEXINIT, Stage::Authenticating).is_ok());
        assert!(check(Phase::Settled, KEXINIT, Stage::Authenticating).is_err());
        assert!(check(Phase::Settled, KEXINIT, Stage::Connected).is_ok());
    }

    #[test]
    fn second_kexinit_during_an_exchange_is_illegal_and_channel_messages_are_legal() {
        assert!(check(Phase::Exchange, KEXINIT, Stage::Connected).is_err());
        assert!(check(Phase::Exchange, CHANNEL_DATA, Stage::Connected).is_ok());
        assert!(check(Phase::Exchange, CHANNEL_DATA, Stage::Authenticating).is_err());
        assert!(check(Phase::Exchange, IGNORE, Stage::Connected).is_ok());
    }

    #[test]
    fn userauth_request_after_success_is_ignored_by_servers_only() {
        let check = |phase: Phase, side| phase.check(USERAUTH_REQUEST, Stage::Connected, side).ok();
        assert_eq!(
            check(Phase::Settled, Side::Server),
            Some(MessageAction::Ignore)
        );
        assert_eq!(check(Phase::Settled, Side::Client), None);
        assert_eq!(check(Phase::Exchange, Side::Server), None, "after KEXINIT");
    }

    #[test]
    fn ping_before_the_login_is_ignored() {
        let early = check(Phase::Settled, PING, Stage::Authenticating);
        assert_eq!(early, Ok(MessageAction::Ignore));
        let late = check(Phase::Settled, PING, Stage::Connected);
        assert_eq!(late, Ok(MessageAction::Handle));
    }
}
