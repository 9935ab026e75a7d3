//! The server's side: checks signatures, and asks its owner about everything else.

use super::{CONNECTION_SERVICE, USERAUTH_SERVICE};
use crate::error::{Error, Misbehaviour};
use crate::key::{PublicKey, SignatureAlgorithm};
use crate::message::number;
use crate::message::transport::{encode_service, parse_service};
use crate::message::userauth::{Failure, Method, PkOk, Request, publickey_signed_data};
use crate::peer_text;

/// Requests of one connection, queries included, before it is cut off whatever its owner counts.
const MAX_REQUESTS: u32 = 1024;

/// What a client asks, to be answered with `accept`, `confirm_key` or `reject`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthRequest {
    /// The account.
    pub user: String,
    /// How.
    pub method: AuthMethod,
}

/// The proof that a client offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthMethod {
    /// None: it asks which methods there are.
    None,
    /// Would this key do?
    KeyQuery(PublicKey),
    /// It has signed with this key, and the signature is right.
    KeySigned(PublicKey),
    /// It has signed, and the signature is wrong; or the key is not of a kind that we take.
    KeyUnusable(String),
    /// A method that this server does not do.
    Unsupported(String),
}

/// The server's side of user authentication.
#[derive(Debug)]
pub struct ServerAuth {
    accepted: Vec<SignatureAlgorithm>,
    /// The client has asked for user authentication, which comes before its requests (RFC 4253 §10).
    is_started: bool,
    /// User and service of the first request; they stay.
    asked_for: Option<(String, String)>,
    requests: u32,
    pending: Option<Pending>,
}

/// The request that waits for its verdict.
#[derive(Debug)]
struct Pending {
    query: Option<(String, Vec<u8>)>,
}

/// What a message of the client leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ServerAuthStep {
    /// An answer that needs nobody's decision.
    Reply(Vec<u8>),
    /// A request to decide.
    Decide(AuthRequest),
}

impl ServerAuth {
    /// A server that takes signatures of these kinds.
    pub(crate) fn new(accepted: Vec<SignatureAlgorithm>) -> Self {
        Self {
            accepted,
            is_started: false,
            asked_for: None,
            requests: 0,
            pending: None,
        }
    }

    /// One message of the client.
    pub(crate) fn recv(
        &mut self,
        payload: &[u8],
        session_id: &[u8],
    ) -> Result<ServerAuthStep, Error> {
        self.requests += 1;
        if self.requests > MAX_REQUESTS || self.pending.is_some() {
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
        let request = Request::parse(payload)?;
        self.check_unchanged(&request)?;
        if request.service != CONNECTION_SERVICE {
            return Err(Misbehaviour::UnexpectedMessage(number::USERAUTH_REQUEST).into());
        }
        let mut pending = Pending { query: None };
        let method = match request.method {
            Method::None => AuthMethod::None,
            Method::PublicKey {
                algorithm,
                key,
                signature,
            } => {
                if signature.is_none() {
                    pending.query = Some((algorithm.to_owned(), key.to_vec()));
                }
                match self.accepts(algorithm) {
                    Ok(known) => judge_key(session_id, request.user, known, key, signature),
                    Err(why) => AuthMethod::KeyUnusable(why),
                }
            }
            Method::Password(_) => AuthMethod::Unsupported("password".into()),
            Method::KeyboardInteractive => AuthMethod::Unsupported("keyboard-interactive".into()),
            Method::Other(name) => AuthMethod::Unsupported(name.to_owned()),
        };
        self.pending = Some(pending);
        Ok(ServerAuthStep::Decide(AuthRequest {
            user: request.user.to_owned(),
            method,
        }))
    }

    /// What was found out about one user must not count for another.
    fn check_unchanged(&mut self, request: &Request<'_>) -> Result<(), Misbehaviour> {
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

    /// The algorithm of that name, or why it will not do, in OpenSSH's words. A query is held to it as much as a
    /// signature, so that no client is led to sign for nothing.
    fn accepts(&self, name: &str) -> Result<SignatureAlgorithm, String> {
        SignatureAlgorithm::from_name(name)
            .filter(|known| self.accepted.contains(known))
            .ok_or_else(|| {
                let name = peer_text::name(name);
                format!("signature algorithm {name} not in PubkeyAcceptedAlgorithms")
            })
    }

    /// The request is refused: the message to send.
    pub(crate) fn reject(&mut self) -> Vec<u8> {
        self.pending = None;
        Failure {
            methods: vec!["publickey".into()],
            partial_success: false,
        }
        .encode()
    }

    /// The key that was asked about would do: the message to send.
    pub(crate) fn confirm_key(&mut self) -> Option<Vec<u8>> {
        let (algorithm, key) = self.pending.take()?.query?;
        Some(
            PkOk {
                algorithm: &algorithm,
                key: &key,
            }
            .encode(),
        )
    }

    /// Whether a request waits for its verdict.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }
}

fn judge_key(
    session_id: &[u8],
    user: &str,
    algorithm: SignatureAlgorithm,
    key: &[u8],
    signature: Option<&[u8]>,
) -> AuthMethod {
    let public_key = match PublicKey::parse(key) {
        Ok(public_key) => public_key,
        Err(error) => return AuthMethod::KeyUnusable(error.to_string()),
    };
    if algorithm.key_type() != public_key.key_type() {
        return AuthMethod::KeyUnusable("the key is not of the algorithm's type".into());
    }
    let Some(signature) = signature else {
        return AuthMethod::KeyQuery(public_key);
    };
    let name = algorithm.as_str();
    let signed = publickey_signed_data(session_id, user, CONNECTION_SERVICE, name, key);
    match public_key.verify(algorithm, &signed, signature) {
        Ok(()) => AuthMethod::KeySigned(public_key),
        Err(error) => AuthMethod::KeyUnusable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SigningKey;

    const SESSION: &[u8] = b"session";

    fn request(key: &SigningKey, session: &[u8]) -> Vec<u8> {
        let blob = key.public_key().blob();
        let data = publickey_signed_data(session, "u", CONNECTION_SERVICE, "ssh-ed25519", blob);
        let signature = key.sign(SignatureAlgorithm::Ed25519, &data).unwrap();
        Request {
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

    /// A server that has been asked for user authentication.
    fn started(accepted: Vec<SignatureAlgorithm>) -> ServerAuth {
        let mut auth = ServerAuth::new(accepted);
        let ask = encode_service(number::SERVICE_REQUEST, USERAUTH_SERVICE);
        auth.recv(&ask, SESSION).unwrap();
        auth
    }

    fn method(step: ServerAuthStep) -> AuthMethod {
        match step {
            ServerAuthStep::Decide(request) => request.method,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn signature_counts_only_for_its_own_session() {
        let key = SigningKey::generate_ed25519().unwrap();
        let mut auth = started(SignatureAlgorithm::ALL.to_vec());
        let right = method(auth.recv(&request(&key, SESSION), SESSION).unwrap());
        assert_eq!(right, AuthMethod::KeySigned(key.public_key().clone()));
        auth.reject();
        let replayed = method(auth.recv(&request(&key, b"other"), SESSION).unwrap());
        assert!(matches!(replayed, AuthMethod::KeyUnusable(_)));
    }

    #[test]
    fn signature_of_a_kind_that_is_not_accepted_proves_nothing() {
        let key = SigningKey::generate_ed25519().unwrap();
        let mut auth = started(vec![SignatureAlgorithm::RsaSha512]);
        let signed = method(auth.recv(&request(&key, SESSION), SESSION).unwrap());
        auth.reject();
        let query = Request {
            user: "u",
            service: CONNECTION_SERVICE,
            method: Method::PublicKey {
                algorithm: "ssh-ed25519",
                key: key.public_key().blob(),
                signature: None,
            },
        };
        let asked = method(auth.recv(&query.encode(), SESSION).unwrap());
        let why = "signature algorithm ssh-ed25519 not in PubkeyAcceptedAlgorithms";
        assert_eq!(signed, AuthMethod::KeyUnusable(why.into()));
        assert_eq!(asked, signed);
    }

    #[test]
    fn second_request_before_the_verdict_is_misbehaviour() {
        let key = SigningKey::generate_ed25519().unwrap();
        let mut auth = started(SignatureAlgorithm::ALL.to_vec());
        auth.recv(&request(&key, SESSION), SESSION).unwrap();
        assert!(auth.recv(&request(&key, SESSION), SESSION).is_err());
    }

    /// Asks which methods there are.
    fn ask(user: &str, service: &str) -> Vec<u8> {
        let method = Method::None;
        Request {
            user,
            service,
            method,
        }
        .encode()
        .to_vec()
    }

    #[test]
    fn request_before_the_service_is_misbehaviour() {
        let mut auth = ServerAuth::new(SignatureAlgorithm::ALL.to_vec());
        let early = auth.recv(&ask("u", CONNECTION_SERVICE), SESSION);
        let unexpected = Misbehaviour::UnexpectedMessage(number::USERAUTH_REQUEST);
        assert_eq!(early, Err(unexpected.into()));
    }

    #[test]
    fn user_and_service_stay_what_the_first_request_had() {
        for (user, service) in [("v", CONNECTION_SERVICE), ("u", "ssh\u{202e}")] {
            let mut auth = started(SignatureAlgorithm::ALL.to_vec());
            for _ in 0..2 {
                assert!(auth.recv(&ask("u", CONNECTION_SERVICE), SESSION).is_ok());
                auth.reject();
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
    fn service_that_is_asked_for_without_end_is_misbehaviour() {
        let mut auth = ServerAuth::new(SignatureAlgorithm::ALL.to_vec());
        let ask = encode_service(number::SERVICE_REQUEST, USERAUTH_SERVICE);
        assert!((0..2000).any(|_| auth.recv(&ask, SESSION).is_err()));
    }

    #[test]
    fn channel_messages_are_not_for_this_layer() {
        assert!(
            ServerAuth::new(SignatureAlgorithm::ALL.to_vec())
                .recv(&[number::CHANNEL_OPEN], SESSION)
                .is_err()
        );
    }
}
