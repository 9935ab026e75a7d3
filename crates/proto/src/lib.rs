//! SSH as a state machine: no sockets, no clock, no files, no runtime.
#![forbid(unsafe_code)]

pub mod kex;
pub mod key;
pub mod wire;
