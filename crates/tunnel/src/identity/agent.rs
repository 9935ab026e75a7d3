//! The ssh-agent protocol (RFC 9987), as much as a client needs: which keys there are, and signing.
//!
//! Private keys stay in the agent. An agent answers requests in their order, one at a time, so every
//! request takes the [`Agent`] exclusively; after an error, the connection is not used again.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io};

use adit_proto::key::SignatureAlgorithm;
use adit_proto::peer_text;
use adit_proto::wire::{Reader, WireError, Writer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

const AGENT_FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// Flags of a sign request (RFC 9987): without one, RSA keys would sign with SHA-1.
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// The longest reply that is read, and request that is sent, in bytes.
const MAX_MESSAGE: usize = 256 << 10;
/// The most keys that a list may have.
const MAX_KEYS: u32 = 2048;
/// Time that an agent has to connect and to list its keys. Signing has no limit: the agent may ask its user.
const LIST_TIME: Duration = Duration::from_secs(10);

/// A connection to an agent.
#[derive(Debug)]
pub struct Agent {
    path: PathBuf,
    stream: UnixStream,
    /// Set while a reply is due. If it still is at the next request, the last one was given up, and
    /// its reply would be taken for the answer to this one.
    awaiting: bool,
}

/// A key that an agent holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentKey {
    /// The public key as on the wire; it may be a certificate or of a type that is not ours.
    pub blob: Vec<u8>,
    /// Name that the user gave it, made safe to show.
    pub comment: String,
}

impl Agent {
    /// Connects to the agent's socket, mostly the one named by `SSH_AUTH_SOCK`.
    pub async fn connect(path: &Path) -> Result<Self, AgentError> {
        let path = path.to_owned();
        match timeout(LIST_TIME, UnixStream::connect(&path)).await {
            Ok(Ok(stream)) => Ok(Self {
                path,
                stream,
                awaiting: false,
            }),
            Ok(Err(why)) => Err(AgentError::new(Act::Connect, &path, Fault::Io(why))),
            Err(_) => Err(AgentError::new(Act::Connect, &path, Fault::TimedOut)),
        }
    }

    /// The keys that the agent holds, in its order (RFC 9987); fails after ten seconds.
    pub async fn identities(&mut self) -> Result<Vec<AgentKey>, AgentError> {
        self.identities_within(LIST_TIME).await
    }

    /// Has the agent sign `data` with the key of that blob (RFC 9987); gives the signature blob.
    ///
    /// The blob names `algorithm`, that much is checked. Waits without limit for an agent that asks its user.
    pub async fn sign(
        &mut self,
        blob: &[u8],
        data: &[u8],
        algorithm: SignatureAlgorithm,
    ) -> Result<Vec<u8>, AgentError> {
        let flags = match algorithm {
            SignatureAlgorithm::RsaSha256 => RSA_SHA2_256,
            SignatureAlgorithm::RsaSha512 => RSA_SHA2_512,
            _ => 0,
        };
        let mut request = Writer::message(SIGN_REQUEST);
        request.string(blob).string(data).u32(flags);
        let reply = self.request(request.as_slice()).await;
        let answer = reply.and_then(|reply| parse_signature(&reply, algorithm));
        answer.map_err(|why| AgentError::new(Act::Sign, &self.path, why))
    }

    async fn identities_within(&mut self, limit: Duration) -> Result<Vec<AgentKey>, AgentError> {
        let answer = match timeout(limit, self.request(&[REQUEST_IDENTITIES])).await {
            Ok(reply) => reply.and_then(|reply| parse_identities(&reply)),
            Err(_) => Err(Fault::TimedOut),
        };
        answer.map_err(|why| AgentError::new(Act::List, &self.path, why))
    }

    /// Sends one message, waits for its reply.
    async fn request(&mut self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        if self.awaiting {
            return Err(Fault::OutOfStep);
        }
        if message.len() > MAX_MESSAGE {
            return Err(Fault::TooLong(message.len()));
        }
        self.awaiting = true;
        let mut framed = Writer::new();
        framed.string(message);
        self.stream.write_all(framed.as_slice()).await?;
        let len = self.stream.read_u32().await? as usize;
        if len > MAX_MESSAGE {
            return Err(Fault::TooLong(len));
        }
        let mut reply = Vec::new();
        // Grows with what really comes.
        (&mut self.stream)
            .take(len as u64)
            .read_to_end(&mut reply)
            .await?;
        if reply.len() < len {
            return Err(Fault::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        self.awaiting = false;
        Ok(reply)
    }
}

/// Request to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Connect,
    List,
    Sign,
}

/// Reason why an agent did not help.
#[derive(Debug)]
pub struct AgentError {
    act: Act,
    path: PathBuf,
    why: Fault,
}

#[derive(Debug)]
enum Fault {
    Io(io::Error),
    TimedOut,
    OutOfStep,
    TooLong(usize),
    Refused,
    Unexpected(u8),
    TooManyKeys(u32),
    Malformed(WireError),
    OtherAlgorithm(SignatureAlgorithm),
}

impl AgentError {
    fn new(act: Act, path: &Path, why: Fault) -> Self {
        Self {
            act,
            path: path.to_owned(),
            why,
        }
    }

    /// True if the agent itself said no: it does not have the key, or its user did not consent. The connection is still
    /// good.
    pub fn is_refusal(&self) -> bool {
        matches!(self.why, Fault::Refused)
    }

    /// True where the agent let its time pass.
    pub fn is_timeout(&self) -> bool {
        matches!(self.why, Fault::TimedOut)
    }
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let act = match self.act {
            Act::Connect => "connect to",
            Act::List => "list the keys of",
            Act::Sign => "sign with",
        };
        write!(
            f,
            "cannot {act} agent {}: {}",
            self.path.display(),
            self.why
        )
    }
}

impl std::error::Error for AgentError {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(why) if why.kind() == io::ErrorKind::UnexpectedEof => {
                write!(f, "it closed the connection")
            }
            Self::Io(why) => write!(f, "{why}"),
            Self::TimedOut => write!(f, "it did not answer in time"),
            Self::OutOfStep => write!(f, "an earlier request was not answered"),
            Self::TooLong(len) => {
                write!(f, "message of {len} bytes is longer than {MAX_MESSAGE}")
            }
            Self::Refused => write!(f, "it refused"),
            Self::Unexpected(number) => write!(f, "unexpected reply of type {number}"),
            Self::TooManyKeys(count) => write!(f, "{count} keys are more than {MAX_KEYS}"),
            Self::Malformed(why) => write!(f, "bad reply: {why}"),
            Self::OtherAlgorithm(asked) => {
                write!(f, "it signed with another algorithm than {asked}")
            }
        }
    }
}

impl From<io::Error> for Fault {
    fn from(why: io::Error) -> Self {
        Self::Io(why)
    }
}

impl From<WireError> for Fault {
    fn from(why: WireError) -> Self {
        Self::Malformed(why)
    }
}

/// Takes the number off a reply, which must be `expected`.
fn body(reply: &[u8], expected: u8) -> Result<Reader<'_>, Fault> {
    let mut r = Reader::new(reply);
    match r.u8("reply type")? {
        number if number == expected => Ok(r),
        AGENT_FAILURE => Err(Fault::Refused),
        number => Err(Fault::Unexpected(number)),
    }
}

fn parse_identities(reply: &[u8]) -> Result<Vec<AgentKey>, Fault> {
    let mut r = body(reply, IDENTITIES_ANSWER)?;
    let count = r.u32("number of keys")?;
    if count > MAX_KEYS {
        return Err(Fault::TooManyKeys(count));
    }
    let mut keys = Vec::new();
    for _ in 0..count {
        let blob = r.string("key blob")?.to_vec();
        let comment = peer_text::name(r.string("key comment")?).to_string();
        keys.push(AgentKey { blob, comment });
    }
    r.finish()?;
    Ok(keys)
}

fn parse_signature(reply: &[u8], algorithm: SignatureAlgorithm) -> Result<Vec<u8>, Fault> {
    let mut r = body(reply, SIGN_RESPONSE)?;
    let signature = r.string("signature")?;
    r.finish()?;
    // Old agents do not know the flags, and sign with SHA-1.
    match Reader::new(signature).text("signature algorithm")? == algorithm.as_str() {
        true => Ok(signature.to_vec()),
        false => Err(Fault::OtherAlgorithm(algorithm)),
    }
}

#[cfg(test)]
mod tests;
