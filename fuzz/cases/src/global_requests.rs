//! Global requests of a peer, answered by the core or, whenever it likes, by the owner.

use adit_proto::connection::{Connection, Event, GlobalReply, ReplyToken, RequestRefused};
use adit_proto::message::connection::{GlobalRequest, encode_request_success};
use adit_proto::message::number;
use arbitrary::{Result, Unstructured};

use crate::ends::{self, START};

/// Every request that wants an answer gets its own, in the order of the requests; no other leaves.
pub fn global_requests(data: &[u8]) {
    let mut end = End {
        connection: ends::logged_in(),
        for_owner: Vec::new(),
        expected: Vec::new(),
        answered: Vec::new(),
    };
    let mut u = Unstructured::new(data);
    while !u.is_empty() && end.step(&mut u).is_ok() {}
    while !end.for_owner.is_empty() {
        end.answer(0, Err(RequestRefused));
    }
    let expected: Option<Vec<_>> = end.expected.into_iter().collect();
    assert_eq!(expected, Some(end.answered));
}

struct End {
    connection: Connection,
    /// Requests that the owner has yet to answer, with their place in `expected`.
    for_owner: Vec<(ReplyToken, usize)>,
    /// The answers, in order, as far as they are given.
    expected: Vec<Option<Vec<u8>>>,
    /// Messages that left.
    answered: Vec<Vec<u8>>,
}

impl End {
    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let request = match u.int_in_range(0..=4)? {
            0 => GlobalRequest::KeepAlive,
            1 => GlobalRequest::Other("unknown@example.com".into()),
            2 => GlobalRequest::StreamLocalForward {
                socket_path: "/run/s".into(),
            },
            3 => GlobalRequest::TcpipForward {
                address_to_bind: String::new(),
                port: u.arbitrary()?,
            },
            _ => {
                if !self.for_owner.is_empty() {
                    let index = u.choose_index(self.for_owner.len())?;
                    let port: Option<Option<u16>> = u.arbitrary()?;
                    self.answer(index, port.ok_or(RequestRefused));
                }
                return Ok(());
            }
        };
        self.ask(&request, u.ratio(3, 4)?);
        Ok(())
    }

    fn ask(&mut self, request: &GlobalRequest, want_reply: bool) {
        let mut message = request.encode();
        // Behind the message's number, the name with its length, and in front of the rest.
        let name_len = u32::from_be_bytes(*message[1..].first_chunk().unwrap());
        message[5 + name_len as usize] = want_reply.into();
        self.connection.handle_packet(&message, 0, *START).unwrap();
        let mut is_owners = false;
        if let Some(event) = self.connection.poll_event() {
            let Event::GlobalRequest { reply, .. } = event else {
                panic!("{event:?}");
            };
            assert_eq!(reply.is_some(), want_reply);
            is_owners = true;
            let place = self.expected.len();
            self.for_owner.extend(reply.map(|token| (token, place)));
        }
        if want_reply {
            let known = (!is_owners).then(|| vec![number::REQUEST_FAILURE]);
            self.expected.push(known);
        }
        self.listen();
    }

    /// The owner's answer to one of the requests that wait for it.
    fn answer(&mut self, index: usize, reply: GlobalReply) {
        let (token, place) = self.for_owner.remove(index);
        self.connection.reply_global(token, reply).unwrap();
        self.expected[place] = Some(match reply {
            Ok(port) => encode_request_success(port),
            Err(RequestRefused) => vec![number::REQUEST_FAILURE],
        });
        self.listen();
    }

    /// Takes the messages that left: the answers so far, up to the first that is missing.
    fn listen(&mut self) {
        self.answered.extend(ends::payloads(&mut self.connection));
        let known = self.expected.iter().map_while(Option::as_ref);
        assert!(self.answered.iter().eq(known));
    }
}
