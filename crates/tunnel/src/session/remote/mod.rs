//! The server's end of a session: its environment, its pseudo-terminal, its process.
//!
//! ```text
//!   request ─▶ environment ─▶ process ──re-executes the own binary──▶ start: setsid, terminal, exec
//!                 pty ───────────┘
//! ```

pub mod environment;
pub mod policy;
pub mod process;
pub mod pty;
pub mod start;
