//! Payloads that look like messages: the right numbers in front of fields that are almost right.

use adit_proto::wire::Writer;
use arbitrary::{Result, Unstructured};

/// Words that make the fields of a message interesting.
const WORDS: &[&str] = &[
    "ssh-userauth",
    "ssh-connection",
    "user",
    "none",
    "publickey",
    "password",
    "keyboard-interactive",
    "hostbased",
    "ssh-ed25519",
    "rsa-sha2-512",
    "ecdsa-sha2-nistp256",
    "server-sig-algs",
    "ping@openssh.com",
    "direct-tcpip",
    "tcpip-forward",
    "",
];

/// A message with one of these numbers: fields of SSH's types, in any order.
pub(crate) fn payload(numbers: &[u8], u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut writer = Writer::message(*u.choose(numbers)?);
    for _ in 0..u.int_in_range(0..=7)? {
        match u.int_in_range(0..=5)? {
            0 => writer.boolean(u.arbitrary()?),
            1 => writer.u32(u.int_in_range(0..=70)?),
            2 => writer.u32(u.arbitrary()?),
            3 => writer.string(u.choose(WORDS)?),
            4 => writer.string(piece(u)?),
            _ => writer.raw(piece(u)?),
        };
    }
    Ok(writer.into_vec())
}

/// A few arbitrary bytes.
pub(crate) fn piece<'a>(u: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    let len = u.int_in_range(0..=80)?;
    u.bytes(len.min(u.len()))
}
