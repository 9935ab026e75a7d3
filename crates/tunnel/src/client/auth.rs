//! Logging in: keys of the agent, keys of files, prompts, a password, in that order or in that of
//! `PreferredAuthentications`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_proto::key::{PublicKey, SignatureAlgorithm, SigningKey};
use adit_proto::message::userauth::{InfoRequest, Method};
use adit_proto::userauth::client::ClientAuthEvent;
use log::{debug, info, warn};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::error::ConnectError;
use super::settings::ClientSettings;
use super::{Echo, Prompts, Trust, laid_out};
use crate::config::ssh_config::{ClientOptions, IdentityAgent, PubkeyAuthentication};
use crate::identity::agent::{Agent, AgentKey};
use crate::identity::{IdentityError, file};
use crate::net::{Handle, Incoming};

/// How often a password or passphrase is asked for.
const PROMPTS: u32 = 3;
/// How long the server may take over one answer: OpenSSH's LoginGraceTime, and time for a person who is asked elsewhere.
const PATIENCE: Duration = Duration::from_secs(120);
/// Rounds of questions in one keyboard-interactive attempt.
const MAX_ROUNDS: u32 = 16;

/// Logs in, or says why not.
pub(super) async fn log_in(
    handle: &Handle,
    incoming: &mut Receiver<Incoming>,
    settings: &ClientSettings,
    trust: Trust,
    prompts: &Prompts,
) -> Result<(), ConnectError> {
    let mut login = Login::new(handle, incoming, settings, prompts);
    // The answer to `none`, which the core has asked.
    if login.verdict().await? {
        return Ok(());
    }
    for step in steps(&settings.options) {
        let success = match step {
            Step::PublicKey => login.public_keys().await?,
            // An impostor is given no secrets.
            Step::Ask(_) if trust != Trust::Full => false,
            Step::Ask(asking) => login.ask(asking).await?,
        };
        if success {
            return Ok(());
        }
    }
    handle.end("no authentication method left");
    Err(ConnectError::Denied {
        user: settings.user.clone(),
        host: settings.host.clone(),
        methods: login.methods,
    })
}

struct Login<'a> {
    handle: &'a Handle,
    incoming: &'a mut Receiver<Incoming>,
    settings: &'a ClientSettings,
    prompts: &'a Prompts,
    /// What the server would still take, by its last answer.
    methods: Vec<String>,
    /// What keys may sign with, the preferred first.
    accepted: Vec<SignatureAlgorithm>,
}

/// A key to try.
#[derive(Debug, PartialEq, Eq)]
enum Candidate {
    Agent(AgentKey),
    File(PathBuf),
}

impl<'a> Login<'a> {
    fn new(
        handle: &'a Handle,
        incoming: &'a mut Receiver<Incoming>,
        settings: &'a ClientSettings,
        prompts: &'a Prompts,
    ) -> Self {
        Self {
            handle,
            incoming,
            settings,
            prompts,
            methods: Vec::new(),
            accepted: Vec::new(),
        }
    }

    /// The next answer; banners are shown on the way.
    async fn next(&mut self) -> Result<ClientAuthEvent, ConnectError> {
        loop {
            let event = timeout(PATIENCE, self.incoming.recv());
            let event = event.await.map_err(|_| self.no_answer())?;
            let Some(event) = event else {
                return Err(self.ended());
            };
            match event {
                Incoming::Auth(ClientAuthEvent::Banner(text)) => {
                    for line in laid_out(&text).lines().take(64) {
                        info!("{line}");
                    }
                }
                Incoming::Auth(event) => return Ok(event),
                Incoming::Debug(text) => debug!("Remote: {}", text.escape_debug()),
                _ => {}
            }
        }
    }

    fn no_answer(&self) -> ConnectError {
        self.handle.end("no answer to the login");
        ConnectError::Handshake {
            host: self.settings.host.clone(),
            why: format!(
                "no answer to the login within {} seconds",
                PATIENCE.as_secs()
            ),
        }
    }

    fn ended(&self) -> ConnectError {
        ConnectError::Ended {
            host: self.settings.host.clone(),
            ended: self.handle.why_ended(),
        }
    }

    /// Sends a request that is answered by success or failure.
    async fn attempt(&mut self, method: Method<'_>) -> Result<bool, ConnectError> {
        self.handle.authenticate(method).map_err(|_| self.ended())?;
        self.verdict().await
    }

    /// Whether the request that was sent is a success.
    async fn verdict(&mut self) -> Result<bool, ConnectError> {
        loop {
            match self.next().await? {
                ClientAuthEvent::Success => return Ok(true),
                ClientAuthEvent::Failure(failure) => {
                    debug!(
                        "Authentications that can continue: {}",
                        failure.methods.join(",")
                    );
                    self.methods = failure.methods;
                    return Ok(false);
                }
                ClientAuthEvent::KeyAccepted
                | ClientAuthEvent::Prompts(_)
                | ClientAuthEvent::Banner(_) => {}
            }
        }
    }

    fn may(&self, method: &str) -> bool {
        self.methods.iter().any(|m| m == method)
    }

    async fn public_keys(&mut self) -> Result<bool, ConnectError> {
        if self.settings.options.pubkey_authentication == Some(PubkeyAuthentication::No) {
            return Ok(false);
        }
        let accepted = self.settings.options.connection.accepted_signatures();
        self.accepted = accepted.map_err(|e| ConnectError::Local(e.to_string()))?;
        let mut agent = self.agent().await;
        for candidate in self.candidates(agent.as_mut()).await {
            if !self.may("publickey") {
                break;
            }
            let accepted = match &candidate {
                Candidate::Agent(key) => match agent.as_mut() {
                    Some(agent) => self.try_agent_key(agent, key).await?,
                    None => false,
                },
                Candidate::File(path) => self.try_file(path).await?,
            };
            if accepted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn agent(&self) -> Option<Agent> {
        let path = match &self.settings.options.identity_agent {
            Some(IdentityAgent::Disabled) => return None,
            Some(IdentityAgent::Socket(path)) => path.clone(),
            Some(IdentityAgent::Variable(name)) => std::env::var_os(name)?.into(),
            None => std::env::var_os("SSH_AUTH_SOCK")?.into(),
        };
        match Agent::connect(&path).await {
            Ok(agent) => Some(agent),
            Err(error) => {
                debug!("{error}");
                None
            }
        }
    }

    /// The keys to try, in their order.
    async fn candidates(&self, agent: Option<&mut Agent>) -> Vec<Candidate> {
        let files = self.settings.identity_files();
        let keys = match agent {
            Some(agent) => agent.identities().await.unwrap_or_else(|error| {
                debug!("{error}");
                Vec::new()
            }),
            None => Vec::new(),
        };
        let files = files.into_iter().map(|path| {
            let public = file::public_half(&path);
            (path, public)
        });
        let only_named = self.settings.options.identities_only == Some(true);
        ordered(keys, files.collect(), only_named)
    }

    async fn try_agent_key(
        &mut self,
        agent: &mut Agent,
        key: &AgentKey,
    ) -> Result<bool, ConnectError> {
        let Ok(public) = PublicKey::parse(&key.blob) else {
            return Ok(false);
        };
        let Some(algorithm) = self.algorithm(&public) else {
            return Ok(false);
        };
        if !self.query(&public, algorithm).await? {
            return Ok(false);
        }
        let data = self.data_to_sign(&public, algorithm)?;
        match agent.sign(&key.blob, &data, algorithm).await {
            Ok(signature) => self.send_signature(&public, algorithm, &signature).await,
            Err(error) => {
                warn!("{error}");
                Ok(false)
            }
        }
    }

    async fn try_file(&mut self, path: &Path) -> Result<bool, ConnectError> {
        let key = match file::load(path, None) {
            // Signing at once saves the round trip of a query.
            Ok(key) => key,
            Err(error) if wants_passphrase(&error) => match self.unlock(path, error).await? {
                Some(key) => key,
                None => return Ok(false),
            },
            Err(error) => {
                self.complain(path, &error);
                return Ok(false);
            }
        };
        let public = key.public_key().clone();
        let Some(algorithm) = self.algorithm(&public) else {
            return Ok(false);
        };
        offering(&public);
        let data = self.data_to_sign(&public, algorithm)?;
        match key.sign(algorithm, &data) {
            Ok(signature) => self.send_signature(&public, algorithm, &signature).await,
            Err(error) => {
                warn!("{}: {error}", path.display());
                Ok(false)
            }
        }
    }

    /// A key that needs its passphrase, as `error` says. The user is asked only if the server takes the key.
    async fn unlock(
        &mut self,
        path: &Path,
        mut error: IdentityError,
    ) -> Result<Option<SigningKey>, ConnectError> {
        if let Some(public) = file::public_half(path) {
            let Some(algorithm) = self.algorithm(&public) else {
                return Ok(None);
            };
            if !self.query(&public, algorithm).await? {
                return Ok(None);
            }
        }
        for _ in 0..PROMPTS {
            let text = format!("Enter passphrase for key '{}': ", path.display());
            let Some(answer) = self.prompts.ask(text, Echo::Hidden).await else {
                break;
            };
            let passphrase = Zeroizing::new(answer);
            match file::load(path, Some(&passphrase)) {
                Ok(key) => return Ok(Some(key)),
                Err(why) => error = why,
            }
            if !wants_passphrase(&error) {
                break;
            }
        }
        warn!("{error}");
        Ok(None)
    }

    /// A file that nobody named may be missing.
    fn complain(&self, path: &Path, error: &IdentityError) {
        let missing =
            matches!(error, IdentityError::Io { why, .. } if why.kind() == ErrorKind::NotFound);
        let named = &self.settings.options.identity_files;
        if !missing {
            warn!("{error}");
        } else if named.iter().any(|p| p == path) {
            warn!(
                "Identity file {} not accessible: No such file or directory.",
                path.display()
            );
        }
    }

    /// What a key signs with: the first accepted algorithm of its type that the server says it can take (RFC 8332).
    /// None: `PubkeyAcceptedAlgorithms` leaves the key none.
    fn algorithm(&self, key: &PublicKey) -> Option<SignatureAlgorithm> {
        let of_key = |a: &&SignatureAlgorithm| a.key_type() == key.key_type();
        let mut possible = self.accepted.iter().filter(of_key).peekable();
        let Some(&&first) = possible.peek() else {
            debug!(
                "Skipping {} key {}: not in PubkeyAcceptedAlgorithms",
                key.key_type(),
                key.fingerprint_sha256()
            );
            return None;
        };
        let server = self
            .handle
            .inspect(|c| c.transport().peer_ext_info().server_sig_algs.clone());
        let taken = |a: &&SignatureAlgorithm| {
            server
                .as_ref()
                .is_none_or(|list| list.iter().any(|name| name == a.as_str()))
        };
        Some(possible.find(taken).copied().unwrap_or(first))
    }

    /// Whether the server would take the key.
    async fn query(
        &mut self,
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
    ) -> Result<bool, ConnectError> {
        offering(key);
        let method = Method::PublicKey {
            algorithm: algorithm.as_str(),
            key: key.blob(),
            signature: None,
        };
        self.handle.authenticate(method).map_err(|_| self.ended())?;
        loop {
            match self.next().await? {
                ClientAuthEvent::KeyAccepted => return Ok(true),
                ClientAuthEvent::Failure(failure) => {
                    self.methods = failure.methods;
                    return Ok(false);
                }
                _ => {}
            }
        }
    }

    fn data_to_sign(
        &self,
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
    ) -> Result<Vec<u8>, ConnectError> {
        self.handle
            .data_to_sign(algorithm.as_str(), key.blob())
            .ok_or_else(|| self.ended())
    }

    async fn send_signature(
        &mut self,
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
        signature: &[u8],
    ) -> Result<bool, ConnectError> {
        self.attempt(Method::PublicKey {
            algorithm: algorithm.as_str(),
            key: key.blob(),
            signature: Some(signature),
        })
        .await
    }

    /// Asks the user as often as `NumberOfPasswordPrompts` allows, while the server takes the method.
    async fn ask(&mut self, asking: Asking) -> Result<bool, ConnectError> {
        let options = &self.settings.options;
        let enabled = match asking {
            Asking::KeyboardInteractive => options.kbd_interactive_authentication,
            Asking::Password => options.password_authentication,
        };
        if enabled == Some(false) {
            return Ok(false);
        }
        let method = Step::Ask(asking).method();
        for _ in 0..options.number_of_password_prompts.unwrap_or(PROMPTS) {
            if !self.may(method) {
                return Ok(false);
            }
            let interaction = match asking {
                Asking::KeyboardInteractive => self.interact().await?,
                Asking::Password => self.password().await?,
            };
            match interaction {
                Interaction::Success => return Ok(true),
                Interaction::NobodyAnswers => return Ok(false),
                Interaction::Failure => {}
            }
        }
        Ok(false)
    }

    async fn interact(&mut self) -> Result<Interaction, ConnectError> {
        self.handle
            .authenticate(Method::KeyboardInteractive)
            .map_err(|_| self.ended())?;
        for _ in 0..MAX_ROUNDS {
            match self.next().await? {
                ClientAuthEvent::Success => return Ok(Interaction::Success),
                ClientAuthEvent::Failure(failure) => {
                    self.methods = failure.methods;
                    return Ok(Interaction::Failure);
                }
                ClientAuthEvent::Prompts(request) => match self.answer(&request).await {
                    Some(answers) => self
                        .handle
                        .answer_prompts(&answers)
                        .map_err(|_| self.ended())?,
                    None => {
                        self.methods.retain(|m| m != "keyboard-interactive");
                        return Ok(Interaction::NobodyAnswers);
                    }
                },
                _ => {}
            }
        }
        Ok(Interaction::Failure)
    }

    /// The user's answers. Name and instruction stand above the first question: what is asked for may make no sense
    /// without them.
    async fn answer(&self, request: &InfoRequest) -> Option<Vec<Zeroizing<String>>> {
        let heading = [&request.name, &request.instruction].map(|text| laid_out(text));
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
                laid_out(&prompt.text)
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
        if self.attempt(Method::Password(password.as_bytes())).await? {
            return Ok(Interaction::Success);
        }
        warn!("Permission denied, please try again.");
        Ok(Interaction::Failure)
    }
}

/// A method of authentication that adit has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    PublicKey,
    Ask(Asking),
}

impl Step {
    /// Every method, in the order without `PreferredAuthentications`.
    const ALL: [Self; 3] = [
        Self::PublicKey,
        Self::Ask(Asking::KeyboardInteractive),
        Self::Ask(Asking::Password),
    ];

    /// Its name on the wire.
    fn method(self) -> &'static str {
        match self {
            Self::PublicKey => "publickey",
            Self::Ask(Asking::KeyboardInteractive) => "keyboard-interactive",
            Self::Ask(Asking::Password) => "password",
        }
    }
}

/// The methods to try, in their order; names of others are passed over.
fn steps(options: &ClientOptions) -> Vec<Step> {
    let Some(preferred) = &options.preferred_authentications else {
        return Step::ALL.to_vec();
    };
    let named = |name: &String| Step::ALL.into_iter().find(|s| s.method() == name);
    preferred.iter().filter_map(named).collect()
}

/// The agent's keys that a file names, its others unless `IdentitiesOnly` forbids them, then the other files: a server
/// lets a client try few keys, and those that were named are the likeliest.
fn ordered(
    mut keys: Vec<AgentKey>,
    files: Vec<(PathBuf, Option<PublicKey>)>,
    only_named: bool,
) -> Vec<Candidate> {
    let is_key = |public: &Option<PublicKey>, key: &AgentKey| {
        public.as_ref().is_some_and(|p| p.blob() == key.blob)
    };
    let is_named = |key: &AgentKey| files.iter().any(|(_, public)| is_key(public, key));
    if only_named {
        keys.retain(is_named);
    }
    keys.sort_by_cached_key(|key| !is_named(key));
    let in_agent = |public: &Option<PublicKey>| keys.iter().any(|key| is_key(public, key));
    let files: Vec<Candidate> = files
        .iter()
        .filter(|(_, public)| !in_agent(public))
        .map(|(path, _)| Candidate::File(path.clone()))
        .collect();
    keys.into_iter()
        .map(Candidate::Agent)
        .chain(files)
        .collect()
}

/// What the user is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    KeyboardInteractive,
    Password,
}

/// How one round of asking ended.
enum Interaction {
    Success,
    Failure,
    NobodyAnswers,
}

fn offering(key: &PublicKey) {
    debug!(
        "Offering public key: {} {}",
        key.key_type(),
        key.fingerprint_sha256()
    );
}

fn wants_passphrase(error: &IdentityError) -> bool {
    matches!(
        error,
        IdentityError::NeedsPassphrase(_) | IdentityError::WrongPassphrase(_)
    )
}

#[cfg(test)]
mod tests;
