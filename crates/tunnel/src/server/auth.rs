//! Who may log in: the account that the server runs as, with a key of its authorized_keys.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use adit_proto::key::PublicKey;
use adit_proto::peer_text;
use adit_proto::userauth::server::{AuthMethod, AuthRequest};
use log::{error, info, warn};
use nix::unistd::Uid;
use tokio::sync::mpsc::Receiver;

use super::Peer;
use super::settings::ServerSettings;
use crate::authorized_keys::{self, Clock, KeyOptions, ReadError, UnixTime};
use crate::config::sshd_config::PermitRootLogin;
use crate::forward::descriptors::{Permit, Pool, Share};
use crate::net::{Handle, Incoming};
use crate::policy::Grant;

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

/// Told to whoever asks for another account; it does not say which one there is.
const OTHER_ACCOUNT: &str =
    "aditd: this server admits only the account that it runs as; log in as that user\r\n";

/// Answers authentication requests until one succeeds.
pub(super) async fn authenticate(
    handle: &Handle,
    incoming: &mut Receiver<Incoming>,
    settings: &ServerSettings,
    peer: Option<SocketAddr>,
    descriptors: &Pool,
) -> Result<Login, NoLogin> {
    let mut judge = Judge {
        handle,
        settings,
        peer,
        descriptors,
        failures: 0,
        told: false,
    };
    while let Some(event) = incoming.recv().await {
        if let Incoming::AuthRequest(request) = event
            && let Some(login) = judge.decide(request)?
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
    failures: u32,
    told: bool,
}

impl Judge<'_> {
    fn decide(&mut self, request: AuthRequest) -> Result<Option<Login>, NoLogin> {
        let user = request.user;
        match request.method {
            AuthMethod::None => self.reject(&user, None)?,
            AuthMethod::Unsupported(name) => self.reject(&user, Some(&name))?,
            AuthMethod::KeyUnusable(why) => {
                let (name, peer) = (peer_text::name(&user), Peer(self.peer));
                info!("key of {peer} for {name}: {why}");
                self.reject(&user, Some("publickey"))?;
            }
            AuthMethod::KeyQuery(key) => match self.authorize(&user, &key) {
                Some(_) => self.handle.confirm_key().map_err(|_| NoLogin)?,
                None => self.reject(&user, Some("publickey"))?,
            },
            AuthMethod::KeySigned(key) => match self.authorize(&user, &key) {
                Some(options) => return self.accept(user, &key, options).map(Some),
                None => self.reject(&user, Some("publickey"))?,
            },
        }
        Ok(None)
    }

    fn accept(&self, user: String, key: &PublicKey, options: KeyOptions) -> Result<Login, NoLogin> {
        let fingerprint = key.fingerprint_sha256();
        let descriptors = self.descriptors.share(&format!("{user} {fingerprint}"));
        let socket = descriptors.take(1).map_err(|full| {
            if let Some(unsaid) = descriptors.note_refusal(Instant::now()) {
                let peer = Peer(self.peer);
                error!("refused {user} from {peer}: {full} ({unsaid} more of this)");
            }
            self.handle.end(&full.to_string());
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

    /// Refuses; a real attempt counts against `MaxAuthTries`. Log watchers, fail2ban for one, know these lines by
    /// OpenSSH's words, and by nothing else standing in them.
    fn reject(&mut self, user: &str, method: Option<&str>) -> Result<(), NoLogin> {
        let (name, peer) = (peer_text::name(user), Peer(self.peer));
        let account = &self.settings.account.name;
        let invalid = match user == account {
            true => "",
            false => "invalid user ",
        };
        if user != account && !self.told {
            self.told = true;
            info!("Invalid user {name} from {peer}");
            info!("this aditd runs as {account} and admits only that account");
            self.handle.banner(OTHER_ACCOUNT).map_err(|_| NoLogin)?;
        }
        if let Some(method) = method {
            self.failures += 1;
            let method = peer_text::name(method);
            info!("Failed {method} for {invalid}{name} from {peer} ssh2");
        }
        if self.failures >= self.settings.max_auth_tries {
            error!("maximum authentication attempts exceeded for {invalid}{name} from {peer} ssh2");
            self.handle.end("Too many authentication failures");
            return Err(NoLogin);
        }
        self.handle.reject_user().map_err(|_| NoLogin)
    }

    /// The options of the line that lets this key in.
    fn authorize(&self, user: &str, key: &PublicKey) -> Option<KeyOptions> {
        let account = &self.settings.account;
        let options = &self.settings.options;
        let address = self.peer.map(|p| p.ip().to_canonical());
        let root_barred =
            account.is_root() && options.permit_root_login == Some(PermitRootLogin::No);
        if user != account.name
            || root_barred
            || options.pubkey_authentication == Some(false)
            || !options.admits(user, address)
        {
            return None;
        }
        let paths = match options.authorized_keys_paths(user, account.uid, &account.home) {
            Ok(paths) => paths,
            Err(error) => {
                warn!("AuthorizedKeysFile: {error}");
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
                        warn!("Authentication refused: {error}");
                        return None;
                    }
                };
            let lookup = authorized_keys::lookup(&text, key.blob(), clock, address);
            for skipped in &lookup.skipped {
                info!(
                    "{}:{}: key does not count: {}",
                    path.display(),
                    skipped.line,
                    skipped.reason
                );
            }
            lookup.authorized.map(|authorized| authorized.options)
        })
    }
}

fn now() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
