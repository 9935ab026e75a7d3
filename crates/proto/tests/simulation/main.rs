//! Client and server of this crate against each other, over a simulated link in simulated time.
#![allow(clippy::unwrap_used, missing_docs)]

mod handshake;
mod pair;
mod strict_kex;
