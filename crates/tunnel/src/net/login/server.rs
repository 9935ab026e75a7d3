//! The login of a server's client at the level of the connection; the owner decides who may log in.

use std::time::Instant;

use adit_proto::connection::{Connection, ConnectionConfig};
use adit_proto::error::Error;
use adit_proto::login::LoginAsServer;
use adit_proto::userauth::proof::Proof;
use adit_proto::userauth::server::{AnswerToken, AuthMethod, AuthRequest, KeyQuery};

use super::{LoginSuccess, Unfinished};
use crate::net::connection::Handle;
use crate::net::incoming::{Inbox, Notice};
use crate::net::outcome::Ended;
use crate::net::stream::Stream;

/// The login at a server. It returns the client's requests one by one; the next is read after the answer.
#[derive(Debug)]
pub struct ServerLogin {
    connection: Unfinished,
    /// Token of a request that was dropped without an answer.
    unanswered: Option<AnswerToken>,
}

/// Request of a client.
#[derive(Debug)]
pub struct LoginRequest<'a> {
    /// Account of the login.
    pub user: String,
    /// Method of the request.
    pub method: AuthMethod,
    /// Right to answer the request.
    pub answer: PendingAnswer<'a>,
}

/// Right to answer a request, once. If it is dropped, the request is refused when the login continues, and nothing is
/// sent if the login has ended.
///
/// ```
/// # use adit_tunnel::net::login::{LoginRequest, LoginSuccess};
/// # use adit_proto::{error::Error, userauth::server::AuthMethod};
/// fn decide(request: LoginRequest<'_>) -> Result<Option<LoginSuccess>, Error> {
///     match request.method {
///         AuthMethod::KeySigned(proof) => request.answer.accept(proof).map(Some),
///         _ => request.answer.reject().map(|()| None),
///     }
/// }
/// ```
/// A user is not logged in without a proof,
/// ```compile_fail,E0061
/// # use adit_tunnel::net::login::{LoginRequest, LoginSuccess};
/// # use adit_proto::{error::Error, userauth::server::AuthMethod};
/// fn decide(request: LoginRequest<'_>) -> Result<Option<LoginSuccess>, Error> {
///     match request.method {
///         AuthMethod::KeySigned(proof) => request.answer.accept().map(Some),
///         _ => request.answer.reject().map(|()| None),
///     }
/// }
/// ```
/// nor with a key that the client only sent a query for:
/// ```compile_fail,E0277
/// # use adit_tunnel::net::login::{LoginRequest, LoginSuccess};
/// # use adit_proto::{error::Error, userauth::server::AuthMethod};
/// fn decide(request: LoginRequest<'_>) -> Result<Option<LoginSuccess>, Error> {
///     match request.method {
///         AuthMethod::KeyQuery(query) => request.answer.accept(query).map(Some),
///         _ => request.answer.reject().map(|()| None),
///     }
/// }
/// ```
/// A request is answered once:
/// ```compile_fail,E0382
/// # use adit_tunnel::net::login::{LoginRequest, LoginSuccess};
/// # use adit_proto::{error::Error, userauth::server::AuthMethod};
/// fn decide(request: LoginRequest<'_>) -> Result<Option<LoginSuccess>, Error> {
///     request.answer.reject()?;
///     match request.method {
///         AuthMethod::KeySigned(proof) => request.answer.accept(proof).map(Some),
///         _ => Ok(None),
///     }
/// }
/// ```
/// The next request comes after the answer:
/// ```compile_fail,E0499
/// # use adit_tunnel::net::login::ServerLogin;
/// async fn two_at_once(login: &mut ServerLogin) {
///     let (first, second) = (login.next().await, login.next().await);
///     drop((first, second));
/// }
/// ```
/// A client has nothing to accept:
/// ```compile_fail,E0599
/// # use adit_tunnel::net::login::ClientLogin;
/// # use adit_proto::userauth::proof::VerifiedKey;
/// fn decide(login: ClientLogin, proof: VerifiedKey) {
///     login.accept(proof);
/// }
/// ```
#[derive(Debug)]
#[must_use = "the client waits for the answer"]
pub struct PendingAnswer<'a> {
    login: &'a mut ServerLogin,
    /// None after the answer.
    token: Option<AnswerToken>,
}

impl ServerLogin {
    /// Starts a connection after the exchange of identification lines, as a task of this runtime. `early` has the bytes
    /// that were read after the client's line.
    pub fn start(socket: Stream, config: ConnectionConfig, early: &[u8]) -> Self {
        let connection = Connection::server(config, Instant::now());
        Self {
            connection: Unfinished::start(socket, connection, early),
            unanswered: None,
        }
    }

    /// Waits for the client's next request; none after the end of the connection. Cancel safe.
    pub async fn next(&mut self) -> Option<LoginRequest<'_>> {
        if let Some(token) = self.unanswered.take() {
            // It fails only if the connection is about to end.
            let _ = self.act(|mut login| login.reject(token));
        }
        let request = self.request().await?;
        let AuthRequest {
            user,
            method,
            answer,
        } = request;
        let answer = PendingAnswer {
            login: self,
            token: Some(answer),
        };
        Some(LoginRequest {
            user,
            method,
            answer,
        })
    }

    async fn request(&mut self) -> Option<AuthRequest> {
        loop {
            match self.connection.notices.recv().await? {
                Notice::AuthRequest(request) => return Some(*request),
                // Nothing else is for the owner before the login.
                Notice::HostKey(_) | Notice::Auth(_) | Notice::Incoming(_) => {}
            }
        }
    }

    /// Sends a text for the user who is logging in.
    ///
    /// # Errors
    /// Too much output waits.
    pub fn banner(&self, text: &str) -> Result<(), Error> {
        self.act(|mut login| Ok(login.banner(text)?))
    }

    /// The connection, with the user in. With the success of another login it ends.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a success is good for one connection"
    )]
    pub fn finish(self, success: LoginSuccess) -> (Handle, Inbox) {
        self.connection.finish(&success)
    }

    /// Ends the connection with DISCONNECT.
    pub fn end(&self, description: &str) {
        self.connection.handle.end(description);
    }

    /// Reason of the connection's end; `ByUs` before that.
    pub fn why_ended(&self) -> Ended {
        self.connection.handle.why_ended()
    }

    fn act<T>(&self, act: impl FnOnce(LoginAsServer<'_>) -> Result<T, Error>) -> Result<T, Error> {
        self.connection.handle.with(|c| act(c.login_as_server()?))
    }
}

impl PendingAnswer<'_> {
    /// [`ServerLogin::banner`], in front of the answer.
    ///
    /// # Errors
    /// As there.
    pub fn banner(&self, text: &str) -> Result<(), Error> {
        self.login.banner(text)
    }

    /// Logs the user in.
    ///
    /// # Errors
    /// The proof is not that of the request, which is then refused; or too much output waits.
    pub fn accept(self, proof: impl Into<Proof>) -> Result<LoginSuccess, Error> {
        let handle = self.login.connection.handle.clone();
        self.give(|mut login, token| login.accept(token, proof))?;
        Ok(LoginSuccess(handle))
    }

    /// Refuses the request.
    ///
    /// # Errors
    /// Too much output waits.
    pub fn reject(self) -> Result<(), Error> {
        self.give(|mut login, token| login.reject(token))
    }

    /// Answers that the key would be accepted.
    ///
    /// # Errors
    /// Too much output waits.
    pub fn confirm_key(self, query: &KeyQuery) -> Result<(), Error> {
        self.give(|mut login, token| login.confirm_key(token, query))
    }

    /// Ends the connection with DISCONNECT instead of an answer.
    pub fn end(self, description: &str) {
        self.login.end(description);
    }

    fn give(
        mut self,
        answer: impl FnOnce(LoginAsServer<'_>, AnswerToken) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let token = self.token.take();
        self.login.act(|login| match token {
            Some(token) => answer(login, token),
            None => Err(Error::Internal("the request is answered already".into())),
        })
    }
}

impl Drop for PendingAnswer<'_> {
    fn drop(&mut self) {
        self.login.unanswered = self.token.take();
    }
}

#[cfg(test)]
impl PendingAnswer<'_> {
    /// Sends the client a success without a proof, as other servers may do. Nothing else works on this connection then.
    pub(crate) fn pretend_success(mut self) {
        self.token = None;
        let shared = &self.login.connection.handle.0;
        shared.flush().unwrap();
        let mut outbound = shared.outbound();
        let success = [adit_proto::message::number::USERAUTH_SUCCESS];
        outbound.seal_message(&success).unwrap();
        outbound.write(&shared.socket).unwrap();
    }
}
