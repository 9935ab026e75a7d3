//! User authentication of a client: requests, and the server's answers in the same order (RFC 4252 §5.1).
//!
//! The first request is always `none`, which asks for the list of methods. It is sent together with the service
//! request, so it costs no round trip of its own. A client with a likely request need not wait for the answer to `none`
//! either.

use std::collections::VecDeque;

use zeroize::Zeroizing;

use super::{CONNECTION_SERVICE, USERAUTH_SERVICE};
use crate::error::{Error, Misbehaviour};
use crate::message::number;
use crate::message::transport::{encode_service, parse_service};
use crate::message::userauth::{
    self as message, Failure, InfoRequest, Method, PkOk, UserauthRequest, encode_info_response,
};

/// Answer of the server, or another message of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuthEvent {
    /// The request failed, or succeeded and is not enough.
    Failure(Failure),
    /// The password was correct, but the server requires a new one first (RFC 4252 §8), which adit does not support.
    /// The server's text precedes this as a `Banner`.
    PasswordExpired,
    /// The server would accept the key of the query: sign with it.
    KeyAccepted,
    /// Questions of the server for the user.
    Prompts(InfoRequest),
    /// Text to show to the user.
    Banner(String),
    /// The user is logged in.
    Success,
}

/// A request without an answer yet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Waiting {
    Request,
    KeyQuery { algorithm: String, key: Vec<u8> },
    Password,
    KeyboardInteractive,
}

/// Progress of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    ServiceAsked,
    ServiceGranted,
    /// The user is logged in.
    Over,
}

/// State of a client's user authentication.
#[derive(Debug)]
pub struct ClientAuth {
    user: String,
    progress: Progress,
    /// Requests without an answer, the oldest first. The owner may send several.
    waiting: VecDeque<Waiting>,
}

impl ClientAuth {
    /// Begins the login to an account. Returns the first messages: the service request, and the request `none`.
    pub fn new(user: String) -> (Self, [Zeroizing<Vec<u8>>; 2]) {
        let mut auth = Self {
            user,
            progress: Progress::ServiceAsked,
            waiting: VecDeque::new(),
        };
        let service = encode_service(number::SERVICE_REQUEST, USERAUTH_SERVICE);
        let none = auth.request(Method::None);
        (auth, [service.into(), none])
    }

    /// Account of the login.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Message of a request.
    pub fn request(&mut self, method: Method<'_>) -> Zeroizing<Vec<u8>> {
        // Another request, in place of answers to the server's questions, abandons the questions (RFC 4252 §5.1).
        self.waiting.retain(|w| *w != Waiting::KeyboardInteractive);
        self.waiting.push_back(match &method {
            Method::PublicKey {
                algorithm,
                key,
                signature: None,
            } => Waiting::KeyQuery {
                algorithm: (*algorithm).to_owned(),
                key: key.to_vec(),
            },
            Method::Password(_) => Waiting::Password,
            Method::KeyboardInteractive => Waiting::KeyboardInteractive,
            _ => Waiting::Request,
        });
        UserauthRequest {
            user: &self.user,
            service: CONNECTION_SERVICE,
            method,
        }
        .encode()
    }

    /// Removes the requests without an answer, and returns their number.
    pub(crate) fn take_unanswered(&mut self) -> usize {
        std::mem::take(&mut self.waiting).len()
    }

    /// True once the user is logged in.
    pub(crate) fn is_over(&self) -> bool {
        self.progress == Progress::Over
    }

    /// Data that the signature of a key covers.
    pub fn data_to_sign(&self, session_id: &[u8], algorithm: &str, key: &[u8]) -> Vec<u8> {
        message::publickey_signed_data(session_id, &self.user, CONNECTION_SERVICE, algorithm, key)
    }

    /// Message with the answers to `Prompts`.
    pub fn answer<S: AsRef<str>>(&mut self, answers: &[S]) -> Zeroizing<Vec<u8>> {
        encode_info_response(answers)
    }

    /// Handles a message of the server. There is no event if it only accepts the service request.
    pub(crate) fn recv(&mut self, payload: &[u8]) -> Result<Vec<ClientAuthEvent>, Error> {
        match (payload[0], self.progress, self.waiting.front()) {
            (number::USERAUTH_BANNER, ..) => {
                let banner = message::parse_banner(payload)?;
                Ok(vec![ClientAuthEvent::Banner(banner)])
            }
            (number::SERVICE_ACCEPT, Progress::ServiceAsked, _) => {
                if parse_service(payload)? != USERAUTH_SERVICE {
                    return Err(Misbehaviour::UnexpectedReply.into());
                }
                self.progress = Progress::ServiceGranted;
                Ok(Vec::new())
            }
            (number::USERAUTH_60, Progress::ServiceGranted, Some(Waiting::Password)) => {
                self.recv_password_change_request(payload)
            }
            (_, Progress::ServiceGranted, Some(_)) => Ok(vec![self.recv_answer(payload)?]),
            (number, ..) => Err(Misbehaviour::UnexpectedMessage(number).into()),
        }
    }

    /// Handles an expired password. The server accepts other methods in place of the new password (RFC 4252 §8).
    fn recv_password_change_request(
        &mut self,
        payload: &[u8],
    ) -> Result<Vec<ClientAuthEvent>, Error> {
        let prompt = message::parse_password_change_request(payload)?;
        self.waiting.pop_front();
        Ok(vec![
            ClientAuthEvent::Banner(prompt),
            ClientAuthEvent::PasswordExpired,
        ])
    }

    /// Handles the answer to the oldest request.
    fn recv_answer(&mut self, payload: &[u8]) -> Result<ClientAuthEvent, Error> {
        match (payload[0], self.waiting.front()) {
            (number::USERAUTH_SUCCESS, _) => {
                self.progress = Progress::Over;
                Ok(ClientAuthEvent::Success)
            }
            (number::USERAUTH_FAILURE, _) => {
                let failure = Failure::parse(payload)?;
                self.waiting.pop_front();
                Ok(ClientAuthEvent::Failure(failure))
            }
            (number::USERAUTH_60, Some(Waiting::KeyQuery { algorithm, key })) => {
                let ok = PkOk::parse(payload)?;
                if ok.algorithm != algorithm || ok.key != key {
                    return Err(Misbehaviour::UnexpectedReply.into());
                }
                self.waiting.pop_front();
                Ok(ClientAuthEvent::KeyAccepted)
            }
            (number::USERAUTH_60, Some(Waiting::KeyboardInteractive)) => {
                Ok(ClientAuthEvent::Prompts(InfoRequest::parse(payload)?))
            }
            (number, _) => Err(Misbehaviour::UnexpectedMessage(number).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept() -> Vec<u8> {
        encode_service(number::SERVICE_ACCEPT, "ssh-userauth")
    }

    /// A login after the refusal of `none`.
    fn ready() -> ClientAuth {
        let (mut auth, _) = ClientAuth::new("u".into());
        assert_eq!(auth.recv(&accept()), Ok(vec![]));
        let failure = Failure {
            methods: vec!["publickey".into(), "password".into()],
            partial_success: false,
        };
        let refused = auth.recv(&failure.encode());
        assert_eq!(refused, Ok(vec![ClientAuthEvent::Failure(failure)]));
        auth
    }

    #[test]
    fn none_is_sent_together_with_the_service_request() {
        let (mut auth, [service, none]) = ClientAuth::new("u".into());
        assert_eq!(parse_service(&service).unwrap(), "ssh-userauth");
        let request = UserauthRequest::parse(&none).unwrap();
        assert!(matches!(request.method, Method::None));
        assert_eq!(auth.recv(&accept()), Ok(vec![]));
        let success = auth.recv(&[number::USERAUTH_SUCCESS]);
        assert_eq!(success, Ok(vec![ClientAuthEvent::Success]));
    }

    #[test]
    fn answer_before_the_service_is_accepted_is_misbehaviour() {
        let (mut auth, _) = ClientAuth::new("u".into());
        assert!(auth.recv(&[number::USERAUTH_SUCCESS]).is_err());
    }

    #[test]
    fn success_without_a_request_is_misbehaviour() {
        assert!(ready().recv(&[number::USERAUTH_SUCCESS]).is_err());
    }

    #[test]
    fn pk_ok_for_another_key_is_misbehaviour() {
        let mut auth = ready();
        auth.request(Method::PublicKey {
            algorithm: "ssh-ed25519",
            key: b"mine",
            signature: None,
        });
        let other = PkOk {
            algorithm: "ssh-ed25519",
            key: b"other",
        };
        assert!(auth.recv(&other.encode()).is_err());
        let mine = PkOk {
            algorithm: "ssh-ed25519",
            key: b"mine",
        };
        let accepted = auth.recv(&mine.encode());
        assert_eq!(accepted, Ok(vec![ClientAuthEvent::KeyAccepted]));
    }

    #[test]
    fn requests_that_were_sent_together_are_answered_in_their_order() {
        let (mut auth, _) = ClientAuth::new("u".into());
        auth.request(Method::PublicKey {
            algorithm: "ssh-ed25519",
            key: b"mine",
            signature: None,
        });
        assert_eq!(auth.recv(&accept()), Ok(vec![]));
        let ok = PkOk {
            algorithm: "ssh-ed25519",
            key: b"mine",
        };
        assert!(auth.recv(&ok.encode()).is_err(), "`none` is not answered");
        let failure = Failure {
            methods: vec!["publickey".into()],
            partial_success: false,
        };
        let refused = auth.recv(&failure.encode());
        assert_eq!(refused, Ok(vec![ClientAuthEvent::Failure(failure)]));
        let accepted = auth.recv(&ok.encode());
        assert_eq!(accepted, Ok(vec![ClientAuthEvent::KeyAccepted]));
        assert!(auth.recv(&[number::USERAUTH_SUCCESS]).is_err());
    }

    #[test]
    fn prompts_come_only_in_keyboard_interactive() {
        let mut w = crate::wire::Writer::message(number::USERAUTH_60);
        w.string("")
            .string("")
            .string("")
            .u32(1)
            .string("Password: ")
            .boolean(false);
        let mut auth = ready();
        auth.request(Method::Password(b"x"));
        assert!(auth.recv(w.as_slice()).is_err());
        let mut auth = ready();
        auth.request(Method::KeyboardInteractive);
        let events = auth.recv(w.as_slice()).unwrap();
        assert!(matches!(events[..], [ClientAuthEvent::Prompts(_)]));
    }

    #[test]
    fn questions_without_answers_are_abandoned_by_the_next_request() {
        let mut auth = ready();
        auth.request(Method::KeyboardInteractive);
        auth.request(Method::Password(b"x"));
        let failure = Failure {
            methods: Vec::new(),
            partial_success: false,
        };
        let refused = auth.recv(&failure.encode());
        assert_eq!(refused, Ok(vec![ClientAuthEvent::Failure(failure)]));
        assert!(auth.recv(&[number::USERAUTH_SUCCESS]).is_err());
    }

    #[test]
    fn expired_password_is_reported_and_other_methods_stay_possible() {
        let mut auth = ready();
        auth.request(Method::Password(b"old"));
        let mut w = crate::wire::Writer::message(number::USERAUTH_60);
        w.string("Your password has expired").string("en");
        let expected = vec![
            ClientAuthEvent::Banner("Your password has expired".into()),
            ClientAuthEvent::PasswordExpired,
        ];
        assert_eq!(auth.recv(w.as_slice()), Ok(expected));
        assert!(auth.recv(w.as_slice()).is_err(), "it was answered");
        auth.request(Method::KeyboardInteractive);
        let success = auth.recv(&[number::USERAUTH_SUCCESS]);
        assert_eq!(success, Ok(vec![ClientAuthEvent::Success]));
    }
}
