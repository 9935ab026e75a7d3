//! The messages of SSH: one file per protocol part, and the table of their numbers (RFC 4250 §4.1).
//!
//! Each message is a struct named as in its RFC, with `parse` and `encode`; fields that only need
//! to be looked at borrow from the packet.

pub mod connection;
pub mod kex;
pub mod private;
pub mod session;
pub mod transport;
pub mod userauth;

use crate::wire::{Reader, WireError};

/// Message numbers (RFC 4250 §4.1.2, RFC 8308, RFC 5656, RFC 4419, OpenSSH PROTOCOL §1.9).
#[allow(missing_docs)]
pub mod number {
    pub const DISCONNECT: u8 = 1;
    pub const IGNORE: u8 = 2;
    pub const UNIMPLEMENTED: u8 = 3;
    pub const DEBUG: u8 = 4;
    pub const SERVICE_REQUEST: u8 = 5;
    pub const SERVICE_ACCEPT: u8 = 6;
    pub const EXT_INFO: u8 = 7;
    pub const KEXINIT: u8 = 20;
    pub const NEWKEYS: u8 = 21;
    pub const KEX_ECDH_INIT: u8 = 30;
    pub const KEX_ECDH_REPLY: u8 = 31;
    /// The numbers of the key exchange mean something else in each method (RFC 4419 §5).
    pub const KEX_DH_GEX_GROUP: u8 = 31;
    pub const KEX_DH_GEX_INIT: u8 = 32;
    pub const KEX_DH_GEX_REPLY: u8 = 33;
    pub const KEX_DH_GEX_REQUEST: u8 = 34;
    pub const USERAUTH_REQUEST: u8 = 50;
    pub const USERAUTH_FAILURE: u8 = 51;
    pub const USERAUTH_SUCCESS: u8 = 52;
    pub const USERAUTH_BANNER: u8 = 53;
    /// `USERAUTH_PK_OK`, `USERAUTH_PASSWD_CHANGEREQ` and `USERAUTH_INFO_REQUEST` share a number: the method in use tells
    /// which.
    pub const USERAUTH_60: u8 = 60;
    pub const USERAUTH_INFO_RESPONSE: u8 = 61;
    pub const GLOBAL_REQUEST: u8 = 80;
    pub const REQUEST_SUCCESS: u8 = 81;
    pub const REQUEST_FAILURE: u8 = 82;
    pub const CHANNEL_OPEN: u8 = 90;
    pub const CHANNEL_OPEN_CONFIRMATION: u8 = 91;
    pub const CHANNEL_OPEN_FAILURE: u8 = 92;
    pub const CHANNEL_WINDOW_ADJUST: u8 = 93;
    pub const CHANNEL_DATA: u8 = 94;
    pub const CHANNEL_EXTENDED_DATA: u8 = 95;
    pub const CHANNEL_EOF: u8 = 96;
    pub const CHANNEL_CLOSE: u8 = 97;
    pub const CHANNEL_REQUEST: u8 = 98;
    pub const CHANNEL_SUCCESS: u8 = 99;
    pub const CHANNEL_FAILURE: u8 = 100;
    pub const PING: u8 = 192;
    pub const PONG: u8 = 193;
}

/// Part of SSH that a message number belongs to; the phase gate works on these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// DISCONNECT: legal always.
    Disconnect,
    /// IGNORE, UNIMPLEMENTED, DEBUG: legal always but in a strict first key exchange.
    Transport,
    /// SERVICE_REQUEST and SERVICE_ACCEPT.
    Service,
    /// EXT_INFO.
    ExtInfo,
    /// KEXINIT: begins a key exchange.
    KexInit,
    /// NEWKEYS and the messages of the key exchange method.
    Kex,
    /// User authentication.
    Userauth,
    /// Global requests and channels, and OpenSSH's ping.
    Connection,
    /// A number that this implementation does not know: answered with UNIMPLEMENTED.
    Unknown,
}

/// The category of a message number.
pub fn category(number: u8) -> Category {
    match number {
        1 => Category::Disconnect,
        2..=4 => Category::Transport,
        5 | 6 => Category::Service,
        7 => Category::ExtInfo,
        20 => Category::KexInit,
        21 | 30..=49 => Category::Kex,
        50..=53 | 60 | 61 => Category::Userauth,
        80..=82 | 90..=100 | 192 | 193 => Category::Connection,
        _ => Category::Unknown,
    }
}

/// The most names a list of a peer may have; real peers send about a dozen.
const MAX_NAMES: usize = 256;

/// A name-list of a peer, to keep.
fn names(r: &mut Reader<'_>, field: &'static str) -> Result<Vec<String>, WireError> {
    let list = r.name_list(field)?;
    if list.iter().count() > MAX_NAMES {
        return Err(WireError::BadValue(field));
    }
    Ok(list.iter().map(str::to_owned).collect())
}

/// Cost of a message while it waits, in bytes: a flood of one-byte answers must count too.
pub(crate) fn waiting_cost(message: &[u8]) -> usize {
    const BESIDE_ITS_BYTES: usize = 128;
    message.len() + BESIDE_ITS_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_category() {
        for (number, expected) in [
            (number::DISCONNECT, Category::Disconnect),
            (number::EXT_INFO, Category::ExtInfo),
            (number::KEX_ECDH_REPLY, Category::Kex),
            (number::USERAUTH_60, Category::Userauth),
            (number::CHANNEL_DATA, Category::Connection),
            (number::PONG, Category::Connection),
            (0, Category::Unknown),
            (255, Category::Unknown),
        ] {
            assert_eq!(category(number), expected, "message {number}");
        }
    }
}
