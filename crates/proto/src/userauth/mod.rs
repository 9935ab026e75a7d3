//! User authentication (RFC 4252), without deciding anything: who may log in is the caller's to say.

pub mod client;
pub mod proof;
pub mod server;

/// The service that asks for the user.
pub(crate) const USERAUTH_SERVICE: &str = "ssh-userauth";
/// The service that runs after it.
pub(crate) const CONNECTION_SERVICE: &str = "ssh-connection";
