//! The user's identity: private keys in files ([`mod@file`]) and in an agent's memory ([`agent`]).

pub mod agent;
mod encrypted;
mod error;
pub mod file;
mod openssh;
mod pem;

pub use error::{IdentityError, KeyFileFault};
