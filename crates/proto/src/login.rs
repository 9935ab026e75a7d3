//! Acts of a login, one type for each role: a client's connection has none of the server's, and the other way round.

use crate::error::{Error, Misbehaviour};
use crate::message::userauth::{self as message, Method};
use crate::transport::Transport;
use crate::userauth::client::ClientAuth;
use crate::userauth::proof::Proof;
use crate::userauth::server::{AnswerToken, KeyQuery, ServerAuth};

/// The login of a client that is not in yet.
#[derive(Debug)]
pub struct LoginAsClient<'a> {
    auth: &'a mut ClientAuth,
    transport: &'a mut Transport,
}

impl<'a> LoginAsClient<'a> {
    pub(crate) fn new(auth: &'a mut ClientAuth, transport: &'a mut Transport) -> Self {
        Self { auth, transport }
    }

    /// The user takes the host key.
    pub fn accept_host_key(&mut self) {
        self.transport.accept_host_key();
    }

    /// Sends an authentication request; `none` has gone out by itself.
    pub fn authenticate(&mut self, method: Method<'_>) -> Result<(), Misbehaviour> {
        let message = self.auth.request(method);
        self.transport.send(message)
    }

    /// Sends the answers to `ClientAuthEvent::Prompts`.
    pub fn answer_prompts<S: AsRef<str>>(&mut self, answers: &[S]) -> Result<(), Misbehaviour> {
        let message = self.auth.answer(answers);
        self.transport.send(message)
    }

    /// Bytes that a signature with this key must cover; none before the first key exchange.
    pub fn data_to_sign(&self, algorithm: &str, key: &[u8]) -> Option<Vec<u8>> {
        let session_id = self.transport.session_id()?;
        Some(self.auth.data_to_sign(session_id, algorithm, key))
    }
}

/// The login of a server's client. Each request is answered once, and nobody gets in without a proof:
///
/// ```
/// # use adit_proto::{error::Error, login::LoginAsServer};
/// # use adit_proto::userauth::{proof::VerifiedKey, server::AnswerToken};
/// fn let_in(mut login: LoginAsServer<'_>, answer: AnswerToken, proof: VerifiedKey) -> Result<(), Error> {
///     login.accept(answer, proof)
/// }
/// ```
/// Not without a proof:
/// ```compile_fail,E0061
/// # use adit_proto::{error::Error, login::LoginAsServer};
/// # use adit_proto::userauth::{proof::VerifiedKey, server::AnswerToken};
/// fn let_in(mut login: LoginAsServer<'_>, answer: AnswerToken) -> Result<(), Error> {
///     login.accept(answer)
/// }
/// ```
/// A key that the client has only asked about is no proof:
/// ```compile_fail,E0277
/// # use adit_proto::{error::Error, login::LoginAsServer};
/// # use adit_proto::userauth::server::{AnswerToken, KeyQuery};
/// fn let_in(mut login: LoginAsServer<'_>, answer: AnswerToken, query: KeyQuery) -> Result<(), Error> {
///     login.accept(answer, query)
/// }
/// ```
/// Not twice:
/// ```compile_fail,E0382
/// # use adit_proto::{error::Error, login::LoginAsServer};
/// # use adit_proto::userauth::{proof::VerifiedKey, server::AnswerToken};
/// fn let_in(mut login: LoginAsServer<'_>, answer: AnswerToken, proof: VerifiedKey) -> Result<(), Error> {
///     login.reject(answer)?;
///     login.accept(answer, proof)
/// }
/// ```
/// Not by a client:
/// ```compile_fail,E0599
/// # use adit_proto::{error::Error, login::LoginAsClient};
/// # use adit_proto::userauth::{proof::VerifiedKey, server::AnswerToken};
/// fn let_in(mut login: LoginAsClient<'_>, answer: AnswerToken, proof: VerifiedKey) -> Result<(), Error> {
///     login.accept(answer, proof)
/// }
/// ```
#[derive(Debug)]
pub struct LoginAsServer<'a> {
    auth: &'a mut ServerAuth,
    transport: &'a mut Transport,
}

impl<'a> LoginAsServer<'a> {
    pub(crate) fn new(auth: &'a mut ServerAuth, transport: &'a mut Transport) -> Self {
        Self { auth, transport }
    }

    /// Lets the user in.
    ///
    /// # Errors
    /// The proof is not the one that came with the request, or the request is not of this login. A proof of another user,
    /// connection, key or request is a rejection.
    pub fn accept(&mut self, answer: AnswerToken, proof: impl Into<Proof>) -> Result<(), Error> {
        let session_id = self.transport.session_id().unwrap_or_default();
        let message = self.auth.accept(answer, &proof.into(), session_id)?;
        self.send(message)?;
        if !self.auth.is_over() {
            return Err(Error::Internal("the proof is not of this request".into()));
        }
        self.transport.authenticated();
        Ok(())
    }

    /// Refuses the request.
    pub fn reject(&mut self, answer: AnswerToken) -> Result<(), Error> {
        let message = self.auth.reject(answer)?;
        Ok(self.send(message)?)
    }

    /// Tells that the key would do.
    pub fn confirm_key(&mut self, answer: AnswerToken, query: &KeyQuery) -> Result<(), Error> {
        let message = self.auth.confirm_key(answer, query)?;
        Ok(self.send(message)?)
    }

    /// Sends a text for the user who is logging in (RFC 4252 §5.4).
    pub fn banner(&mut self, text: &str) -> Result<(), Misbehaviour> {
        self.send(message::encode_banner(text))
    }

    fn send(&mut self, message: Vec<u8>) -> Result<(), Misbehaviour> {
        self.transport.send(message.into())
    }
}
