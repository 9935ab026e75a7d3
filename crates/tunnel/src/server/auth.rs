//! Who may log in: the account that the server runs as, with a key of its authorized_keys.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_proto::key::PublicKey;
use adit_proto::peer_text;
use adit_proto::userauth::server::{AuthMethod, AuthRequest};
use log::{Level, info};
use nix::unistd::Uid;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

use super::Peer;
use super::gate::Visit;
use super::penalties::Cause;
use super::settings::ServerSettings;
use crate::authorized_keys::{self, Clock, KeyOptions, ReadError, UnixTime};
use crate::config::sshd_config::PermitRootLogin;
use crate::forward::descriptors::{Permit, Pool, Share};
use crate::net::{Handle, Incoming};
use crate::policy::Grant;
use crate::repeats::{FAILED_LOGINS, INVALID_USERS, TOO_MANY_FAILED_LOGINS};

/// Who logged in, and what it may do.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) grant: Grant,
    pub(super) peer: Option<SocketAddr>,
    /// What its sockets are taken from; logins with the same key have it together.
    pub(super) descriptors: Share,
    /// The place of the connection's own socket.
    pub(super) _socket: Permit,
}

impl Login {
    /// How messages name it: `user from 127.0.0.1:51000`.
    pub(super) fn who(&self) -> String {
        match self.peer {
            Some(peer) => format!("{} from {peer}", self.user),
            None => self.user.clone(),
        }
    }
}

/// The connection ended before a login.
#[derive(Debug)]
pub(super) struct NoLogin;

/// Refusals are answered so long after the request, or a multiple of it: how long the work took is not seen, and who
/// exists neither. OpenSSH waits as long.
const REFUSAL_DELAY: Duration = Duration::from_millis(5);

/// Answers authentication requests until one succeeds.
pub(super) async fn authenticate(
    handle: &Handle,
    incoming: &mut Receiver<Incoming>,
    settings: &ServerSettings,
    descriptors: &Pool,
    visit: &mut Visit,
) -> Result<Login, NoLogin> {
    let mut judge = Judge {
        handle,
        settings,
        peer: visit.peer,
        descriptors,
        visit,
        requests: 0,
        failures: 0,
        invalid_user: None,
    };
    while let Some(event) = incoming.recv().await {
        if let Incoming::AuthRequest(request) = event
            && let Some(login) = judge.decide(request).await?
        {
            return Ok(login);
        }
    }
    Err(NoLogin)
}

struct Judge<'a> {
    handle: &'a Handle,
    settings: &'a ServerSettings,
    peer: Option<SocketAddr>,
    descriptors: &'a Pool,
    visit: &'a mut Visit,
    requests: u32,
    failures: u32,
    /// Name of another account than ours that was asked for, and that the log has not named yet.
    invalid_user: Option<String>,
}

impl Judge<'_> {
    async fn decide(&mut self, request: AuthRequest) -> Result<Option<Login>, NoLogin> {
        let arrived = Instant::now();
        let user = request.user;
        self.requests += 1;
        if self.requests == 1 && user != self.settings.account.name {
            self.invalid_user = Some(user.clone());
        }
        // It asks which methods there are, and costs nothing, as in OpenSSH; a second one is an attempt like others.
        if self.requests == 1 && matches!(request.method, AuthMethod::None) {
            self.handle.reject_user().map_err(|_| NoLogin)?;
            return Ok(None);
        }
        self.note_attempt(&user);
        let method = match request.method {
            AuthMethod::None => "none".to_owned(),
            AuthMethod::Unsupported(name) => name,
            AuthMethod::KeyUnusable(why) => {
                let (name, peer) = (peer_text::name(&user), Peer(self.peer));
                let line = format_args!("key of {peer} for {name}: {why}");
                peer.log(Level::Info, "unusable keys", line);
                "publickey".to_owned()
            }
            AuthMethod::KeyQuery(key) => match self.authorize(&user, &key) {
                Some(_) => {
                    self.handle.confirm_key().map_err(|_| NoLogin)?;
                    return Ok(None);
                }
                None => "publickey".to_owned(),
            },
            AuthMethod::KeySigned(key) => match self.authorize(&user, &key) {
                Some(options) => return self.accept(user, &key, options).map(Some),
                None => "publickey".to_owned(),
            },
        };
        self.reject(&user, &method, arrived).await?;
        Ok(None)
    }

    /// Notes what the connection's address pays for if no login comes of it.
    fn note_attempt(&mut self, user: &str) {
        self.visit.blame(match user == self.settings.account.name {
            true => Cause::AuthFail,
            false => Cause::InvalidUser,
        });
    }

    fn accept(
        &mut self,
        user: String,
        key: &PublicKey,
        options: KeyOptions,
    ) -> Result<Login, NoLogin> {
        let fingerprint = key.fingerprint_sha256();
        let descriptors = self.descriptors.share(&format!("{user} {fingerprint}"));
        let socket = descriptors.take_for_login().map_err(|full| {
            let peer = Peer(self.peer);
            let line = format_args!("refused {user} from {peer}: {full}");
            peer.log(Level::Error, "logins beyond their key's share", line);
            self.handle.end(&full.to_string());
            self.visit.forgive();
            NoLogin
        })?;
        self.handle.accept_user().map_err(|_| NoLogin)?;
        info!(
            "Accepted publickey for {user} from {} ssh2: {} {fingerprint}",
            Peer(self.peer),
            key.key_type(),
        );
        let account = self.settings.account.privileges();
        Ok(Login {
            user,
            grant: Grant::new(self.settings.rules.clone(), options.rules, account),
            peer: self.peer,
            descriptors,
            _socket: socket,
        })
    }

    /// Counts an attempt against `MaxAuthTries`, and refuses it once the time for that has come.
    async fn reject(&mut self, user: &str, method: &str, arrived: Instant) -> Result<(), NoLogin> {
        self.failures += 1;
        let is_last = self.failures >= self.settings.max_auth_tries;
        self.log_invalid_user();
        self.log_failure(user, method, is_last);
        tokio::time::sleep_until(refusal_due(arrived, Instant::now())).await;
        if is_last {
            self.handle.end("Too many authentication failures");
            return Err(NoLogin);
        }
        self.handle.reject_user().map_err(|_| NoLogin)
    }

    /// Names an account that there is not, once. Not before an attempt was refused or the client has left: the answer to
    /// the first question leaves at once, and must not come later for that.
    fn log_invalid_user(&mut self) {
        let Some(user) = self.invalid_user.take() else {
            return;
        };
        let (name, peer) = (peer_text::name(&user), Peer(self.peer));
        let line = format_args!("Invalid user {name} from {peer}");
        if peer.log(Level::Info, INVALID_USERS, line) {
            let account = &self.settings.account.name;
            info!("this aditd runs as {account} and admits only that account");
        }
    }

    /// Log watchers, fail2ban for one, know these lines by OpenSSH's words, and by nothing else standing in them.
    fn log_failure(&self, user: &str, method: &str, is_last: bool) {
        let (name, peer) = (peer_text::name(user), Peer(self.peer));
        let invalid = match user == self.settings.account.name {
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

    /// The options of the line that lets this key in. The work is the same for every name: who may not log in is found out
    /// after the key was looked for.
    fn authorize(&self, user: &str, key: &PublicKey) -> Option<KeyOptions> {
        let account = &self.settings.account;
        let options = &self.settings.options;
        let found = self.find(key);
        let root_barred =
            account.is_root() && options.permit_root_login == Some(PermitRootLogin::No);
        let barred = user != account.name
            || root_barred
            || options.pubkey_authentication == Some(false)
            || !options.admits(user, self.address());
        found.filter(|_| !barred)
    }

    fn address(&self) -> Option<IpAddr> {
        self.peer.map(|peer| peer.ip().to_canonical())
    }

    /// The options of the key's line in the account's files.
    fn find(&self, key: &PublicKey) -> Option<KeyOptions> {
        let account = &self.settings.account;
        let options = &self.settings.options;
        let paths = match options.authorized_keys_paths(&account.name, account.uid, &account.home) {
            Ok(paths) => paths,
            Err(error) => {
                let line = format_args!("AuthorizedKeysFile: {error}");
                Peer(self.peer).log(Level::Warn, "unusable AuthorizedKeysFile", line);
                return None;
            }
        };
        let owner = Uid::from_raw(account.uid);
        let clock = Clock {
            now: now(),
            zone: &self.settings.zone,
        };
        paths.iter().find_map(|path| {
            let text =
                match authorized_keys::read(path, &account.home, owner, self.settings.strict_modes)
                {
                    Ok(text) => text,
                    Err(ReadError::Io { source, .. })
                        if source.kind() == std::io::ErrorKind::NotFound =>
                    {
                        return None;
                    }
                    Err(error) => {
                        let line = format_args!("Authentication refused: {error}");
                        Peer(self.peer).log(Level::Warn, "refused key files", line);
                        return None;
                    }
                };
            let lookup = authorized_keys::lookup(&text, key.blob(), clock, self.address());
            for skipped in &lookup.skipped {
                let (path, line, why) = (path.display(), skipped.line, &skipped.reason);
                let line = format_args!("{path}:{line}: key does not count: {why}");
                Peer(self.peer).log(Level::Info, "keys that do not count", line);
            }
            lookup.authorized.map(|authorized| authorized.options)
        })
    }
}

impl Drop for Judge<'_> {
    fn drop(&mut self) {
        self.log_invalid_user();
    }
}

/// The next multiple of the delay.
fn refusal_due(arrived: Instant, now: Instant) -> Instant {
    let delays = now.duration_since(arrived).as_millis() / REFUSAL_DELAY.as_millis();
    arrived + REFUSAL_DELAY * u32::try_from(delays + 1).unwrap_or(u32::MAX)
}

fn now() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use adit_proto::key::SigningKey;
    use adit_proto::message::userauth::Method;

    use super::*;
    use crate::config::sshd_config::ServerOptions;
    use crate::net::Ended;
    use crate::net::pair::ends;
    use crate::server::LocalAccount;
    use crate::server::gate::Gate;

    /// All that a client called `user` hears at a server of that account, and how it ends: it sends these requests behind
    /// the core's own `none`.
    async fn exchange(account: &str, requests: &[Method<'_>]) -> (Vec<String>, Ended) {
        let home = tempfile::tempdir().unwrap();
        let account = LocalAccount {
            name: account.into(),
            home: home.path().into(),
            ..LocalAccount::own().unwrap()
        };
        let options = ServerOptions {
            max_auth_tries: Some(3),
            ..ServerOptions::default()
        };
        let (settings, _) = ServerSettings::new(options, Vec::new(), account).unwrap();
        let ((client, mut incoming), (server, mut asked)) = ends();
        let (pool, settings) = (Pool::new(1000), Arc::new(settings));
        let visit = Gate::default().enter(None, &settings, std::time::Instant::now());
        let mut visit = visit.unwrap();
        let judging = authenticate(&server, &mut asked, &settings, &pool, &mut visit);
        let hearing = async {
            let mut heard = Vec::new();
            let mut requests = requests.iter();
            while let Some(event) = incoming.recv().await {
                match event {
                    Incoming::HostKey(_) => client.accept_host_key(),
                    Incoming::KeysChanged => {}
                    event => heard.push(format!("{event:?}")),
                }
                let is_answer = heard.last().is_some_and(|event| event.contains("Failure"));
                if is_answer && let Some(request) = requests.next() {
                    client.authenticate(request.clone()).unwrap();
                }
            }
            heard
        };
        let (login, heard) = tokio::join!(judging, hearing);
        assert!(login.is_err());
        (heard, client.why_ended())
    }

    #[tokio::test]
    async fn account_that_there_is_and_one_that_there_is_not_hear_the_same() {
        let key = SigningKey::generate_ed25519().unwrap();
        let query = Method::PublicKey {
            algorithm: "ssh-ed25519",
            key: key.public_key().blob(),
            signature: None,
        };
        let signed = Method::PublicKey {
            algorithm: "ssh-ed25519",
            key: key.public_key().blob(),
            signature: Some(b"no signature"),
        };
        let requests = [query, signed, Method::Password(b"guess")];
        let known = exchange("user", &requests).await;
        assert_eq!(known, exchange("another", &requests).await);
        assert_eq!(known.0.len(), 3, "{known:?}");
    }

    #[tokio::test]
    async fn none_is_an_attempt_unless_it_comes_first() {
        let (heard, ended) = exchange("user", &[const { Method::None }; 9]).await;
        assert_eq!(heard.len(), 3, "{heard:?}");
        assert!(ended.to_string().contains("Too many"), "{ended}");
    }

    #[tokio::test]
    async fn refusal_leaves_at_a_time_that_does_not_tell_how_long_the_work_took() {
        let arrived = Instant::now();
        for (work, delays) in [(0, 1), (1, 1), (4999, 1), (5000, 2), (12_345, 3)] {
            let now = arrived + Duration::from_micros(work);
            assert_eq!(refusal_due(arrived, now), arrived + REFUSAL_DELAY * delays);
        }
    }
}
