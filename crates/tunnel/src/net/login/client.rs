//! The login of a client at the level of the connection; its owner provides keys and answers.

use std::time::Instant;

use adit_proto::connection::{Connection, ConnectionConfig};
use adit_proto::error::{Error, Misbehaviour};
use adit_proto::key::PublicKey;
use adit_proto::login::LoginAsClient;
use adit_proto::message::userauth::{Failure, InfoRequest, Method};
use adit_proto::userauth::client::ClientAuthEvent;

use super::{LoginSuccess, Unfinished};
use crate::net::connection::Handle;
use crate::net::incoming::{Inbox, Incoming, Notice};
use crate::net::outcome::Ended;
use crate::net::stream::Stream;

/// The login of a client.
///
/// ```
/// # use adit_tunnel::net::login::ClientLogin;
/// # use adit_proto::message::userauth::Method;
/// fn ask(login: &ClientLogin) {
///     login.authenticate(Method::None).unwrap();
/// }
/// ```
/// A server's has none of its acts:
/// ```compile_fail,E0599
/// # use adit_tunnel::net::login::ServerLogin;
/// # use adit_proto::message::userauth::Method;
/// fn ask(login: &ServerLogin) {
///     login.authenticate(Method::None).unwrap();
/// }
/// ```
#[derive(Debug)]
pub struct ClientLogin(Unfinished);

/// Event of a client's login.
#[derive(Debug)]
pub enum ClientLoginEvent {
    /// The server has this host key: accept it, or end the connection.
    HostKey(PublicKey),
    /// A key exchange is complete.
    KeysChanged,
    /// The request failed, or succeeded and is not enough.
    Failure(Failure),
    /// The password was correct and has expired.
    PasswordExpired,
    /// The server would accept the key of the query: sign with it.
    KeyAccepted,
    /// Questions for the user.
    Prompts(InfoRequest),
    /// A text for the user.
    Banner(String),
    /// The user is logged in.
    Success(LoginSuccess),
    /// A debug message.
    Debug(String),
}

impl ClientLogin {
    /// Starts a connection after the exchange of identification lines, as a task of this runtime. `early` has the bytes
    /// that were read after the server's line.
    pub fn start(socket: Stream, config: ConnectionConfig, user: String, early: &[u8]) -> Self {
        let connection = Connection::client(config, user, Instant::now());
        Self(Unfinished::start(socket, connection, early))
    }

    /// Waits for the next event; none after the end of the connection. Cancel safe.
    pub async fn next(&mut self) -> Option<ClientLoginEvent> {
        loop {
            let notice = self.0.notices.recv().await?;
            if let Some(event) = self.event(notice) {
                return Some(event);
            }
        }
    }

    fn event(&self, notice: Notice) -> Option<ClientLoginEvent> {
        Some(match notice {
            Notice::HostKey(key) => ClientLoginEvent::HostKey(key),
            Notice::Auth(event) => match event {
                ClientAuthEvent::Failure(failure) => ClientLoginEvent::Failure(failure),
                ClientAuthEvent::PasswordExpired => ClientLoginEvent::PasswordExpired,
                ClientAuthEvent::KeyAccepted => ClientLoginEvent::KeyAccepted,
                ClientAuthEvent::Prompts(request) => ClientLoginEvent::Prompts(request),
                ClientAuthEvent::Banner(text) => ClientLoginEvent::Banner(text),
                ClientAuthEvent::Success => {
                    ClientLoginEvent::Success(LoginSuccess(self.0.handle.clone()))
                }
            },
            Notice::Incoming(Incoming::KeysChanged) => ClientLoginEvent::KeysChanged,
            Notice::Incoming(Incoming::Debug(text)) => ClientLoginEvent::Debug(text),
            // Nothing else comes before the success.
            Notice::AuthRequest(_) | Notice::Incoming(_) => return None,
        })
    }

    /// Accepts the host key. Without effect if none waits.
    pub fn accept_host_key(&self) {
        let accepted = self.act(|mut login| {
            login.accept_host_key();
            Ok(())
        });
        // Without a login no host key waits.
        let _ = accepted;
    }

    /// Sends an authentication request. The core has sent `none` already.
    ///
    /// # Errors
    /// The user is logged in, or too much output waits.
    pub fn authenticate(&self, method: Method<'_>) -> Result<(), Error> {
        self.act(|mut login| login.authenticate(method))
    }

    /// Sends the answers to [`ClientLoginEvent::Prompts`].
    ///
    /// # Errors
    /// The user is logged in, or too much output waits.
    pub fn answer_prompts<S: AsRef<str>>(&self, answers: &[S]) -> Result<(), Error> {
        self.act(|mut login| login.answer_prompts(answers))
    }

    /// Data that a signature with this key covers; none before the first key exchange, and after the login.
    pub fn data_to_sign(&self, algorithm: &str, key: &[u8]) -> Option<Vec<u8>> {
        let act = self.act(|login| Ok(login.data_to_sign(algorithm, key)));
        act.ok().flatten()
    }

    /// The connection, with the user in. With the success of another login it ends.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a success is good for one connection"
    )]
    pub fn finish(self, success: LoginSuccess) -> (Handle, Inbox) {
        self.0.finish(&success)
    }

    /// Ends the connection with DISCONNECT.
    pub fn end(&self, description: &str) {
        self.0.handle.end(description);
    }

    /// Reason of the connection's end; `ByUs` before that.
    pub fn why_ended(&self) -> Ended {
        self.0.handle.why_ended()
    }

    /// Calls `look` with the state of the connection.
    pub fn inspect<T>(&self, look: impl FnOnce(&Connection) -> T) -> T {
        self.0.handle.inspect(look)
    }

    fn act<T>(
        &self,
        act: impl FnOnce(LoginAsClient<'_>) -> Result<T, Misbehaviour>,
    ) -> Result<T, Error> {
        self.0.handle.with(|c| Ok(act(c.login_as_client()?)?))
    }
}

#[cfg(test)]
impl ClientLogin {
    /// Receives these events instead of the server's.
    pub(crate) async fn hear(&mut self, events: Vec<ClientAuthEvent>) {
        let (said, script) = tokio::sync::mpsc::channel(events.len() + 1);
        let keys_changed = Notice::Incoming(Incoming::KeysChanged);
        said.send(keys_changed).await.unwrap();
        for event in events {
            said.send(Notice::Auth(event)).await.unwrap();
        }
        self.0.notices = script;
    }

    /// Handle of the connection during the login.
    pub(crate) fn handle(&self) -> Handle {
        self.0.handle.clone()
    }
}
