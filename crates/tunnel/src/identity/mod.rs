//! Who we are: private keys in files ([`file`]).

mod error;
pub mod file;
mod openssh;
mod pem;

pub use error::{IdentityError, KeyFileFault};
