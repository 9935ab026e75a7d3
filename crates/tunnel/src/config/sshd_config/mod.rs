//! The server's configuration: `/etc/ssh/sshd_config` and `-o`.
//!
//! The first value of a keyword wins. What restricts and cannot be enforced is an error, never
//! passed over: the server must not allow more than the file says.

mod key_files;
mod keywords;
mod options;
mod parse;
mod session;
mod sources;
mod users;

pub use key_files::KeyFiles;
pub use options::{ListenAddress, MaxStartups, PermitRootLogin, PidFile, ServerOptions};
pub use session::{MAX_SESSIONS, SessionOptions, Subsystem, SubsystemProgram, UserEnvironment};
pub use sources::{NetBlockSize, Overflow, PenaltyOptions};
pub use users::{UserPattern, UserRules};

#[cfg(test)]
mod tests;
