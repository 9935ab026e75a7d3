//! SSH tunnels as a library.
#![forbid(unsafe_code)]

pub mod authorized_keys;
pub mod forward;
pub mod net;
mod pattern;
mod public_key;
pub mod policy;
pub mod status;
