//! Public key authentication: the keys to try, their order, and the request for each.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use adit_proto::connection::Connection;
use adit_proto::key::{KeyType, PublicKey, SignatureAlgorithm, SigningKey};
use adit_proto::message::userauth::Method;
use adit_proto::peers::KeyAhead;
use adit_proto::transport::algorithms::Compression;
use log::{Level, debug, error, log, warn};
use zeroize::Zeroizing;

use super::{Login, PASSPHRASE_PROMPTS, Reply};
use crate::client::error::ConnectError;
use crate::client::settings::{AgentKeys, LoginMethod};
use crate::client::{Echo, aside};
use crate::config::ssh_config::IdentityAgent;
use crate::identity::agent::{Agent, AgentKey};
use crate::identity::{IdentityError, file};
use crate::net::login::{ClientLoginEvent, LoginSuccess};
use crate::small_file::names_descriptor;

/// Keys to try, in order.
#[derive(Default)]
pub(super) struct Keys {
    agent: Option<Agent>,
    candidates: VecDeque<Candidate>,
    /// Request for the first key that was sent together with `none`.
    pub(super) sent: Option<Offer>,
    /// True if the user named the first key, with `-i` or `IdentityFile`.
    first_is_named: bool,
    /// Signature algorithms that keys may use, the preferred one first.
    accepted: Vec<SignatureAlgorithm>,
}

/// A key to try.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Candidate {
    Agent(AgentKey),
    File(PathBuf),
}

/// Request for a key: with a signature it logs the user in, without one it is a query.
pub(super) struct Offer {
    public: PublicKey,
    algorithm: SignatureAlgorithm,
    signature: Option<Vec<u8>>,
}

impl Login<'_> {
    /// Sends the request for the first key before the answer to `none`, which saves a round trip.
    ///
    /// Only some servers support that: [`KeyAhead`].
    pub(super) async fn offer_first_key(&mut self) -> Result<(), ConnectError> {
        let key_ahead = self.connection.inspect(|c| c.peer().key_ahead);
        if key_ahead == KeyAhead::Never {
            return Ok(());
        }
        self.keys_changed().await?;
        if self.connection.inspect(compresses) {
            // A server that logs the user in without a key decompresses all that follows.
            return Ok(());
        }
        let mut keys = self.keys().await?;
        if key_ahead == KeyAhead::NamedKey && !keys.first_is_named {
            self.keys = Some(keys);
            return Ok(());
        }
        keys.sent = self.first_offer(&mut keys).await;
        if let Some(offer) = &keys.sent
            && self.offer(offer).is_err()
        {
            // The user is logged in already, or the connection has ended: the answer to `none` shows which.
            keys.sent = None;
        }
        self.keys = Some(keys);
        Ok(())
    }

    /// Request for the first key that can be used; unusable ones before it are dropped. Errors of a file are reported
    /// when its turn comes.
    async fn first_offer(&self, keys: &mut Keys) -> Option<Offer> {
        let server_has_told = self
            .connection
            .inspect(|c| c.transport().peer_ext_info().server_sig_algs.is_some());
        while let Some(candidate) = keys.candidates.front() {
            let offer = match candidate {
                Candidate::Agent(key) => self.offer_of_agent(keys, key),
                // A pipe can be read only once: when the key's turn comes.
                Candidate::File(path) if names_descriptor(path) => return None,
                Candidate::File(path) => self.offer_of_file(keys, path).await.ok()?,
            };
            if let Some(offer) = offer {
                // RSA keys have several signature algorithms, of which the server may support only one.
                let is_certain = server_has_told || offer.public.key_type() != KeyType::Rsa;
                return is_certain.then_some(offer);
            }
            keys.candidates.pop_front();
        }
        None
    }

    /// Waits for the first keys. The server's EXT_INFO with its signature algorithms follows right after them.
    async fn keys_changed(&mut self) -> Result<(), ConnectError> {
        while !matches!(self.next_event().await?, ClientLoginEvent::KeysChanged) {}
        Ok(())
    }

    /// Tries one key after the other, each once.
    pub(super) async fn public_keys(&mut self) -> Result<Option<LoginSuccess>, ConnectError> {
        let mut keys = match self.keys.take() {
            Some(keys) => keys,
            None => self.keys().await?,
        };
        let mut success = None;
        while success.is_none() && (keys.sent.is_some() || self.may("publickey")) {
            let Some(candidate) = keys.candidates.pop_front() else {
                break;
            };
            let (sent, allowed) = (keys.sent.take(), self.may("publickey"));
            success = self.try_key(&mut keys, &candidate, sent).await?;
            if !allowed {
                // It was offered before it was known that the server requires another method first.
                keys.candidates.push_front(candidate);
            }
        }
        self.keys = Some(keys);
        Ok(success)
    }

    /// Keys of the agent and of files; none if they are not to be used.
    pub(super) async fn keys(&self) -> Result<Keys, ConnectError> {
        let settings = &self.settings.login;
        if !settings.uses(LoginMethod::PublicKey) {
            return Ok(Keys::default());
        }
        let accepted = self.settings.accepted_signatures();
        let accepted = accepted.map_err(|e| ConnectError::Local(e.to_string()))?;
        let mut agent = self.agent().await;
        let in_agent = match &mut agent {
            Some(agent) => agent.identities().await.unwrap_or_else(|error| {
                // After so long a wait, the user needs to know the reason.
                let level = match error.is_timeout() {
                    true => Level::Warn,
                    false => Level::Debug,
                };
                log!(level, "{error}");
                Vec::new()
            }),
            None => Vec::new(),
        };
        let files = settings
            .identities
            .files()
            .to_vec()
            .into_iter()
            .map(|path| {
                let public = file::public_half(&path);
                (path, public)
            });
        let files = aside(move || files.collect::<Vec<_>>()).await;
        let files = files.map_err(|e| ConnectError::Local(e.to_string()))?;
        let is_of_file = |candidate: &Candidate| match candidate {
            Candidate::Agent(key) => files.iter().any(|(_, public)| is_half_of(public, key)),
            Candidate::File(_) => true,
        };
        let candidates = ordered(in_agent, &files, settings.agent_keys);
        let named = settings.identities.are_named();
        Ok(Keys {
            agent,
            first_is_named: named && candidates.front().is_some_and(is_of_file),
            candidates,
            sent: None,
            accepted,
        })
    }

    async fn agent(&self) -> Option<Agent> {
        let path = match &self.settings.login.agent {
            IdentityAgent::Disabled => return None,
            IdentityAgent::Socket(path) => path.clone(),
            IdentityAgent::Variable(name) => std::env::var_os(name)?.into(),
        };
        match Agent::connect(&path).await {
            Ok(agent) => Some(agent),
            Err(error) => {
                debug!("{error}");
                None
            }
        }
    }

    /// Request for a key of the agent: a query, because the agent may have to ask its user before it signs.
    fn offer_of_agent(&self, keys: &Keys, key: &AgentKey) -> Option<Offer> {
        self.query(keys, PublicKey::parse(&key.blob).ok()?)
    }

    /// Request for a key in a file: signed at once if it has no passphrase, otherwise a query. An error if the public
    /// key cannot be read without the passphrase.
    async fn offer_of_file(
        &self,
        keys: &Keys,
        path: &Path,
    ) -> Result<Option<Offer>, IdentityError> {
        match load(path, None).await {
            Ok(key) => Ok(self.signed(keys, path, &key)),
            Err(error) if wants_passphrase(&error) => {
                let file = path.to_owned();
                match aside(move || file::public_half(&file)).await {
                    Ok(Some(public)) => Ok(self.query(keys, public)),
                    _ => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn query(&self, keys: &Keys, public: PublicKey) -> Option<Offer> {
        let algorithm = self.algorithm(keys, &public)?;
        Some(Offer {
            public,
            algorithm,
            signature: None,
        })
    }

    fn signed(&self, keys: &Keys, path: &Path, key: &SigningKey) -> Option<Offer> {
        let offer = self.query(keys, key.public_key().clone())?;
        let data = self.data_to_sign(&offer)?;
        match key.sign(offer.algorithm, &data) {
            Ok(signature) => Some(offer.with(signature)),
            Err(error) => {
                error!("{}: {error}", path.display());
                None
            }
        }
    }

    /// Data to sign; none after the end of the connection.
    fn data_to_sign(&self, offer: &Offer) -> Option<Vec<u8>> {
        let Offer {
            algorithm, public, ..
        } = offer;
        self.connection
            .data_to_sign(algorithm.as_str(), public.blob())
    }

    fn send(&self, offer: &Offer) -> Result<(), ConnectError> {
        let method = Method::PublicKey {
            algorithm: offer.algorithm.as_str(),
            key: offer.public.blob(),
            signature: offer.signature.as_deref(),
        };
        self.connection
            .authenticate(method)
            .map_err(|_| self.ended())
    }

    fn offer(&self, offer: &Offer) -> Result<(), ConnectError> {
        debug!(
            "Offering public key: {} {}",
            offer.public.key_type(),
            offer.public.fingerprint_sha256()
        );
        self.send(offer)
    }

    async fn try_key(
        &mut self,
        keys: &mut Keys,
        candidate: &Candidate,
        sent: Option<Offer>,
    ) -> Result<Option<LoginSuccess>, ConnectError> {
        if matches!(candidate, Candidate::Agent(_)) {
            self.agent_keys += 1;
        }
        let offer = match sent {
            Some(sent) => sent,
            None => {
                let offer = match candidate {
                    Candidate::Agent(key) => self.offer_of_agent(keys, key),
                    Candidate::File(path) => self.offer_or_unlock(keys, path).await,
                };
                let Some(offer) = offer else {
                    return Ok(None);
                };
                self.offer(&offer)?;
                offer
            }
        };
        if offer.signature.is_some() {
            return self.success().await;
        }
        loop {
            match self.reply().await? {
                Reply::WantsSignature => break,
                Reply::Success(success) => return Ok(Some(success)),
                Reply::Failure => return Ok(None),
                Reply::Asks(_) => {}
            }
        }
        let signed = match candidate {
            Candidate::Agent(key) => self.signed_by_agent(keys, key, offer).await?,
            Candidate::File(path) => self.unlocked(keys, path).await,
        };
        let Some(signed) = signed else {
            return Ok(None);
        };
        self.send(&signed)?;
        self.success().await
    }

    async fn signed_by_agent(
        &self,
        keys: &mut Keys,
        key: &AgentKey,
        offer: Offer,
    ) -> Result<Option<Offer>, ConnectError> {
        let Some(agent) = &mut keys.agent else {
            return Ok(None);
        };
        let data = self.data_to_sign(&offer).ok_or_else(|| self.ended())?;
        match agent.sign(&key.blob, &data, offer.algorithm).await {
            Ok(signature) => Ok(Some(offer.with(signature))),
            Err(error) => {
                let (key_type, name) = (offer.public.key_type(), &key.comment);
                error!("{key_type} key {name}: {error}");
                Ok(None)
            }
        }
    }

    /// Request for a key in a file. If the public key cannot be read without the passphrase, the user is asked for it.
    async fn offer_or_unlock(&self, keys: &Keys, path: &Path) -> Option<Offer> {
        match self.offer_of_file(keys, path).await {
            Ok(offer) => offer,
            Err(error) if wants_passphrase(&error) => self.unlocked(keys, path).await,
            Err(error) => {
                self.complain(path, &error);
                None
            }
        }
    }

    /// Signed request for a key that needs its passphrase.
    async fn unlocked(&self, keys: &Keys, path: &Path) -> Option<Offer> {
        match self.unlock(path).await {
            Ok(key) => self.signed(keys, path, &key),
            Err(error) => {
                warn!("{error}");
                None
            }
        }
    }

    /// Asks the user for the passphrase.
    async fn unlock(&self, path: &Path) -> Result<SigningKey, IdentityError> {
        let mut error = IdentityError::NeedsPassphrase(path.to_owned());
        for _ in 0..PASSPHRASE_PROMPTS {
            let text = format!("Enter passphrase for key '{}': ", path.display());
            let Some(answer) = self.prompts.ask(text, Echo::Hidden).await else {
                break;
            };
            match load(path, Some(Zeroizing::new(answer))).await {
                Ok(key) => return Ok(key),
                Err(why) => error = why,
            }
            if !wants_passphrase(&error) {
                break;
            }
        }
        Err(error)
    }

    /// Reports an error of a key file. A file that the user did not name may be missing.
    fn complain(&self, path: &Path, error: &IdentityError) {
        let missing =
            matches!(error, IdentityError::Io { why, .. } if why.kind() == ErrorKind::NotFound);
        if !missing {
            error!("{error}");
        } else if self.settings.login.identities.are_named() {
            warn!(
                "Identity file {} not accessible: No such file or directory.",
                path.display()
            );
        }
    }

    /// Signature algorithm for a key: the first accepted one of its type that the server supports (RFC 8332). None if
    /// `PubkeyAcceptedAlgorithms` leaves none for the key.
    pub(super) fn algorithm(&self, keys: &Keys, key: &PublicKey) -> Option<SignatureAlgorithm> {
        let of_key = |a: &&SignatureAlgorithm| a.key_type() == key.key_type();
        let mut possible = keys.accepted.iter().filter(of_key).peekable();
        let Some(&&first) = possible.peek() else {
            debug!(
                "Skipping {} key {}: not in PubkeyAcceptedAlgorithms",
                key.key_type(),
                key.fingerprint_sha256()
            );
            return None;
        };
        let server = self
            .connection
            .inspect(|c| c.transport().peer_ext_info().server_sig_algs.clone());
        let taken = |a: &&SignatureAlgorithm| {
            server
                .as_ref()
                .is_none_or(|list| list.iter().any(|name| name == a.as_str()))
        };
        match possible.find(taken) {
            Some(&algorithm) => Some(algorithm),
            // A server's list may lack algorithms that are older than such lists.
            None if first.key_type() != KeyType::Rsa => Some(first),
            None => {
                debug!(
                    "Skipping {} key {}: the server takes none of its algorithms",
                    key.key_type(),
                    key.fingerprint_sha256()
                );
                None
            }
        }
    }
}

impl Offer {
    fn with(self, signature: Vec<u8>) -> Self {
        Self {
            signature: Some(signature),
            ..self
        }
    }
}

/// Loads a key. That takes long if the key is encrypted.
async fn load(
    path: &Path,
    passphrase: Option<Zeroizing<String>>,
) -> Result<SigningKey, IdentityError> {
    let file = path.to_owned();
    let loading = aside(move || file::load(&file, passphrase.as_ref().map(|text| text.as_str())));
    loading.await.unwrap_or_else(|why| {
        let (act, path) = ("read", path.to_owned());
        Err(IdentityError::Io { act, path, why })
    })
}

/// Keys in the order in which they are tried: keys of the agent that a file names, its other keys unless
/// `IdentitiesOnly` forbids them, then the remaining files. Servers permit few attempts, and the named keys are the
/// most likely ones.
pub(super) fn ordered(
    mut keys: Vec<AgentKey>,
    files: &[(PathBuf, Option<PublicKey>)],
    usable: AgentKeys,
) -> VecDeque<Candidate> {
    let is_named = |key: &AgentKey| files.iter().any(|(_, public)| is_half_of(public, key));
    if usable == AgentKeys::OfFiles {
        keys.retain(is_named);
    }
    keys.sort_by_cached_key(|key| !is_named(key));
    let in_agent = |public: &Option<PublicKey>| keys.iter().any(|key| is_half_of(public, key));
    let mut other_files: Vec<&PathBuf> = Vec::new();
    for (path, public) in files {
        if !in_agent(public) && !other_files.contains(&path) {
            other_files.push(path);
        }
    }
    let files = other_files.into_iter().cloned().map(Candidate::File);
    keys.into_iter()
        .map(Candidate::Agent)
        .chain(files)
        .collect()
}

/// True if the agent has the private key.
fn is_half_of(public: &Option<PublicKey>, key: &AgentKey) -> bool {
    public.as_ref().is_some_and(|p| p.blob() == key.blob)
}

/// True if our packets are compressed after the login.
fn compresses(connection: &Connection) -> bool {
    let agreed = connection.negotiated();
    agreed.is_some_and(|agreed| agreed.client_to_server.compression == Compression::Delayed)
}

fn wants_passphrase(error: &IdentityError) -> bool {
    matches!(
        error,
        IdentityError::NeedsPassphrase(_) | IdentityError::WrongPassphrase(_)
    )
}
