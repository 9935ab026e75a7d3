//! Messages of a channel that is open: windows, data, its ends, requests (RFC 4254 §5.2 to §5.4).

use crate::message::number;
use crate::wire::{Reader, WireError, Writer};

/// SSH_MSG_CHANNEL_WINDOW_ADJUST (RFC 4254 §5.2): our channel number and the bytes added.
pub fn parse_window_adjust(payload: &[u8]) -> Result<(u32, u32), WireError> {
    let mut r = Reader::new(payload);
    r.u8("message number")?;
    let adjust = (r.u32("recipient channel")?, r.u32("bytes to add")?);
    r.finish()?;
    Ok(adjust)
}

/// SSH_MSG_CHANNEL_WINDOW_ADJUST as bytes.
pub fn encode_window_adjust(recipient_channel: u32, bytes_to_add: u32) -> Vec<u8> {
    let mut w = Writer::message(number::CHANNEL_WINDOW_ADJUST);
    w.u32(recipient_channel).u32(bytes_to_add);
    w.into_vec()
}

/// Bytes of SSH_MSG_CHANNEL_DATA (RFC 4254 §5.2) in front of the data: number, channel, length.
pub const DATA_HEADER_LEN: usize = 9;

/// SSH_MSG_CHANNEL_DATA: our channel number and the data.
pub fn parse_data(payload: &[u8]) -> Result<(u32, &[u8]), WireError> {
    let mut r = Reader::new(payload);
    r.u8("message number")?;
    let channel = r.u32("recipient channel")?;
    let data = r.string("data")?;
    r.finish()?;
    Ok((channel, data))
}

/// Writes the header of SSH_MSG_CHANNEL_DATA in front of `len` data bytes that are already in place.
pub fn write_data_header(header: &mut [u8; DATA_HEADER_LEN], recipient_channel: u32, len: u32) {
    header[0] = number::CHANNEL_DATA;
    header[1..5].copy_from_slice(&recipient_channel.to_be_bytes());
    header[5..9].copy_from_slice(&len.to_be_bytes());
}

/// SSH_MSG_CHANNEL_EXTENDED_DATA: our channel number and the length of the data, which tunnels have no use for.
pub fn parse_extended_data(payload: &[u8]) -> Result<(u32, usize), WireError> {
    let mut r = Reader::new(payload);
    r.u8("message number")?;
    let channel = r.u32("recipient channel")?;
    r.u32("data type code")?;
    Ok((channel, r.string("data")?.len()))
}

/// A message that holds only a channel number: EOF, CLOSE, SUCCESS, FAILURE.
pub fn parse_channel_only(payload: &[u8]) -> Result<u32, WireError> {
    let mut r = Reader::new(payload);
    r.u8("message number")?;
    let channel = r.u32("recipient channel")?;
    r.finish()?;
    Ok(channel)
}

/// EOF, CLOSE, SUCCESS or FAILURE as bytes.
pub fn encode_channel_only(number: u8, recipient_channel: u32) -> Vec<u8> {
    let mut w = Writer::message(number);
    w.u32(recipient_channel);
    w.into_vec()
}

/// SSH_MSG_CHANNEL_REQUEST (RFC 4254 §5.4), without the fields of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelRequest<'a> {
    /// The receiver's number of the channel.
    pub recipient_channel: u32,
    /// The type.
    pub request_type: &'a str,
    /// Whether SUCCESS or FAILURE must come back.
    pub want_reply: bool,
}

impl<'a> ChannelRequest<'a> {
    /// Reads the message.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut r = Reader::new(payload);
        r.u8("message number")?;
        Ok(Self {
            recipient_channel: r.u32("recipient channel")?,
            request_type: r.text("request type")?,
            want_reply: r.boolean("want reply")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_whose_length_lies_is_refused() {
        let mut header = [0; DATA_HEADER_LEN];
        write_data_header(&mut header, 1, 100);
        assert_eq!(parse_data(&header), Err(WireError::Truncated("data")));
    }
}
