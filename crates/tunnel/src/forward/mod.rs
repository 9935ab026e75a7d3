//! Forwarding: a listener at one end, a dialer at the other, a relay between.
//!
//! | the user says | `ingress` runs in | `egress` runs in |
//! |---|---|---|
//! | `-L`, `-D` | the client | the server |
//! | `-R`, `-R port` | the server | the client |
//!
//! An application names its target in SOCKS: for `-D` to `ingress`, for `-R port` to `egress`. Both use the same
//! conversation (`socks`).

pub(crate) mod accept;
pub(crate) mod bind;
pub mod descriptors;
pub mod dial;
pub mod egress;
mod farewell;
pub mod ingress;
pub mod recent_targets;
pub mod registry;
pub mod relay;
pub mod socks;
pub mod uplink;
