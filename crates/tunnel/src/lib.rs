//! SSH tunnels as a library.
#![forbid(unsafe_code)]

pub mod authorized_keys;
pub mod client;
pub mod config;
pub mod forward;
pub mod identity;
pub mod known_hosts;
pub mod net;
pub mod pattern;
pub mod policy;
mod repeats;
pub mod server;
pub mod session;
pub mod small_file;
pub mod status;
pub mod tunnel;

/// Target of log lines at level info that are for `LogLevel VERBOSE` and above.
pub const VERBOSE: &str = "adit_verbose";
