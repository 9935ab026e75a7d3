//! The login of a client, as far as the connection goes: keys and prompts are its owner's.

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
    /// The request failed, or was right and not enough.
    Failure(Failure),
    /// The password was right and has expired.
    PasswordExpired,
    /// The key that was asked about would do: sign with it.
    KeyAccepted,
    /// Questions for the user.
    Prompts(InfoRequest),
    /// A text for the user.
    Banner(String),
    /// The user is in.
    Success(LoginSuccess),
    /// A text for a person who debugs.
    Debug(String),
}

impl ClientLogin {
    /// Begins to run a connection whose identification lines have been exchanged, as a task of this runtime. `early` is
    /// what was read behind the server's.
    pub fn start(socket: Stream, config: ConnectionConfig, user: String, early: &[u8]) -> Self {
        let connection = Connection::client(config, user, Instant::now());
        Self(Unfinished::start(socket, connection, early))
    }

    /// Waits for the next event; none once the connection is over. May be dropped at any time.
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

    /// The user takes the host key. Nothing happens where none waits for that.
    pub fn accept_host_key(&self) {
        let accepted = self.act(|mut login| {
            login.accept_host_key();
            Ok(())
        });
        // Without a login there is no host key that waits.
        let _ = accepted;
    }

    /// Sends an authentication request; `none` has gone out by itself.
    ///
    /// # Errors
    /// The user is in, or too much waits to be sent.
    pub fn authenticate(&self, method: Method<'_>) -> Result<(), Error> {
        self.act(|mut login| login.authenticate(method))
    }

    /// Sends the answers to [`ClientLoginEvent::Prompts`].
    ///
    /// # Errors
    /// The user is in, or too much waits to be sent.
    pub fn answer_prompts<S: AsRef<str>>(&self, answers: &[S]) -> Result<(), Error> {
        self.act(|mut login| login.answer_prompts(answers))
    }

    /// Bytes that a signature with this key must cover; none before the first key exchange, and once the user is in.
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

    /// Ends the connection with a good-bye.
    pub fn end(&self, description: &str) {
        self.0.handle.end(description);
    }

    /// The reason for which the connection is over; `ByUs` while it is not.
    pub fn why_ended(&self) -> Ended {
        self.0.handle.why_ended()
    }

    /// Looks at the connection.
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
    /// Hears these events instead of what the server says.
    pub(crate) async fn hear(&mut self, events: Vec<ClientAuthEvent>) {
        let (said, script) = tokio::sync::mpsc::channel(events.len() + 1);
        let keys_changed = Notice::Incoming(Incoming::KeysChanged);
        said.send(keys_changed).await.unwrap();
        for event in events {
            said.send(Notice::Auth(event)).await.unwrap();
        }
        self.0.notices = script;
    }

    /// The connection, to look at while somebody logs in.
    pub(crate) fn handle(&self) -> Handle {
        self.0.handle.clone()
    }
}
