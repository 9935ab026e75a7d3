//! SSH as a state machine: no sockets, no clock, no files, no runtime.
#![forbid(unsafe_code)]

pub mod cipher;
pub mod compression;
pub mod packet;
pub mod wire;
