//! SSH as a state machine.
#![forbid(unsafe_code)]

pub mod channels;
pub mod error;
pub mod kex;
pub mod key;
pub mod message;
pub mod wire;
