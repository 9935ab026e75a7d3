//! The tokio side of the SSH core: sockets, tasks and locks around `adit_proto::connection`.
//!
//! ```text
//!   app socket ──▶ Channel::pump_from ──▶ Turn ──▶ Outbound ─────write─▶ SSH socket
//!                  (relay task)                        ▲ what turns and control messages left there
//!                                                      │
//!   app socket ◀── Delivery ◀── Inbound ◀───────────── Driver ◀──read── SSH socket
//!                                  └─▶ State::handle_event ─▶ Incoming ─▶ owner, with a Handle
//! ```
//!
//! Two locks: `Outbound` (seal and write) is taken before `State` (the channel table), never after it. Packets are
//! opened outside both locks, and sealed outside `State`. No lock is held across an await.
//!
//! No circles: `state` is below `turn`, that below `channel`, then `incoming`, `events`, `inbound`, `connection`, `driver`.

mod agreed;
pub mod channel;
pub mod connection;
mod delivery;
pub mod descriptor;
mod driver;
mod events;
pub mod handshake;
mod inbound;
pub mod incoming;
pub mod listener;
pub mod login;
pub(crate) mod memory;
mod outbound;
pub mod outcome;
#[cfg(test)]
pub(crate) mod pair;
pub mod pump;
mod queue;
pub mod requests;
pub(crate) mod seed;
mod state;
pub mod stream;
pub mod stream_end;
mod turn;

pub use channel::{Channel, Pumped};
pub use connection::Handle;
pub use incoming::{Inbox, Incoming, IncomingRequest, PendingReply};
pub use login::{ClientLogin, ServerLogin};
pub use outcome::Ended;
pub use requests::{IncomingChannelRequest, PendingChannelAnswer, PendingChannelReply};
pub use stream::{Stream, TcpKeepAlive};
pub use stream_end::StreamEnd;
