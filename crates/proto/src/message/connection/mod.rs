//! Messages of the connection protocol (RFC 4254, OpenSSH PROTOCOL §2.4): global requests and channels.

mod channel;
mod global;
mod open;

use crate::wire::{Reader, WireError};

pub use channel::{
    ChannelRequest, DATA_HEADER_LEN, EXTENDED_DATA_HEADER_LEN, EXTENDED_DATA_STDERR,
    encode_channel_only, encode_window_adjust, parse_channel_only, parse_data, parse_extended_data,
    parse_window_adjust, write_data_header, write_stderr_header,
};
pub use global::{GlobalRequest, encode_request_success, parse_request_success};
pub use open::{ChannelType, Open, OpenConfirmation, OpenFailure, OpenFailureReason, TcpAddresses};

/// The longest host or path, in bytes: a name of DNS has 255, the path of a unix socket 107.
const MAX_PLACE_LEN: usize = 1024;
/// The longest name of a type (RFC 4251 §6 has 64), in bytes.
const MAX_TYPE_LEN: usize = 256;

/// A host or a path: text without control characters, which would end up in logs and on terminals.
fn place(r: &mut Reader<'_>, field: &'static str) -> Result<String, WireError> {
    let text = r.text(field)?;
    match text.len() > MAX_PLACE_LEN || text.contains(char::is_control) {
        true => Err(WireError::BadValue(field)),
        false => Ok(text.to_owned()),
    }
}

/// A port travels as a `uint32`; more than 65,535 is no port.
fn port(r: &mut Reader<'_>, field: &'static str) -> Result<u16, WireError> {
    u16::try_from(r.u32(field)?).map_err(|_| WireError::BadValue(field))
}
