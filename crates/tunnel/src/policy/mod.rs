//! What a peer may do: pure, deny by default, asked at the moment of the act.

pub mod rules;
