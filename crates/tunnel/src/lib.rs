//! SSH tunnels as a library.

pub mod authorized_keys;
mod pattern;
pub mod policy;
pub mod public_key;
