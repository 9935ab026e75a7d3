//! Global requests of a peer, answered by the core or, whenever it likes, by the owner.

use std::collections::VecDeque;

use adit_proto::connection::{Connection, Event, RequestRefused};
use adit_proto::message::connection::{GlobalRequest, encode_request_success};
use adit_proto::message::number;
use arbitrary::{Result, Unstructured};

use crate::ends::{self, START};

/// Every request that wants an answer gets its own, in the order of the requests; no other leaves.
pub fn global_requests(data: &[u8]) {
    let mut end = End {
        connection: ends::logged_in(),
        for_owner: VecDeque::new(),
        expected: Vec::new(),
        answered: Vec::new(),
    };
    let mut u = Unstructured::new(data);
    while !u.is_empty() && end.step(&mut u).is_ok() {}
    while end.for_owner.front().is_some() {
        end.answer(Err(RequestRefused));
    }
    let expected: Option<Vec<_>> = end.expected.into_iter().collect();
    assert_eq!(expected, Some(end.answered));
}

struct End {
    connection: Connection,
    /// Requests that the owner has yet to answer, by their place in `expected`.
    for_owner: VecDeque<usize>,
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
                self.answer(match u.arbitrary()? {
                    Some(port) => Ok(port),
                    None => Err(RequestRefused),
                });
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
        let for_owner = match self.connection.poll_event() {
            Some(Event::Global {
                want_reply: told, ..
            }) => {
                assert_eq!(told, want_reply);
                true
            }
            event => {
                assert_eq!(event, None);
                false
            }
        };
        if want_reply && for_owner {
            self.for_owner.push_back(self.expected.len());
        }
        if want_reply {
            let known = (!for_owner).then(|| vec![number::REQUEST_FAILURE]);
            self.expected.push(known);
        }
        self.listen();
    }

    /// The owner's answer to the oldest request that waits for it; without one there is nothing to answer.
    fn answer(&mut self, reply: std::result::Result<Option<u16>, RequestRefused>) {
        let taken = self.connection.reply_global(reply);
        match self.for_owner.pop_front() {
            None => assert!(taken.is_err()),
            Some(place) => {
                taken.unwrap();
                self.expected[place] = Some(match reply {
                    Ok(port) => encode_request_success(port),
                    Err(RequestRefused) => vec![number::REQUEST_FAILURE],
                });
            }
        }
        self.listen();
    }

    /// Takes the messages that left: the answers so far, up to the first that is missing.
    fn listen(&mut self) {
        self.answered.extend(ends::payloads(&mut self.connection));
        let known = self.expected.iter().map_while(Option::as_ref);
        assert!(self.answered.iter().eq(known));
    }
}
