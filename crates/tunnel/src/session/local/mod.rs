//! The client's end of a session: its terminal, its standard streams, what the user types to the client itself.

pub mod escapes;
pub mod job;
pub mod plan;
pub mod run;
pub mod stdio;
pub mod terminal;
