//! The login: the conversation with a client until it is logged in, or its connection ends.
//!
//! ```text
//!   authenticate ─▶ Conversation::decide ─▶ authorizer ─▶ readers ─▶ key_search
//!                   (one request)           (may it?)     (a thread) (the files)
//! ```

mod authorizer;
mod key_search;
mod login_log;

use std::net::SocketAddr;
use std::time::Duration;

use adit_proto::key::PublicKey;
use adit_proto::userauth::proof::VerifiedKey;
use adit_proto::userauth::server::AuthMethod;
use log::debug;
use tokio::time::Instant;

use super::gate::Visit;
use super::penalties::Cause;
use super::settings::ServerSettings;
use super::{Commons, Peer};
use crate::authorized_keys::KeyOptions;
use crate::forward::descriptors::{Permit, Share};
use crate::net::ServerLogin;
use crate::net::listener::describe;
use crate::net::login::{LoginRequest, LoginSuccess, PendingAnswer};
use crate::policy::Grant;
use crate::session::remote::policy::SessionGrant;
use crate::small_file;

use authorizer::Authorizer;
use login_log::LoginLog;

/// A login: its user, and the grant.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) grant: Grant,
    /// Rules for its sessions.
    pub(super) sessions: SessionGrant,
    pub(super) peer: Option<SocketAddr>,
    /// Our end of the connection, where it is known.
    pub(super) local: Option<SocketAddr>,
    /// Share of its sockets; logins with the same key have the same one.
    pub(super) descriptors: Share,
    /// Permit for the connection's own socket.
    pub(super) _socket: Permit,
}

impl Login {
    /// Name in messages: `user from 127.0.0.1:51000`.
    pub(super) fn who(&self) -> String {
        match self.peer {
            Some(peer) => format!("{} from {peer}", self.user),
            None => self.user.clone(),
        }
    }
}

/// Error of a connection that ended before a login.
#[derive(Debug)]
pub(super) struct NoLogin;

/// Time from a request to its refusal, or a multiple of it. It hides how long the work took, and so whether the user
/// exists. OpenSSH waits as long.
const REFUSAL_DELAY: Duration = Duration::from_millis(5);

/// The longest banner, in bytes.
const MAX_BANNER: u64 = 64 << 10;

/// Answers authentication requests until one succeeds.
pub(super) async fn authenticate(
    login: &mut ServerLogin,
    settings: &ServerSettings,
    commons: &Commons,
    visit: &mut Visit,
) -> Result<(Login, LoginSuccess), NoLogin> {
    let peer = visit.peer;
    let mut conversation = Conversation {
        settings,
        commons,
        authorizer: Authorizer {
            account: settings.account.clone(),
            rules: settings.logins.clone(),
            address: peer.map(|peer| peer.ip().to_canonical()),
            readers: &commons.readers,
        },
        log: LoginLog::new(Peer(peer), &settings.account.name),
        visit,
        requests: 0,
        failures: 0,
    };
    while let Some(request) = login.next().await {
        if let Some(in_now) = conversation.decide(request).await? {
            return Ok(in_now);
        }
    }
    Err(NoLogin)
}

struct Conversation<'a> {
    settings: &'a ServerSettings,
    commons: &'a Commons,
    authorizer: Authorizer<'a>,
    log: LoginLog<'a>,
    visit: &'a mut Visit,
    requests: u32,
    failures: u32,
}

impl Conversation<'_> {
    /// Answers one request; returns the login if it succeeds.
    async fn decide(
        &mut self,
        request: LoginRequest<'_>,
    ) -> Result<Option<(Login, LoginSuccess)>, NoLogin> {
        let arrived = Instant::now();
        let LoginRequest {
            user,
            method,
            answer,
        } = request;
        self.requests += 1;
        if self.requests == 1 {
            self.log.first_request(&user);
            self.show_banner(&answer).await?;
        }
        // It asks for the list of methods, and is no attempt, as in OpenSSH. A second one is an attempt.
        if self.requests == 1 && matches!(method, AuthMethod::None) {
            answer.reject().map_err(|_| NoLogin)?;
            return Ok(None);
        }
        self.note_attempt(&user);
        let method = match method {
            AuthMethod::None => "none".to_owned(),
            AuthMethod::Unsupported(name) => name,
            AuthMethod::KeyUnusable(why) => {
                self.log.unusable_key(&user, &why.to_string());
                "publickey".to_owned()
            }
            AuthMethod::KeyQuery(query) => match self.authorize(&user, query.key()).await {
                Some(_) => {
                    answer.confirm_key(&query).map_err(|_| NoLogin)?;
                    return Ok(None);
                }
                None => "publickey".to_owned(),
            },
            AuthMethod::KeySigned(proof) => match self.authorize(&user, proof.key()).await {
                Some(options) => return self.accept(answer, proof, options).map(Some),
                None => "publickey".to_owned(),
            },
        };
        self.reject(answer, &user, &method, arrived).await?;
        Ok(None)
    }

    /// Shows the text that comes before every login, where there is one to read.
    async fn show_banner(&self, answer: &PendingAnswer<'_>) -> Result<(), NoLogin> {
        let Some(file) = self.settings.banner.clone() else {
            return Ok(());
        };
        let read = move || small_file::read(&file, MAX_BANNER);
        let text = self.commons.readers.run(read).await.and_then(|read| read);
        match text {
            Ok(text) => {
                let text = String::from_utf8_lossy(&text);
                answer.banner(&text).map_err(|_| NoLogin)
            }
            Err(error) => {
                debug!("cannot read the Banner: {}", describe(&error));
                Ok(())
            }
        }
    }

    /// Notes the cause of the penalty that the connection's address gets if it does not log in.
    fn note_attempt(&mut self, user: &str) {
        self.visit.blame(match user == self.settings.account.name {
            true => Cause::AuthFail,
            false => Cause::InvalidUser,
        });
    }

    /// Options of the line that lets `user` in with this key.
    ///
    /// The client's next packets are not read before the answer, so its departure is not noticed. `LoginGraceTime`
    /// limits the wait for a disk that does not answer.
    async fn authorize(&self, user: &str, key: &PublicKey) -> Option<KeyOptions> {
        let found = self.authorizer.authorize(user, key).await;
        self.log.remarks(&found.remarks);
        found.options
    }

    fn accept(
        &mut self,
        answer: PendingAnswer<'_>,
        proof: VerifiedKey,
        options: KeyOptions,
    ) -> Result<(Login, LoginSuccess), NoLogin> {
        let (user, key) = (proof.user().to_owned(), proof.key().clone());
        let holder = format!("{user} {}", key.fingerprint_sha256());
        let descriptors = self.commons.descriptors.share(&holder);
        let socket = match descriptors.take_for_login() {
            Ok(socket) => socket,
            Err(full) => {
                self.log.full(&user, &full);
                answer.end(&full.to_string());
                self.visit.forgive();
                return Err(NoLogin);
            }
        };
        let success = answer.accept(proof).map_err(|_| NoLogin)?;
        self.log.accepted(&user, &key);
        let account = self.settings.account.privileges();
        let login = Login {
            user,
            grant: Grant::new(self.settings.rules.clone(), options.rules.clone(), account),
            sessions: SessionGrant::new(self.settings.sessions.clone(), options),
            peer: self.visit.peer,
            local: None,
            descriptors,
            _socket: socket,
        };
        Ok((login, success))
    }

    /// Counts an attempt against `MaxAuthTries`, and sends the refusal after its delay.
    async fn reject(
        &mut self,
        answer: PendingAnswer<'_>,
        user: &str,
        method: &str,
        arrived: Instant,
    ) -> Result<(), NoLogin> {
        self.failures += 1;
        let is_last = self.failures >= self.settings.max_auth_tries;
        self.log.failed(user, method, is_last);
        tokio::time::sleep_until(refusal_due(arrived, Instant::now())).await;
        if is_last {
            answer.end("Too many authentication failures");
            return Err(NoLogin);
        }
        answer.reject().map_err(|_| NoLogin)
    }
}

/// The next multiple of the delay.
fn refusal_due(arrived: Instant, now: Instant) -> Instant {
    let delays = now.duration_since(arrived).as_millis() / REFUSAL_DELAY.as_millis();
    arrived + REFUSAL_DELAY * u32::try_from(delays + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
