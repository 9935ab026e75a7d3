//! Text that the user and the administrator write: forward specifications, ssh_config, sshd_config.
//!
//! Everything here is a parser: text in, typed values or errors with file and line out. Only
//! [`FileSource::Disk`] touches the machine; names, variables and services come from [`Lookups`].
//!
//! ```text
//! FileSource ─▶ walk ─▶ lines ─▶ keyword table ─▶ values, spec, algorithms ─▶ options
//! ```

pub mod algorithms;
pub mod connection;
pub mod destination;
pub mod error;
pub mod expand;
mod keyword;
pub(crate) mod lines;
pub mod negotiation;
mod rules_syntax;
pub mod source;
pub mod spec;
pub mod ssh_config;
pub mod sshd_config;
pub mod values;
mod walk;

#[doc(no_inline)]
pub use crate::pattern;
pub use connection::ConnectionOptions;
pub use expand::Lookups;
pub use source::{FileSource, Streams};
