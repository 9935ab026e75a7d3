//! Messages of user authentication (RFC 4252, RFC 4256).

use super::{names, number};
use crate::peer_text;
use crate::wire::{Reader, WireError, Writer};
use zeroize::Zeroizing;

/// SSH_MSG_USERAUTH_REQUEST (RFC 4252 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserauthRequest<'a> {
    /// The account asked for.
    pub user: &'a str,
    /// The service to start after success.
    pub service: &'a str,
    /// Method by which the user proves to be that user.
    pub method: Method<'a>,
}

/// The method of a request, with its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method<'a> {
    /// Asks which methods may continue.
    None,
    /// A public key (RFC 4252 §7).
    PublicKey {
        /// The signature algorithm's name.
        algorithm: &'a str,
        /// The public key.
        key: &'a [u8],
        /// The signature; none means "would this key be accepted?".
        signature: Option<&'a [u8]>,
    },
    /// A password (RFC 4252 §8).
    Password(&'a [u8]),
    /// Prompts (RFC 4256).
    KeyboardInteractive,
    /// A method that this implementation does not know.
    Other(&'a str),
}

impl<'a> UserauthRequest<'a> {
    /// Reads the message.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(payload);
        r.u8("message number")?;
        let user = r.text("user name")?;
        let service = r.text("service name")?;
        let method = match r.text("method name")? {
            "none" => Method::None,
            "publickey" => {
                let signed = r.boolean("has signature")?;
                Method::PublicKey {
                    algorithm: r.text("public key algorithm name")?,
                    key: r.string("public key")?,
                    signature: signed.then(|| r.string("signature")).transpose()?,
                }
            }
            "password" => {
                r.boolean("change password")?;
                Method::Password(r.string("password")?)
            }
            "keyboard-interactive" => Method::KeyboardInteractive,
            other => Method::Other(other),
        };
        Ok(Self {
            user,
            service,
            method,
        })
    }

    /// The message as bytes; they may hold a password.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::message(number::USERAUTH_REQUEST);
        w.string(self.user).string(self.service);
        match &self.method {
            Method::None => w.string("none"),
            Method::PublicKey {
                algorithm,
                key,
                signature,
            } => {
                w.string("publickey")
                    .boolean(signature.is_some())
                    .string(algorithm)
                    .string(key);
                match signature {
                    Some(signature) => w.string(signature),
                    None => &mut w,
                }
            }
            Method::Password(password) => w.string("password").boolean(false).string(password),
            Method::KeyboardInteractive => w.string("keyboard-interactive").string("").string(""),
            Method::Other(name) => w.string(name),
        };
        Zeroizing::new(w.into_vec())
    }
}

/// Data that the signature of the `publickey` method covers (RFC 4252 §7).
pub fn publickey_signed_data(
    session_id: &[u8],
    user: &str,
    service: &str,
    algorithm: &str,
    key: &[u8],
) -> Vec<u8> {
    let mut w = Writer::new();
    w.string(session_id)
        .u8(number::USERAUTH_REQUEST)
        .string(user)
        .string(service)
        .string("publickey")
        .boolean(true)
        .string(algorithm)
        .string(key);
    w.into_vec()
}

/// SSH_MSG_USERAUTH_FAILURE (RFC 4252 §5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Methods that can continue.
    pub methods: Vec<String>,
    /// True if the request was right but more is needed.
    pub partial_success: bool,
}

impl Failure {
    /// Reads the message.
    pub fn parse(payload: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(payload);
        r.u8("message number")?;
        let methods = names(&mut r, "authentications that can continue")?;
        let partial_success = r.boolean("partial success")?;
        r.finish()?;
        Ok(Self {
            methods,
            partial_success,
        })
    }

    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::message(number::USERAUTH_FAILURE);
        w.name_list(&self.methods).boolean(self.partial_success);
        w.into_vec()
    }
}

/// SSH_MSG_USERAUTH_BANNER (RFC 4252 §5.4): the text.
pub fn parse_banner(payload: &[u8]) -> Result<String, WireError> {
    let mut r = Reader::new(payload);
    r.u8("message number")?;
    Ok(peer_text::keep_lines(r.string("message")?))
}

/// SSH_MSG_USERAUTH_BANNER as bytes.
pub fn encode_banner(text: &str) -> Vec<u8> {
    let mut w = Writer::message(number::USERAUTH_BANNER);
    w.string(text).string("");
    w.into_vec()
}

/// SSH_MSG_USERAUTH_PK_OK (RFC 4252 §7): the key would be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PkOk<'a> {
    /// The signature algorithm's name, as the client asked.
    pub algorithm: &'a str,
    /// The public key, as the client asked.
    pub key: &'a [u8],
}

impl<'a> PkOk<'a> {
    /// Reads the message.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(payload);
        r.u8("message number")?;
        let ok = Self {
            algorithm: r.text("public key algorithm name")?,
            key: r.string("public key")?,
        };
        r.finish()?;
        Ok(ok)
    }

    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::message(number::USERAUTH_60);
        w.string(self.algorithm).string(self.key);
        w.into_vec()
    }
}

/// SSH_MSG_USERAUTH_PASSWD_CHANGEREQ (RFC 4252 §8): the text that says what the server wants of a new password.
pub fn parse_password_change_request(payload: &[u8]) -> Result<String, WireError> {
    let mut r = Reader::new(payload);
    r.u8("message number")?;
    let prompt = peer_text::keep(r.string("prompt")?);
    r.string("language tag")?;
    r.finish()?;
    Ok(prompt)
}

/// One question of a keyboard-interactive request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The question.
    pub text: String,
    /// True if the answer may be shown while it is typed.
    pub echo: bool,
}

/// SSH_MSG_USERAUTH_INFO_REQUEST (RFC 4256 §3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfoRequest {
    /// A title.
    pub name: String,
    /// Text to show above the questions.
    pub instruction: String,
    /// The questions; there may be none.
    pub prompts: Vec<Prompt>,
}

/// The most questions one request may ask.
const MAX_PROMPTS: u32 = 64;

impl InfoRequest {
    /// Reads the message.
    pub fn parse(payload: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(payload);
        r.u8("message number")?;
        let name = r.text("name")?.to_owned();
        let instruction = r.text("instruction")?.to_owned();
        r.string("language tag")?;
        let count = r.u32("num-prompts")?;
        if count > MAX_PROMPTS {
            return Err(WireError::BadValue("num-prompts"));
        }
        let mut prompts = Vec::new();
        for _ in 0..count {
            prompts.push(Prompt {
                text: r.text("prompt")?.to_owned(),
                echo: r.boolean("echo")?,
            });
        }
        r.finish()?;
        Ok(Self {
            name,
            instruction,
            prompts,
        })
    }
}

/// SSH_MSG_USERAUTH_INFO_RESPONSE (RFC 4256 §3.4) as bytes.
pub fn encode_info_response<S: AsRef<str>>(answers: &[S]) -> Zeroizing<Vec<u8>> {
    let mut w = Writer::message(number::USERAUTH_INFO_RESPONSE);
    w.u32(length(answers.len()));
    let mut message = Zeroizing::new(w.into_vec());
    let answers = answers.iter().map(|answer| answer.as_ref().as_bytes());
    // Room for all of them: growing behind the first would leave it in freed memory.
    message.reserve_exact(answers.clone().map(|answer| 4 + answer.len()).sum());
    for answer in answers {
        message.extend_from_slice(&length(answer.len()).to_be_bytes());
        message.extend_from_slice(answer);
    }
    message
}

fn length(len: usize) -> u32 {
    u32::try_from(len).expect("a person's answers are shorter than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::super::MAX_NAMES;
    use super::*;

    #[test]
    fn request_round_trips_for_each_method() {
        for method in [
            Method::None,
            Method::Password(b"secret"),
            Method::KeyboardInteractive,
            Method::PublicKey {
                algorithm: "ssh-ed25519",
                key: b"key",
                signature: None,
            },
            Method::PublicKey {
                algorithm: "ssh-ed25519",
                key: b"key",
                signature: Some(b"sig"),
            },
        ] {
            let request = UserauthRequest {
                user: "u",
                service: "ssh-connection",
                method,
            };
            assert_eq!(
                UserauthRequest::parse(&request.encode()),
                Ok(request.clone())
            );
        }
    }

    #[test]
    fn failure_with_a_flood_of_methods_is_refused() {
        let failure = Failure {
            methods: vec!["x".into(); MAX_NAMES + 1],
            partial_success: false,
        };
        assert_eq!(
            Failure::parse(&failure.encode()),
            Err(WireError::BadValue("authentications that can continue"))
        );
    }

    #[test]
    fn answers_are_written_into_room_for_all_of_them() {
        let answers = ["a".repeat(100), "secret".into(), String::new()];
        let message = encode_info_response(&answers);
        let mut w = Writer::message(number::USERAUTH_INFO_RESPONSE);
        w.u32(3);
        for answer in &answers {
            w.string(answer);
        }
        assert_eq!(*message, w.as_slice());
        assert_eq!(message.capacity(), message.len(), "it has grown on the way");
    }

    #[test]
    fn info_request_with_a_flood_of_prompts_is_refused() {
        let mut w = Writer::message(number::USERAUTH_60);
        w.string("").string("").string("").u32(1_000_000);
        assert_eq!(
            InfoRequest::parse(w.as_slice()),
            Err(WireError::BadValue("num-prompts"))
        );
    }
}
