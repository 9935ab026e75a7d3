//! Client and server of this crate against each other, over a simulated link in simulated time.
#![allow(clippy::unwrap_used, missing_docs)]

mod channels;
mod handshake;
mod keep_alive;
mod pair;
mod plain_client;
mod rekey;
mod requests;
mod strict_kex;
mod window_grid;
mod windows;
