//! SSH tunnels as a library.
#![forbid(unsafe_code)]

pub mod net;
pub mod status;
