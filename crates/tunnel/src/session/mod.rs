//! Sessions: shells, commands and subsystems, as `forward` is to forwards.
//!
//! [`local`] is the client's end (its terminal and standard streams), [`remote`] the server's (processes and
//! pseudo-terminals), [`modes`] what both know of terminals.

pub mod local;
pub mod modes;
pub mod remote;
