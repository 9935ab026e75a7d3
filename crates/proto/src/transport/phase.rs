//! The one place that says which message is legal when (RFC 4253 §7.1, §10; OpenSSH PROTOCOL §1.10).

use crate::Side;
use crate::error::Misbehaviour;
use crate::message::{Category, category, number};

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

/// What becomes of a message that is no mistake of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Handle,
    /// It is neither read nor answered.
    Ignore,
}

impl Phase {
    /// Whether a message to `side` is legal.
    pub(crate) fn check(
        self,
        number: u8,
        stage: Stage,
        side: Side,
    ) -> Result<Verdict, Misbehaviour> {
        if self.ignores(number, stage, side) {
            return Ok(Verdict::Ignore);
        }
        match self.is_legal(number, stage) {
            true => Ok(Verdict::Handle),
            false => Err(Misbehaviour::UnexpectedMessage(number)),
        }
    }

    fn ignores(self, number: u8, stage: Stage, side: Side) -> bool {
        match (number, stage, self) {
            // The client had not read our SUCCESS yet (RFC 4252 §5.1).
            (number::USERAUTH_REQUEST, Stage::Connected, Phase::Settled) => side == Side::Server,
            // Harmless, and no reason to work for a stranger: OpenSSH's answers were CVE-2025-26466.
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
            // A second KEXINIT of the first exchange is caught where the exchange knows what it waits for.
            (Category::KexInit, Phase::FirstExchange { .. }) => true,
            // Nobody needs new keys before the login, and every exchange is work for a stranger: OpenSSH, too, begins none
            // before, and takes none in either role.
            (Category::KexInit, Phase::Settled) => stage == Stage::Connected,
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::number::*;

    const FIRST: Phase = Phase::FirstExchange { strict: true };

    /// What both sides say, where they agree.
    fn check(phase: Phase, number: u8, stage: Stage) -> Result<Verdict, Misbehaviour> {
        let [server, client] = [Side::Server, Side::Client].map(|s| phase.check(number, stage, s));
        assert_eq!(server, client);
        server
    }

    #[test]
    fn strict_first_exchange_takes_nothing_but_the_exchange() {
        for legal in [KEXINIT, KEX_ECDH_REPLY, NEWKEYS, DISCONNECT] {
            let verdict = check(FIRST, legal, Stage::Authenticating);
            assert_eq!(verdict, Ok(Verdict::Handle));
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
    fn channels_wait_for_authentication() {
        for number in [GLOBAL_REQUEST, CHANNEL_OPEN, CHANNEL_DATA, PONG] {
            assert!(check(Phase::Settled, number, Stage::Authenticating).is_err());
            assert!(check(Phase::Settled, number, Stage::Connected).is_ok());
        }
    }

    #[test]
    fn authentication_is_over_once_connected() {
        for number in [SERVICE_REQUEST, USERAUTH_SUCCESS, EXT_INFO] {
            assert!(check(Phase::Settled, number, Stage::Connected).is_err());
        }
    }

    #[test]
    fn new_keys_wait_for_the_login() {
        assert!(check(FIRST, KEXINIT, Stage::Authenticating).is_ok());
        assert!(check(Phase::Settled, KEXINIT, Stage::Authenticating).is_err());
        assert!(check(Phase::Settled, KEXINIT, Stage::Connected).is_ok());
    }

    #[test]
    fn second_kexinit_during_an_exchange_is_refused_and_channel_messages_are_not() {
        assert!(check(Phase::Exchange, KEXINIT, Stage::Connected).is_err());
        assert!(check(Phase::Exchange, CHANNEL_DATA, Stage::Connected).is_ok());
        assert!(check(Phase::Exchange, CHANNEL_DATA, Stage::Authenticating).is_err());
        assert!(check(Phase::Exchange, IGNORE, Stage::Connected).is_ok());
    }

    #[test]
    fn request_behind_our_success_is_ignored_by_servers_only() {
        let check = |phase: Phase, side| phase.check(USERAUTH_REQUEST, Stage::Connected, side).ok();
        assert_eq!(check(Phase::Settled, Side::Server), Some(Verdict::Ignore));
        assert_eq!(check(Phase::Settled, Side::Client), None);
        assert_eq!(check(Phase::Exchange, Side::Server), None, "after KEXINIT");
    }

    #[test]
    fn ping_before_the_login_is_ignored() {
        let early = check(Phase::Settled, PING, Stage::Authenticating);
        assert_eq!(early, Ok(Verdict::Ignore));
        let late = check(Phase::Settled, PING, Stage::Connected);
        assert_eq!(late, Ok(Verdict::Handle));
    }
}
