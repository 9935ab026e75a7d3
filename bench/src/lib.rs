//! The hot paths of adit's core as tasks that can be done again and again: `cargo bench -p adit-bench` takes
//! their time, and `adit-bench instructions` counts their processor instructions.

pub mod work;
