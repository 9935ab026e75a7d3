//! The bodies of the fuzz targets: each takes any bytes and panics only where the project has a bug.
//!
//! `fuzz_targets/` wraps each in one line for libFuzzer; `tests/replay.rs` runs all of them over `fuzz/corpus/` on
//! stable. To add a target: a function here, a line in [`TARGETS`], a file in `fuzz_targets/`, a `[[bin]]` in
//! `fuzz/Cargo.toml`, and seeds in `examples/seed.rs`.
#![allow(clippy::unwrap_used)]

mod authentication;
mod channel_operations;
mod ends;
mod identification;
mod key_exchange;
mod messages;
mod packets;
mod payloads;

pub use authentication::authentication;
pub use channel_operations::channel_operations;
pub use identification::identification;
pub use key_exchange::key_exchange;
pub use messages::messages;
pub use packets::packets;

/// One target: its name, which is also that of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("authentication", authentication),
    ("channel_operations", channel_operations),
    ("identification", identification),
    ("key_exchange", key_exchange),
    ("messages", messages),
    ("packets", packets),
];
