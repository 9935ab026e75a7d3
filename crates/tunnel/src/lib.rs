//! SSH tunnels as a library.

pub mod identity;
pub mod known_hosts;
