//! SSH tunnels as a library.

pub mod policy;
