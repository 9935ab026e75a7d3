//! Every message: what parses can be written, and reads as the same again.

use adit_proto::key::PublicKey;
use adit_proto::message::connection::{
    self, ChannelRequest, GlobalRequest, Open, OpenConfirmation, OpenFailure,
};
use adit_proto::message::kex::{self, EcdhReply, KexInit};
use adit_proto::message::transport::{self, Disconnect, ExtInfo};
use adit_proto::message::userauth::{self, Failure, InfoRequest, PkOk, UserauthRequest};
use adit_proto::wire::{Reader, Writer};

macro_rules! round_trips {
    ($data:expr, $($message:ty),+) => {$(
        if let Ok(message) = <$message>::parse($data) {
            let encoded = message.encode();
            assert_eq!(<$message>::parse(&encoded), Ok(message));
        }
    )+};
}

/// Reads the bytes as every message there is.
pub fn messages(data: &[u8]) {
    round_trips!(
        data,
        Disconnect,
        EcdhReply<'_>,
        ExtInfo,
        Failure,
        KexInit,
        OpenConfirmation,
        ChannelRequest<'_>,
        PkOk<'_>,
        UserauthRequest<'_>
    );
    with_their_own_shape(data);
    without_a_counterpart(data);
    if let Ok(key) = PublicKey::parse(data) {
        assert_eq!(key.blob(), data, "two encodings of one key");
    }
    mpint(data);
}

fn with_their_own_shape(data: &[u8]) {
    if let Ok(Ok(open)) = Open::parse(data) {
        assert_eq!(Open::parse(&open.encode()), Ok(Ok(open)));
    }
    if let Ok((id, failure)) = OpenFailure::parse(data) {
        assert_eq!(OpenFailure::parse(&failure.encode(id)), Ok((id, failure)));
    }
    if let Ok((request, _)) = GlobalRequest::parse(data) {
        assert_eq!(GlobalRequest::parse(&request.encode()), Ok((request, true)));
    }
    if let Ok((id, bytes)) = connection::parse_window_adjust(data) {
        let encoded = connection::encode_window_adjust(id, bytes);
        assert_eq!(encoded[1..], data[1..]);
    }
    if let Ok((id, bytes)) = connection::parse_data(data) {
        let mut header = [0; connection::DATA_HEADER_LEN];
        let len = u32::try_from(bytes.len()).expect("it was a u32");
        connection::write_data_header(&mut header, id, len);
        assert_eq!([&header[1..], bytes].concat(), data[1..]);
    }
    if let Ok((id, connection::EXTENDED_DATA_STDERR, bytes)) = connection::parse_extended_data(data)
    {
        let mut header = [0; connection::EXTENDED_DATA_HEADER_LEN];
        let len = u32::try_from(bytes.len()).expect("it was a u32");
        connection::write_stderr_header(&mut header, id, len);
        assert_eq!([&header[1..], bytes].concat(), data[1..]);
    }
    if let Ok(id) = connection::parse_channel_only(data) {
        assert_eq!(connection::encode_channel_only(data[0], id), data);
    }
    if let Ok(service) = transport::parse_service(data) {
        assert_eq!(transport::encode_service(data[0], service), data);
    }
    if let Ok(bytes) = transport::parse_ping(data) {
        assert_eq!(transport::encode_ping(data[0], bytes), data);
    }
    if let Ok(value) = kex::parse_ecdh_init(data) {
        assert_eq!(kex::encode_ecdh_init(value)[1..], data[1..]);
    }
}

/// Messages that are only read, or only in part; reading must not panic.
fn without_a_counterpart(data: &[u8]) {
    if let Ok(group) = kex::DhGroup::parse(data) {
        assert!(group.hashed([0; 3]).ends_with(&data[1..]));
    }
    let _ = connection::parse_request_success(data);
    let _ = transport::parse_debug(data);
    let _ = userauth::parse_banner(data);
    let _ = userauth::parse_password_change_request(data);
    if let Ok(request) = InfoRequest::parse(data) {
        assert!(
            request.prompts.len() * 5 <= data.len(),
            "prompts from nowhere"
        );
    }
}

fn mpint(data: &[u8]) {
    let mut reader = Reader::new(data);
    if let Ok(magnitude) = reader.unsigned_mpint("mpint") {
        let mut writer = Writer::new();
        writer.unsigned_mpint(magnitude);
        let taken = data.len() - reader.rest().len();
        assert_eq!(
            writer.as_slice(),
            &data[..taken],
            "two encodings of one number"
        );
    }
}
