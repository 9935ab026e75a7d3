//! The room where our binaries meet everybody else's.
//!
//! A test picks two [`peer`]s, one as client and one as server, and lets real [`traffic`] pass between them. Everything
//! runs on the loopback interface, as real processes, with keys and files in a [`scratch`] directory that goes away with
//! the test. The [`mod@matrix`] turns one line per pairing into one test per cell.
//!
//! ```text
//!   Visitor ──▶ listener ══ client peer ═══ SSH ═══ server peer ══ dialer ──▶ Target
//!  (traffic)                 (Process)               (Process)              (traffic)
//! ```
//!
//! The binaries under test are found beside the test executable. `ADIT_BIN` and `ADITD_BIN` name others; with
//! `ADIT_BIN=/usr/bin/ssh ADITD_BIN=/usr/sbin/sshd` the harness tests itself on OpenSSH.

pub mod forward;
pub mod matrix;
pub mod missing;
pub mod peer;
pub mod ports;
pub mod process;
pub mod scratch;
pub mod session;
pub mod terminal;
pub mod traffic;
pub mod wait;
