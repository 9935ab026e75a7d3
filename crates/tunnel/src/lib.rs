//! SSH tunnels as a library.

pub mod known_hosts;
