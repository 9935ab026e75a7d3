//! User authentication (RFC 4252), without decisions: the caller decides who may log in.

pub mod client;
pub mod proof;
pub mod server;

/// Service of user authentication.
pub(crate) const USERAUTH_SERVICE: &str = "ssh-userauth";
/// Service that runs after it.
pub(crate) const CONNECTION_SERVICE: &str = "ssh-connection";
