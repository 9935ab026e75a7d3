//! The login: keys of the agent, keys in files, the server's questions, a password, in this order or that of
//! `PreferredAuthentications`.

mod keys;

use std::time::Duration;

use adit_proto::error::Error;
use adit_proto::message::userauth::{Failure, InfoRequest, Method};
use adit_proto::peer_text;
use log::{debug, info, warn};
use tokio::time::timeout;
use zeroize::Zeroizing;

use self::keys::Keys;
use super::error::ConnectError;
use super::settings::{Asking, ClientSettings, LoginMethod};
use super::{Echo, Prompts, Trust};
use crate::net::login::{ClientLoginEvent, LoginSuccess};
use crate::net::{ClientLogin, Ended};

/// Attempts to enter a passphrase.
const PASSPHRASE_PROMPTS: u32 = 3;
/// Time limit for one answer of the server: OpenSSH's LoginGraceTime, and time for a user who must confirm on another
/// device.
const PATIENCE: Duration = Duration::from_secs(120);
/// Limit of the server's answers that say that more is required.
const MAX_PARTIAL_SUCCESSES: u32 = 8;
/// Number of refused keys after which the end of a login is attributed to them; some servers accept no more than three
/// attempts.
const MANY_KEYS: usize = 3;
/// Rounds of questions in one keyboard-interactive attempt.
const MAX_ROUNDS: u32 = 16;

/// Logs in, or returns the reason why not.
pub(super) async fn log_in(
    connection: &mut ClientLogin,
    settings: &ClientSettings,
    trust: Trust,
    prompts: &Prompts,
) -> Result<LoginSuccess, ConnectError> {
    let mut login = Login::new(connection, settings, prompts);
    let methods = &settings.login.methods;
    if methods.first() == Some(&LoginMethod::PublicKey) {
        login.offer_first_key().await?;
    }
    // The answer to `none`, which the core has sent.
    if let Some(success) = login.success().await? {
        return Ok(success);
    }
    for _ in 0..=MAX_PARTIAL_SUCCESSES {
        match login.try_all(methods, trust).await? {
            Attempts::Success(success) => return Ok(success),
            // The server may now accept a method that it refused before.
            Attempts::PartialSuccess => {}
            Attempts::Exhausted => break,
        }
    }
    login.connection.end("no authentication method left");
    let methods = match login.methods.is_empty() {
        true => methods.iter().map(|m| m.name().to_owned()).collect(),
        false => login.methods,
    };
    Err(ConnectError::Denied {
        user: settings.user.clone(),
        host: settings.host.clone(),
        methods,
    })
}

/// Limit of the banners that are shown.
const MAX_BANNERS: u32 = 3;

struct Login<'a> {
    connection: &'a mut ClientLogin,
    settings: &'a ClientSettings,
    prompts: &'a Prompts,
    /// Methods that the server would accept, by its last answer. Some servers name none, and accept some nevertheless.
    methods: Vec<String>,
    /// Methods that are not tried again before the next partial success.
    spent: Vec<&'static str>,
    /// Keys of the agent that were tried.
    agent_keys: usize,
    /// True if the server reported a partial success since this was last read.
    partial_success: bool,
    /// Keys that `public_keys` still has to try, once they are known.
    keys: Option<Keys>,
    /// Banners received, of which only the first few are shown.
    banners: u32,
}

/// Result of trying all methods.
enum Attempts {
    Success(LoginSuccess),
    PartialSuccess,
    Exhausted,
}

/// Answer of the server to a request.
enum Reply {
    /// It would accept the key of the query.
    WantsSignature,
    /// It has questions for the user.
    Asks(InfoRequest),
    /// The user is logged in.
    Success(LoginSuccess),
    /// It refuses, or requires more.
    Failure,
}

impl<'a> Login<'a> {
    fn new(
        connection: &'a mut ClientLogin,
        settings: &'a ClientSettings,
        prompts: &'a Prompts,
    ) -> Self {
        Self {
            connection,
            settings,
            prompts,
            methods: Vec::new(),
            spent: Vec::new(),
            agent_keys: 0,
            partial_success: false,
            keys: None,
            banners: 0,
        }
    }

    /// Tries one method after the other, until one is accepted.
    async fn try_all(
        &mut self,
        methods: &[LoginMethod],
        trust: Trust,
    ) -> Result<Attempts, ConnectError> {
        for method in methods {
            let success = match method {
                LoginMethod::PublicKey => self.public_keys().await?,
                // A server that may be an attacker gets no secrets.
                LoginMethod::Ask(_) if trust != Trust::Full => None,
                LoginMethod::Ask(asking) => self.ask(*asking).await?,
            };
            if let Some(success) = success {
                return Ok(Attempts::Success(success));
            }
            if std::mem::take(&mut self.partial_success) {
                return Ok(Attempts::PartialSuccess);
            }
        }
        Ok(Attempts::Exhausted)
    }

    async fn next_event(&mut self) -> Result<ClientLoginEvent, ConnectError> {
        loop {
            let event = timeout(PATIENCE, self.connection.next()).await;
            let event = event.map_err(|_| self.no_answer())?;
            match event.ok_or_else(|| self.ended())? {
                ClientLoginEvent::Debug(text) => {
                    debug!("Remote: {}", peer_text::description(&text))
                }
                event => return Ok(event),
            }
        }
    }

    /// Next answer of the server to a request or a query for a key. Banners before it are shown.
    ///
    /// RFC 4252 §7 does not permit USERAUTH_SUCCESS as the answer to a query. A server that sends it has logged the
    /// user in without a signature.
    async fn reply(&mut self) -> Result<Reply, ConnectError> {
        loop {
            return Ok(match self.next_event().await? {
                ClientLoginEvent::HostKey(_)
                | ClientLoginEvent::KeysChanged
                | ClientLoginEvent::Debug(_) => continue,
                ClientLoginEvent::Banner(text) => {
                    self.show_banner(text.as_bytes());
                    continue;
                }
                ClientLoginEvent::KeyAccepted => Reply::WantsSignature,
                ClientLoginEvent::Prompts(request) => Reply::Asks(request),
                ClientLoginEvent::Success(success) => Reply::Success(success),
                ClientLoginEvent::Failure(failure) => {
                    self.note(failure);
                    Reply::Failure
                }
                ClientLoginEvent::PasswordExpired => {
                    self.spent.push(LoginMethod::Ask(Asking::Password).name());
                    Reply::Failure
                }
            });
        }
    }

    /// Shows a banner. If there are too many, one line says so, and the rest are dropped.
    fn show_banner(&mut self, text: &[u8]) {
        self.banners += 1;
        if self.banners == MAX_BANNERS + 1 {
            info!("the server sends more banners, which are not shown");
        }
        if self.banners > MAX_BANNERS {
            return;
        }
        for line in peer_text::lines(text).to_string().lines() {
            info!("{line}");
        }
    }

    fn no_answer(&self) -> ConnectError {
        self.connection.end("no answer to the login");
        ConnectError::Handshake {
            host: self.settings.host.clone(),
            why: format!(
                "no answer to the login within {} seconds",
                PATIENCE.as_secs()
            ),
        }
    }

    fn ended(&self) -> ConnectError {
        let (host, ended) = (self.settings.host.clone(), self.connection.why_ended());
        let by_peer = matches!(
            ended,
            Ended::ClosedByPeer | Ended::Protocol(Error::PeerDisconnected(_))
        );
        match self.agent_keys {
            keys @ MANY_KEYS.. if by_peer => ConnectError::TooManyKeys { host, ended, keys },
            _ => ConnectError::Ended { host, ended },
        }
    }

    /// Sends a request whose answer is success or failure.
    async fn attempt(&mut self, method: Method<'_>) -> Result<Option<LoginSuccess>, ConnectError> {
        self.connection
            .authenticate(method)
            .map_err(|_| self.ended())?;
        self.success().await
    }

    /// Waits for the success or failure of the request that was sent.
    async fn success(&mut self) -> Result<Option<LoginSuccess>, ConnectError> {
        loop {
            match self.reply().await? {
                Reply::Success(success) => return Ok(Some(success)),
                Reply::Failure => return Ok(None),
                Reply::WantsSignature | Reply::Asks(_) => {}
            }
        }
    }

    fn note(&mut self, failure: Failure) {
        let methods = failure.methods.join(",");
        if failure.partial_success {
            debug!("Partial success");
        }
        debug!(
            "Authentications that can continue: {}",
            peer_text::description(&methods)
        );
        if failure.partial_success {
            self.spent.clear();
        }
        self.methods = failure.methods;
        self.partial_success |= failure.partial_success;
    }

    /// True if a method may succeed. A server that names no methods may accept any: ssh then uses its own list, too.
    fn may(&self, method: &str) -> bool {
        let named = self.methods.is_empty() || self.methods.iter().any(|m| m == method);
        named && !self.spent.contains(&method)
    }

    /// Asks the user as often as `NumberOfPasswordPrompts` allows, until the server accepts the answer or no longer
    /// offers the method.
    async fn ask(&mut self, asking: Asking) -> Result<Option<LoginSuccess>, ConnectError> {
        let (settings, method) = (&self.settings.login, LoginMethod::Ask(asking));
        if !settings.uses(method) {
            return Ok(None);
        }
        let method = method.name();
        for attempt in 0..settings.prompts {
            if !self.may(method) {
                return Ok(None);
            }
            if attempt > 0 && asking == Asking::Password {
                warn!("Permission denied, please try again.");
            }
            let interaction = match asking {
                Asking::KeyboardInteractive => self.interact().await?,
                Asking::Password => self.password().await?,
            };
            match interaction {
                Interaction::Success(success) => return Ok(Some(success)),
                Interaction::NobodyAnswers | Interaction::NothingAsked => return Ok(None),
                Interaction::Failure if self.partial_success => return Ok(None),
                Interaction::Failure => {}
            }
        }
        Ok(None)
    }

    async fn interact(&mut self) -> Result<Interaction, ConnectError> {
        self.connection
            .authenticate(Method::KeyboardInteractive)
            .map_err(|_| self.ended())?;
        for round in 0..MAX_ROUNDS {
            match self.reply().await? {
                Reply::Success(success) => return Ok(Interaction::Success(success)),
                Reply::Failure if round == 0 => return Ok(Interaction::NothingAsked),
                Reply::Failure => return Ok(Interaction::Failure),
                Reply::Asks(request) => match self.answer(&request).await {
                    Some(answers) => self
                        .connection
                        .answer_prompts(&answers)
                        .map_err(|_| self.ended())?,
                    None => {
                        self.spent
                            .push(LoginMethod::Ask(Asking::KeyboardInteractive).name());
                        return Ok(Interaction::NobodyAnswers);
                    }
                },
                Reply::WantsSignature => {}
            }
        }
        Ok(Interaction::Failure)
    }

    /// Answers of the user. Name and instruction are shown above the first question, which may not be understandable
    /// without them.
    async fn answer(&self, request: &InfoRequest) -> Option<Vec<Zeroizing<String>>> {
        let heading =
            [&request.name, &request.instruction].map(|text| peer_text::lines(text).to_string());
        let heading = heading.iter().map(|text| text.trim_end());
        let mut heading: String = heading
            .filter(|text| !text.is_empty())
            .map(|text| format!("{text}\n"))
            .collect();
        if request.prompts.is_empty() && !heading.is_empty() {
            info!("{}", heading.trim_end());
        }
        let mut answers = Vec::new();
        for prompt in &request.prompts {
            let echo = match prompt.echo {
                true => Echo::Visible,
                false => Echo::Hidden,
            };
            let text = format!(
                "{}({}@{}) {}",
                std::mem::take(&mut heading),
                self.settings.user,
                self.settings.host,
                peer_text::lines(&prompt.text)
            );
            answers.push(Zeroizing::new(self.prompts.ask(text, echo).await?));
        }
        Some(answers)
    }

    async fn password(&mut self) -> Result<Interaction, ConnectError> {
        let text = format!("{}@{}'s password: ", self.settings.user, self.settings.host);
        let Some(password) = self.prompts.ask(text, Echo::Hidden).await else {
            return Ok(Interaction::NobodyAnswers);
        };
        let password = Zeroizing::new(password);
        Ok(
            match self.attempt(Method::Password(password.as_bytes())).await? {
                Some(success) => Interaction::Success(success),
                None => Interaction::Failure,
            },
        )
    }
}

/// Result of one round of questions.
enum Interaction {
    Success(LoginSuccess),
    Failure,
    NobodyAnswers,
    /// The server refused without a question, and would do so again.
    NothingAsked,
}

#[cfg(test)]
mod tests;
