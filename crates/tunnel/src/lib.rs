//! SSH tunnels as a library.

mod pattern;
pub mod policy;
