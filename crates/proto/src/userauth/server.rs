//! User authentication of a server: verifies signatures, and leaves every decision to its owner.

use super::proof::{Claim, Proof, VerifiedKey};
use super::{CONNECTION_SERVICE, USERAUTH_SERVICE};
use crate::error::{Error, Misbehaviour};
use crate::key::{PublicKey, SignatureAlgorithm};
use crate::message::number;
use crate::message::transport::{encode_service, parse_service};
use crate::message::userauth::{Failure, Method, PkOk, UserauthRequest};
use crate::peer_text;

/// Limit of the requests of one connection, queries included, whatever limit its owner has.
const MAX_REQUESTS: u32 = 1024;

/// Request of a client, which needs a decision.
#[derive(Debug, PartialEq, Eq)]
pub struct AuthRequest {
    /// Account of the login.
    pub user: String,
    /// Method of the request.
    pub method: AuthMethod,
    /// Right to answer the request. No further packet is handled before the answer.
    pub answer: AnswerToken,
}

/// Right to give one answer: it comes with a request, and `accept`, `confirm_key` or `reject` consumes it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the client waits for the answer"]
pub struct AnswerToken(u32);

/// Authentication method of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// `none`, which asks for the list of methods.
    None,
    /// Query for a key: the client asks if the server would accept its signature.
    KeyQuery(KeyQuery),
    /// Signature that is valid.
    KeySigned(VerifiedKey),
    /// Signature that is invalid, or a key that we do not support.
    KeyUnusable(String),
    /// A method that this server does not support.
    Unsupported(String),
}

/// Query for a key, without a signature.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyQuery {
    algorithm: SignatureAlgorithm,
    key: PublicKey,
}

impl KeyQuery {
    /// Key of the query.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
}

/// State of a server's user authentication.
#[derive(Debug)]
pub struct ServerAuth {
    accepted: Vec<SignatureAlgorithm>,
    /// True after the client's service request, which must precede its other requests (RFC 4253 §10).
    is_started: bool,
    /// User and service of the first request, which must not change.
    asked_for: Option<(String, String)>,
    requests: u32,
    turn: Turn,
}

/// Side that acts next.
#[derive(Debug)]
enum Turn {
    /// The client, with a request.
    Client,
    /// The owner, with the answer to this request.
    Owner(Pending),
    /// Neither: the user is logged in.
    Over,
}

/// A request without an answer yet.
#[derive(Debug)]
struct Pending {
    /// Number of the request, equal to that of its token.
    number: u32,
    /// Key of a valid signature in the request.
    signed_with: Option<PublicKey>,
}

/// Result of a message of the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ServerAuthStep {
    /// An answer that needs no decision.
    Reply(Vec<u8>),
    /// A request that needs a decision.
    Decide(AuthRequest),
}

impl ServerAuth {
    /// A server that accepts these signature algorithms.
    pub(crate) fn new(accepted: Vec<SignatureAlgorithm>) -> Self {
        Self {
            accepted,
            is_started: false,
            asked_for: None,
            requests: 0,
            turn: Turn::Client,
        }
    }

    /// Handles a message of the client.
    pub(crate) fn recv(
        &mut self,
        payload: &[u8],
        session_id: &[u8],
    ) -> Result<ServerAuthStep, Error> {
        self.requests += 1;
        if self.requests > MAX_REQUESTS || !matches!(self.turn, Turn::Client) {
            return Err(Misbehaviour::AsksFasterThanItReads.into());
        }
        match payload[0] {
            number::SERVICE_REQUEST => {
                let service = parse_service(payload)?;
                if service != USERAUTH_SERVICE {
                    return Err(Misbehaviour::UnexpectedMessage(number::SERVICE_REQUEST).into());
                }
                self.is_started = true;
                Ok(ServerAuthStep::Reply(encode_service(
                    number::SERVICE_ACCEPT,
                    service,
                )))
            }
            number::USERAUTH_REQUEST if self.is_started => self.recv_request(payload, session_id),
            number => Err(Misbehaviour::UnexpectedMessage(number).into()),
        }
    }

    fn recv_request(&mut self, payload: &[u8], session_id: &[u8]) -> Result<ServerAuthStep, Error> {
        let request = UserauthRequest::parse(payload)?;
        self.check_unchanged(&request)?;
        if request.service != CONNECTION_SERVICE {
            return Err(Misbehaviour::UnexpectedMessage(number::USERAUTH_REQUEST).into());
        }
        let method = match request.method {
            Method::None => AuthMethod::None,
            Method::PublicKey {
                algorithm,
                key,
                signature,
            } => {
                let known = self.accepts(algorithm);
                known
                    .and_then(|known| judge_key(session_id, request.user, known, key, signature))
                    .unwrap_or_else(AuthMethod::KeyUnusable)
            }
            Method::Password(_) => AuthMethod::Unsupported("password".into()),
            Method::KeyboardInteractive => AuthMethod::Unsupported("keyboard-interactive".into()),
            Method::Other(name) => AuthMethod::Unsupported(name.to_owned()),
        };
        let signed_with = match &method {
            AuthMethod::KeySigned(proof) => Some(proof.key().clone()),
            _ => None,
        };
        self.turn = Turn::Owner(Pending {
            number: self.requests,
            signed_with,
        });
        Ok(ServerAuthStep::Decide(AuthRequest {
            user: request.user.to_owned(),
            method,
            answer: AnswerToken(self.requests),
        }))
    }

    /// Checks that user and service have not changed: results about one user must not count for another.
    fn check_unchanged(&mut self, request: &UserauthRequest<'_>) -> Result<(), Misbehaviour> {
        let (user, service) = (request.user, request.service);
        let first = self
            .asked_for
            .get_or_insert_with(|| (user.to_owned(), service.to_owned()));
        let shown = |user: &str, service: &str| {
            let (user, service) = (peer_text::name(user), peer_text::name(service));
            format!("{user} for {service}")
        };
        match first.0 == user && first.1 == service {
            true => Ok(()),
            false => Err(Misbehaviour::UserChanged {
                from: shown(&first.0, &first.1),
                to: shown(user, service),
            }),
        }
    }

    /// The algorithm of this name, or an error with OpenSSH's text. A query must pass the same check as a signature, so
    /// that no client signs in vain.
    fn accepts(&self, name: &str) -> Result<SignatureAlgorithm, String> {
        SignatureAlgorithm::from_name(name)
            .filter(|known| self.accepted.contains(known))
            .ok_or_else(|| {
                let name = peer_text::name(name);
                format!("signature algorithm {name} not in PubkeyAcceptedAlgorithms")
            })
    }

    /// Logs the user in, if the proof is that of the request; otherwise refuses the request. Returns the message to
    /// send.
    pub(crate) fn accept(
        &mut self,
        token: AnswerToken,
        proof: &Proof,
        session_id: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let pending = self.answered(token)?;
        let Proof::Key(proof) = proof;
        let is_asked_for = |(user, _): &(String, String)| proof.is_of(session_id, user);
        let is_just_given = pending.signed_with.as_ref() == Some(proof.key());
        if !is_just_given || !self.asked_for.as_ref().is_some_and(is_asked_for) {
            return Ok(failure());
        }
        self.turn = Turn::Over;
        (self.accepted, self.asked_for) = (Vec::new(), None);
        Ok(vec![number::USERAUTH_SUCCESS])
    }

    /// Refuses the request. Returns the message to send.
    pub(crate) fn reject(&mut self, token: AnswerToken) -> Result<Vec<u8>, Error> {
        self.answered(token)?;
        Ok(failure())
    }

    /// Answers that the key would be accepted. Returns the message to send.
    pub(crate) fn confirm_key(
        &mut self,
        token: AnswerToken,
        query: &KeyQuery,
    ) -> Result<Vec<u8>, Error> {
        self.answered(token)?;
        let ok = PkOk {
            algorithm: query.algorithm.as_str(),
            key: query.key.blob(),
        };
        Ok(ok.encode())
    }

    /// Removes the request that the token belongs to.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a token is good for one answer"
    )]
    fn answered(&mut self, token: AnswerToken) -> Result<Pending, Error> {
        match std::mem::replace(&mut self.turn, Turn::Client) {
            Turn::Owner(pending) if pending.number == token.0 => Ok(pending),
            turn => {
                self.turn = turn;
                Err(Error::Internal("the request is of another login".into()))
            }
        }
    }

    /// True while a request waits for its answer.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.turn, Turn::Owner(_))
    }

    /// True once the user is logged in.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.turn, Turn::Over)
    }
}

fn failure() -> Vec<u8> {
    Failure {
        methods: vec!["publickey".into()],
        partial_success: false,
    }
    .encode()
}

/// Query or proof of a key; or an error that says why the key cannot be used.
fn judge_key(
    session_id: &[u8],
    user: &str,
    algorithm: SignatureAlgorithm,
    key: &[u8],
    signature: Option<&[u8]>,
) -> Result<AuthMethod, String> {
    let key = PublicKey::parse(key).map_err(|e| e.to_string())?;
    if algorithm.key_type() != key.key_type() {
        return Err("the key is not of the algorithm's type".into());
    }
    let Some(signature) = signature else {
        return Ok(AuthMethod::KeyQuery(KeyQuery { algorithm, key }));
    };
    let claim = Claim {
        session_id,
        user,
        algorithm,
        key,
    };
    let proof = VerifiedKey::verify(claim, signature).map_err(|e| e.to_string())?;
    Ok(AuthMethod::KeySigned(proof))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SigningKey;
    use crate::message::userauth::publickey_signed_data;

    const SESSION: &[u8] = b"session";

    fn request(key: &SigningKey, session: &[u8]) -> Vec<u8> {
        let blob = key.public_key().blob();
        let data = publickey_signed_data(session, "u", CONNECTION_SERVICE, "ssh-ed25519", blob);
        let signature = key.sign(SignatureAlgorithm::Ed25519, &data).unwrap();
        UserauthRequest {
            user: "u",
            service: CONNECTION_SERVICE,
            method: Method::PublicKey {
                algorithm: "ssh-ed25519",
                key: blob,
                signature: Some(&signature),
            },
        }
        .encode()
        .to_vec()
    }

    /// A server after the client's service request.
    fn started(accepted: Vec<SignatureAlgorithm>) -> ServerAuth {
        let mut auth = ServerAuth::new(accepted);
        let ask = encode_service(number::SERVICE_REQUEST, USERAUTH_SERVICE);
        auth.recv(&ask, SESSION).unwrap();
        auth
    }

    /// The owner's request for a message of the client.
    fn asked(auth: &mut ServerAuth, request: &[u8]) -> AuthRequest {
        match auth.recv(request, SESSION).unwrap() {
            ServerAuthStep::Decide(request) => request,
            other => panic!("{other:?}"),
        }
    }

    /// The method of a request that is refused.
    fn refused(auth: &mut ServerAuth, request: &[u8]) -> AuthMethod {
        let request = asked(auth, request);
        assert_eq!(auth.reject(request.answer), Ok(failure()));
        request.method
    }

    fn query(key: &SigningKey) -> Vec<u8> {
        UserauthRequest {
            user: "u",
            service: CONNECTION_SERVICE,
            method: Method::PublicKey {
                algorithm: "ssh-ed25519",
                key: key.public_key().blob(),
                signature: None,
            },
        }
        .encode()
        .to_vec()
    }

    /// Token and proof of a request with a valid signature.
    fn proof(auth: &mut ServerAuth, key: &SigningKey) -> (AnswerToken, Proof) {
        let request = asked(auth, &request(key, SESSION));
        let AuthMethod::KeySigned(proof) = request.method else {
            panic!("{:?}", request.method);
        };
        (request.answer, proof.into())
    }

    #[test]
    fn proof_of_the_request_logs_the_user_in() {
        let mut auth = started(SignatureAlgorithm::ALL.to_vec());
        let (answer, proof) = proof(&mut auth, &SigningKey::generate_ed25519().unwrap());
        let message = auth.accept(answer, &proof, SESSION);
        assert_eq!(message, Ok(vec![number::USERAUTH_SUCCESS]));
        assert!(auth.is_over());
    }

    #[test]
    fn proof_of_an_earlier_request_does_not_count_for_a_query_or_another_key() {
        let key = SigningKey::generate_ed25519().unwrap();
        let other = SigningKey::generate_ed25519().unwrap();
        for later in [query(&key), request(&other, SESSION)] {
            let mut auth = started(SignatureAlgorithm::ALL.to_vec());
            let (answer, proof) = proof(&mut auth, &key);
            auth.reject(answer).unwrap();
            let answer = asked(&mut auth, &later).answer;
            assert_eq!(auth.accept(answer, &proof, SESSION), Ok(failure()));
            assert!(!auth.is_over() && !auth.is_pending());
        }
    }

    #[test]
    fn proof_of_another_session_or_user_does_not_count() {
        let key = SigningKey::generate_ed25519().unwrap();
        for (session, user) in [(&b"other"[..], "u"), (SESSION, "v")] {
            let name = SignatureAlgorithm::Ed25519.as_str();
            let blob = key.public_key().blob();
            let data = publickey_signed_data(session, user, CONNECTION_SERVICE, name, blob);
            let claim = Claim {
                session_id: session,
                user,
                algorithm: SignatureAlgorithm::Ed25519,
                key: key.public_key().clone(),
            };
            let signature = key.sign(SignatureAlgorithm::Ed25519, &data).unwrap();
            let foreign = VerifiedKey::verify(claim, &signature).unwrap().into();
            let mut auth = started(SignatureAlgorithm::ALL.to_vec());
            let (answer, _) = proof(&mut auth, &key);
            assert_eq!(auth.accept(answer, &foreign, SESSION), Ok(failure()));
            assert!(!auth.is_over());
        }
    }

    #[test]
    fn token_of_another_request_is_an_error() {
        let key = SigningKey::generate_ed25519().unwrap();
        let mut other = started(SignatureAlgorithm::ALL.to_vec());
        refused(&mut other, &query(&key));
        let stray = asked(&mut other, &query(&key)).answer;
        let mut auth = started(SignatureAlgorithm::ALL.to_vec());
        let _answer = asked(&mut auth, &query(&key));
        assert!(auth.reject(stray).is_err());
        assert!(auth.is_pending());
    }

    #[test]
    fn signature_counts_only_for_its_own_session() {
        let key = SigningKey::generate_ed25519().unwrap();
        let mut auth = started(SignatureAlgorithm::ALL.to_vec());
        let right = refused(&mut auth, &request(&key, SESSION));
        let AuthMethod::KeySigned(proof) = right else {
            panic!("{right:?}");
        };
        assert_eq!((proof.key(), proof.user()), (key.public_key(), "u"));
        let replayed = refused(&mut auth, &request(&key, b"other"));
        assert!(matches!(replayed, AuthMethod::KeyUnusable(_)));
    }

    #[test]
    fn signature_with_an_algorithm_that_is_not_accepted_does_not_count() {
        let key = SigningKey::generate_ed25519().unwrap();
        let mut auth = started(vec![SignatureAlgorithm::RsaSha512]);
        let signed = refused(&mut auth, &request(&key, SESSION));
        let asked = refused(&mut auth, &query(&key));
        let why = "signature algorithm ssh-ed25519 not in PubkeyAcceptedAlgorithms";
        assert_eq!(signed, AuthMethod::KeyUnusable(why.into()));
        assert_eq!(asked, signed);
    }

    #[test]
    fn second_request_before_the_answer_is_misbehaviour() {
        let key = SigningKey::generate_ed25519().unwrap();
        let mut auth = started(SignatureAlgorithm::ALL.to_vec());
        auth.recv(&request(&key, SESSION), SESSION).unwrap();
        assert!(auth.recv(&request(&key, SESSION), SESSION).is_err());
    }

    /// A request `none`.
    fn ask(user: &str, service: &str) -> Vec<u8> {
        let method = Method::None;
        UserauthRequest {
            user,
            service,
            method,
        }
        .encode()
        .to_vec()
    }

    #[test]
    fn request_before_the_service_request_is_misbehaviour() {
        let mut auth = ServerAuth::new(SignatureAlgorithm::ALL.to_vec());
        let early = auth.recv(&ask("u", CONNECTION_SERVICE), SESSION);
        let unexpected = Misbehaviour::UnexpectedMessage(number::USERAUTH_REQUEST);
        assert_eq!(early, Err(unexpected.into()));
    }

    #[test]
    fn user_and_service_must_not_change() {
        for (user, service) in [("v", CONNECTION_SERVICE), ("u", "ssh\u{202e}")] {
            let mut auth = started(SignatureAlgorithm::ALL.to_vec());
            for _ in 0..2 {
                let none = refused(&mut auth, &ask("u", CONNECTION_SERVICE));
                assert_eq!(none, AuthMethod::None);
            }
            let error = auth.recv(&ask(user, service), SESSION).unwrap_err();
            let shown = peer_text::name(service);
            assert_eq!(
                error.to_string(),
                format!(
                    "protocol error: change of user name or service not allowed: \
                     u for ssh-connection -> {user} for {shown}"
                )
            );
        }
    }

    #[test]
    fn endless_service_requests_are_misbehaviour() {
        let mut auth = ServerAuth::new(SignatureAlgorithm::ALL.to_vec());
        let ask = encode_service(number::SERVICE_REQUEST, USERAUTH_SERVICE);
        assert!((0..2000).any(|_| auth.recv(&ask, SESSION).is_err()));
    }

    #[test]
    fn channel_message_is_misbehaviour_during_authentication() {
        assert!(
            ServerAuth::new(SignatureAlgorithm::ALL.to_vec())
                .recv(&[number::CHANNEL_OPEN], SESSION)
                .is_err()
        );
    }
}
