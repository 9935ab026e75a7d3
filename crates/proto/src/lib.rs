//! SSH as a state machine: no sockets, no clock, no files, no runtime.
#![forbid(unsafe_code)]

pub mod channels;
pub mod error;
pub mod message;
pub mod wire;
