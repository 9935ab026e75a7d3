//! Names of the private extensions between two adit ends; docs/PROTOCOL.md specifies them.

/// Full name of an extension. The suffix stands here and nowhere else; docs/PROTOCOL.md says why it is this one.
macro_rules! private {
    ($name:literal) => {
        concat!($name, "@adit.alt")
    };
}

/// Early data: data of a channel before the peer has confirmed it.
pub const EARLY_DATA: &str = private!("early-data");
