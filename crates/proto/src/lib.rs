//! SSH as a state machine: no sockets, no clock, no files, no runtime.
//!
//! ```text
//!              payloads                                     payloads
//!   Opener ───────────────▶ Connection::handle_packet        ▲
//!     ▲                       │  transport   (keys)          │ poll_transmit
//!     │ poll_open_change      │  userauth    (who)           ├──────────────▶ Sealer ──▶ bytes
//!     └───────────────────────┤  channels    (what)          │
//!                             ▼                              │ Reserved: channel data is framed and
//!                          poll_event                        │ sealed by the caller, in place
//! ```
//!
//! The contract of [`connection::Connection`]: one call mutates it at a time; after every call that takes input,
//! drain `poll_event`, `poll_open_change` (before the next packet is opened) and `poll_transmit`, then ask
//! `next_timeout`. `now` is an argument, and so is all randomness but the key exchange's own secrets.
#![forbid(unsafe_code)]

pub mod channels;
pub mod cipher;
pub mod compression;
pub mod connection;
pub mod error;
mod global_requests;
pub mod ident;
pub mod kex;
pub mod key;
mod liveness;
pub mod login;
pub mod message;
mod ordered_replies;
pub mod packet;
pub mod peer_text;
pub mod peers;
pub mod residue;
mod round_trip;
pub mod transport;
pub mod userauth;
pub mod wire;

/// End of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The end that dialled.
    Client,
    /// The end that listened.
    Server,
}
