//! The bodies of the fuzz targets: each takes any bytes and panics only where the project has a bug.
//!
//! `fuzz_targets/` wraps each in one line for libFuzzer; `tests/replay.rs` runs all of them over `fuzz/corpus/` on
//! stable. To add a target: a function here, a line in [`TARGETS`], a file in `fuzz_targets/`, a `[[bin]]` in
//! `fuzz/Cargo.toml`, and seeds in `examples/seed.rs`.
#![allow(clippy::unwrap_used)]

mod authentication;
mod authorized_keys;
mod channel_operations;
mod config_files;
mod ends;
mod forward_specs;
mod global_requests;
mod identification;
mod key_exchange;
mod known_hosts;
mod messages;
mod packets;
mod payloads;
mod session_requests;
mod socks;

pub use authentication::authentication;
pub use authorized_keys::authorized_keys;
pub use channel_operations::channel_operations;
pub use config_files::config_files;
pub use forward_specs::forward_specs;
pub use global_requests::global_requests;
pub use identification::identification;
pub use key_exchange::key_exchange;
pub use known_hosts::known_hosts;
pub use messages::messages;
pub use packets::packets;
pub use session_requests::session_requests;
pub use socks::socks;

/// One target: its name, which is also that of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("authentication", authentication),
    ("authorized_keys", authorized_keys),
    ("channel_operations", channel_operations),
    ("config_files", config_files),
    ("forward_specs", forward_specs),
    ("global_requests", global_requests),
    ("identification", identification),
    ("key_exchange", key_exchange),
    ("known_hosts", known_hosts),
    ("messages", messages),
    ("packets", packets),
    ("session_requests", session_requests),
    ("socks", socks),
];
