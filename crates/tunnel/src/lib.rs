//! SSH tunnels as a library.

pub mod config;
pub mod policy;
