//! Forwarding: what carries an application's connection to a channel and a channel to an application.

pub mod socks;
