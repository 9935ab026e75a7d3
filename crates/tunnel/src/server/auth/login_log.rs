//! Log lines of a login. Log watchers such as fail2ban recognize some of them by OpenSSH's exact text.

use adit_proto::key::PublicKey;
use adit_proto::peer_text;
use log::{Level, info};

use super::key_search::Remark;
use crate::forward::descriptors::Full;
use crate::net::listener::describe;
use crate::repeats::{FAILED_LOGINS, INVALID_USERS, TOO_MANY_FAILED_LOGINS};
use crate::server::Peer;

/// The log of one connection's login.
#[derive(Debug)]
pub(super) struct LoginLog<'a> {
    peer: Peer,
    /// Name of our account.
    account: &'a str,
    /// Name of another account that the client asked for, until it is logged.
    invalid_user: Option<String>,
}

impl<'a> LoginLog<'a> {
    pub(super) fn new(peer: Peer, account: &'a str) -> Self {
        Self {
            peer,
            account,
            invalid_user: None,
        }
    }

    /// Notes the user name of the first request.
    pub(super) fn first_request(&mut self, user: &str) {
        if user != self.account {
            self.invalid_user = Some(user.to_owned());
        }
    }

    /// Logs a successful login.
    pub(super) fn accepted(&self, user: &str, key: &PublicKey) {
        let (peer, kind, fingerprint) = (self.peer, key.key_type(), key.fingerprint_sha256());
        info!("Accepted publickey for {user} from {peer} ssh2: {kind} {fingerprint}");
    }

    /// Logs a failed attempt; after the last one, that there were too many.
    pub(super) fn failed(&mut self, user: &str, method: &str, is_last: bool) {
        self.name_invalid_user();
        let (name, peer) = (peer_text::name(user), self.peer);
        let invalid = match user == self.account {
            true => "",
            false => "invalid user ",
        };
        let method = peer_text::name(method);
        let line = format_args!("Failed {method} for {invalid}{name} from {peer} ssh2");
        peer.log(Level::Info, FAILED_LOGINS, line);
        if is_last {
            let line = format_args!(
                "maximum authentication attempts exceeded for {invalid}{name} from {peer} ssh2"
            );
            peer.log(Level::Error, TOO_MANY_FAILED_LOGINS, line);
        }
    }

    /// Logs why a key cannot be used.
    pub(super) fn unusable_key(&self, user: &str, why: &str) {
        let (name, peer) = (peer_text::name(user), self.peer);
        let line = format_args!("key of {peer} for {name}: {why}");
        peer.log(Level::Info, "unusable keys", line);
    }

    /// Logs that a login is refused because the share of its key is full.
    pub(super) fn full(&self, user: &str, full: &Full) {
        let peer = self.peer;
        let line = format_args!("refused {user} from {peer}: {full}");
        peer.log(Level::Error, "logins beyond their key's share", line);
    }

    /// Logs which files and lines did not count for a key.
    pub(super) fn remarks(&self, remarks: &[Remark]) {
        remarks.iter().for_each(|remark| self.remark(remark));
    }

    fn remark(&self, remark: &Remark) {
        let (level, kind, line) = match remark {
            Remark::BadName(error) => {
                let line = format!("AuthorizedKeysFile: {error}");
                (Level::Warn, "unusable AuthorizedKeysFile", line)
            }
            Remark::Unread(error) => {
                let line = format!("Authentication refused: {error}");
                (Level::Warn, "refused key files", line)
            }
            Remark::Passed(path, skipped) => {
                let (path, line, why) = (path.display(), skipped.line, &skipped.reason);
                let line = format!("{path}:{line}: key does not count: {why}");
                (Level::Info, "keys that do not count", line)
            }
            Remark::Failed(error) => {
                let line = format!("cannot look for a key: {}", describe(error));
                (Level::Error, "searches for keys that failed", line)
            }
        };
        self.peer.log(level, kind, format_args!("{line}"));
    }

    /// Logs the name of an account that does not exist, once. That is after the first refusal or after the client has
    /// left, so that the answer to the first request is not delayed.
    fn name_invalid_user(&mut self) {
        let Some(user) = self.invalid_user.take() else {
            return;
        };
        let (name, peer) = (peer_text::name(&user), self.peer);
        let line = format_args!("Invalid user {name} from {peer}");
        if peer.log(Level::Info, INVALID_USERS, line) {
            let account = self.account;
            info!("this aditd runs as {account} and admits only that account");
        }
    }
}

impl Drop for LoginLog<'_> {
    fn drop(&mut self) {
        self.name_invalid_user();
    }
}
