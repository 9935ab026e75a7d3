//! Messages of a channel that is open: windows, data, its ends, requests (RFC 4254 §5.2 to §5.4).

use super::MAX_TYPE_LEN;
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

/// SSH_EXTENDED_DATA_STDERR, the one data type code that RFC 4254 §5.2 defines.
pub const EXTENDED_DATA_STDERR: u32 = 1;

/// Bytes of SSH_MSG_CHANNEL_EXTENDED_DATA (RFC 4254 §5.2) in front of the data: number, channel, data type code, length.
pub const EXTENDED_DATA_HEADER_LEN: usize = 13;

/// SSH_MSG_CHANNEL_EXTENDED_DATA: our channel number, the data type code, and the data.
pub fn parse_extended_data(payload: &[u8]) -> Result<(u32, u32, &[u8]), WireError> {
    let mut r = Reader::new(payload);
    r.u8("message number")?;
    let channel = r.u32("recipient channel")?;
    let data_type_code = r.u32("data type code")?;
    let data = r.string("data")?;
    r.finish()?;
    Ok((channel, data_type_code, data))
}

/// Writes the header of SSH_MSG_CHANNEL_EXTENDED_DATA in front of `len` bytes of stderr that are already in place.
pub fn write_stderr_header(
    header: &mut [u8; EXTENDED_DATA_HEADER_LEN],
    recipient_channel: u32,
    len: u32,
) {
    header[0] = number::CHANNEL_EXTENDED_DATA;
    header[1..5].copy_from_slice(&recipient_channel.to_be_bytes());
    header[5..9].copy_from_slice(&EXTENDED_DATA_STDERR.to_be_bytes());
    header[9..13].copy_from_slice(&len.to_be_bytes());
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

/// SSH_MSG_CHANNEL_REQUEST (RFC 4254 §5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelRequest<'a> {
    /// The receiver's number of the channel.
    pub recipient_channel: u32,
    /// The type.
    pub request_type: &'a str,
    /// True where SUCCESS or FAILURE must come back.
    pub want_reply: bool,
    /// The fields of the type, as they are on the wire.
    pub data: &'a [u8],
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
            data: r.rest(),
        })
    }

    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::message(number::CHANNEL_REQUEST);
        w.u32(self.recipient_channel)
            .string(self.request_type)
            .boolean(self.want_reply)
            .raw(self.data);
        w.into_vec()
    }

    /// True where the type is a name (RFC 4251 §6): short, and without control characters.
    pub(crate) fn has_name(&self) -> bool {
        let name = self.request_type;
        name.len() <= MAX_TYPE_LEN && !name.contains(char::is_control)
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

    #[test]
    fn stderr_is_extended_data_of_code_one() {
        let mut packet = [0; EXTENDED_DATA_HEADER_LEN + 2];
        packet[EXTENDED_DATA_HEADER_LEN..].copy_from_slice(b"no");
        write_stderr_header(packet.first_chunk_mut().unwrap(), 7, 2);
        assert_eq!(
            parse_extended_data(&packet),
            Ok((7, EXTENDED_DATA_STDERR, &b"no"[..]))
        );
        let short = &packet[..packet.len() - 1];
        assert_eq!(
            parse_extended_data(short),
            Err(WireError::Truncated("data"))
        );
    }

    #[test]
    fn channel_request_round_trips_with_the_fields_of_its_type() {
        let request = ChannelRequest {
            recipient_channel: 3,
            request_type: "exec",
            want_reply: true,
            data: b"\0\0\0\x02ls",
        };
        assert_eq!(ChannelRequest::parse(&request.encode()), Ok(request));
    }
}
