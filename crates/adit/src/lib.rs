//! The two programs: argument grammar, exit codes, and the only place that prints.
#![forbid(unsafe_code)]

pub mod background;
pub mod client_cli;
mod command_line;
mod demo;
pub mod limits;
pub mod logger;
mod machine;
pub mod server_cli;
mod signals;
mod syslog;
