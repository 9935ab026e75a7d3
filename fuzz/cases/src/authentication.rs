//! User authentication after an honest key exchange: the peer lies, the owner never lets anybody in.

use adit_proto::connection::{Connection, Event};
use adit_proto::message::number;
use adit_proto::message::transport::encode_service;
use adit_proto::message::userauth::{Method, PkOk, UserauthRequest};
use adit_proto::userauth::client::ClientAuthEvent;
use adit_proto::userauth::server::AuthMethod;
use arbitrary::{Result, Unstructured};

use crate::ends::{self, START};
use crate::payloads::{payload, piece};

const NUMBERS: &[u8] = &[
    number::SERVICE_REQUEST,
    number::SERVICE_ACCEPT,
    number::EXT_INFO,
    number::USERAUTH_REQUEST,
    number::USERAUTH_FAILURE,
    number::USERAUTH_SUCCESS,
    number::USERAUTH_BANNER,
    number::USERAUTH_60,
    number::USERAUTH_INFO_RESPONSE,
    number::GLOBAL_REQUEST,
    number::CHANNEL_OPEN,
    number::IGNORE,
    60,
    240,
];

/// A server sees no right signature, a client no success that it did not ask for.
pub fn authentication(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let (client, server) = ends::exchanged();
    let _ = match u.arbitrary() {
        Ok(true) => lie_to_client(client, &mut u),
        _ => lie_to_server(server, &mut u),
    };
}

fn lie_to_server(mut server: Connection, u: &mut Unstructured<'_>) -> Result<()> {
    while !u.is_empty() {
        let message = match u.int_in_range(0..=2)? {
            0 => request(u)?,
            1 => payload(NUMBERS, u)?,
            _ => piece(u)?.to_vec(),
        };
        if server.handle_packet(&message, 0, *START).is_err() {
            return Ok(());
        }
        while let Some(event) = server.poll_event() {
            if let Event::AuthRequest(request) = event {
                assert!(!server.wants_input(), "a verdict is awaited");
                assert!(!matches!(request.method, AuthMethod::KeySigned(_)));
                let mut login = server.login_as_server().unwrap();
                match request.method {
                    AuthMethod::KeyQuery(query) if u.arbitrary()? => {
                        login.confirm_key(request.answer, &query).unwrap();
                    }
                    _ => login.reject(request.answer).unwrap(),
                }
                assert!(server.wants_input(), "the verdict is there");
            }
        }
        assert!(!server.is_authenticated());
        assert!(ends::payloads(&mut server).len() <= 2);
    }
    Ok(())
}

/// A request whose parts are right one by one.
fn request(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let key = ends::key(u.int_in_range(1..=2)?);
    let blob = key.public_key().blob();
    let signature = key.sign(key.algorithms()[0], piece(u)?).unwrap();
    let method = match u.int_in_range(0..=5)? {
        0 => Method::None,
        1 => Method::Password(piece(u)?),
        2 => Method::KeyboardInteractive,
        3 => Method::Other("hostbased"),
        _ => Method::PublicKey {
            algorithm: u.choose(&["ssh-ed25519", "rsa-sha2-512", "x"])?,
            key: if u.ratio(3, 4)? { blob } else { piece(u)? },
            signature: match u.int_in_range(0..=2)? {
                0 => None,
                1 => Some(&signature),
                _ => Some(piece(u)?),
            },
        },
    };
    let service = u.choose(&["ssh-connection", "ssh-userauth", ""])?;
    let user = "user";
    let request = UserauthRequest {
        user,
        service,
        method,
    };
    Ok(request.encode().to_vec())
}

fn lie_to_client(mut client: Connection, u: &mut Unstructured<'_>) -> Result<()> {
    let key = ends::key(2);
    let blob = key.public_key().blob();
    let mut granted = false;
    while !u.is_empty() {
        while let Some(event) = client.poll_event() {
            match event {
                Event::Auth(ClientAuthEvent::Failure(_)) => {
                    let mut login = client.login_as_client().unwrap();
                    login.authenticate(method(blob, u)?).unwrap();
                }
                Event::Auth(ClientAuthEvent::Prompts(request)) => {
                    let mut login = client.login_as_client().unwrap();
                    login
                        .answer_prompts(&vec![""; request.prompts.len()])
                        .unwrap();
                }
                Event::Auth(ClientAuthEvent::Success) => {
                    assert!(granted && client.is_authenticated());
                    return Ok(());
                }
                _ => {}
            }
        }
        let message = match u.int_in_range(0..=3)? {
            0 => PkOk {
                algorithm: "ssh-ed25519",
                key: blob,
            }
            .encode(),
            1 => encode_service(number::SERVICE_ACCEPT, "ssh-userauth"),
            2 => payload(NUMBERS, u)?,
            _ => piece(u)?.to_vec(),
        };
        if client.handle_packet(&message, 0, *START).is_err() {
            return Ok(());
        }
        granted |= message[0] == number::SERVICE_ACCEPT;
        assert!(ends::payloads(&mut client).len() <= 2);
    }
    Ok(())
}

fn method<'a>(blob: &'a [u8], u: &mut Unstructured<'_>) -> Result<Method<'a>> {
    Ok(match u.int_in_range(0..=3)? {
        0 => Method::None,
        1 => Method::KeyboardInteractive,
        2 => Method::Password(b"secret"),
        _ => Method::PublicKey {
            algorithm: "ssh-ed25519",
            key: blob,
            signature: None,
        },
    })
}
