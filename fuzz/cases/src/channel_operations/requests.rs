//! Requests of channels and their answers, each of which its receiver can tell from all others.

use std::collections::VecDeque;

use adit_proto::channels::{
    ChannelId, ChannelReplyToken, ChannelStream, RequestError, RequestOutcome, WantReply,
};
use adit_proto::wire::{Reader, Writer};
use arbitrary::{Result, Unstructured};

use super::table::{Flow, Table};

/// A request of the peer with the answer that it shall get.
pub(super) type Pending = (ChannelReplyToken, RequestOutcome);

/// Facts of a channel that both ends must agree on.
#[derive(Debug, Default)]
pub(super) struct RequestLog {
    /// Requests of ours that were sent, and of the peer's that came.
    sent: u32,
    came: u32,
    /// The answers that are to come to ours.
    expected: VecDeque<RequestOutcome>,
}

/// The answer that the owner gives to the `n`th request of a channel.
fn outcome(n: u32) -> RequestOutcome {
    match n.wrapping_mul(2_654_435_761) & 0x100 {
        0 => RequestOutcome::Success,
        _ => RequestOutcome::Failure,
    }
}

impl RequestLog {
    pub(super) fn note_reply(&mut self, outcome: RequestOutcome) {
        let expected = self.expected.pop_front();
        assert_eq!(expected, Some(outcome), "the answer to another request");
    }

    pub(super) fn check_all_answered(&self) {
        assert!(self.expected.is_empty(), "answers got lost");
    }
}

impl Flow {
    /// A request came: the next one, behind all data of the first stream that was sent before it. Gives the answer.
    pub(super) fn note_request(&mut self, request_type: &str, data: &[u8]) -> RequestOutcome {
        assert!(self.takes_requests && request_type == "x");
        let mut fields = Reader::new(data);
        let n = fields.u32("number").unwrap();
        let sent = fields.u32("bytes before it").unwrap();
        assert_eq!(n, self.requests.came, "requests out of order");
        self.requests.came += 1;
        let received = self.received[ChannelStream::Data as usize];
        assert_eq!(u64::from(sent), received, "data was overtaken, or overtook");
        outcome(n)
    }
}

impl Table {
    /// Asks something, or for a sign of life.
    pub(super) fn ask(&mut self, id: ChannelId, want_reply: bool, is_keep_alive: bool) {
        let want = match want_reply {
            true => WantReply::Yes,
            false => WantReply::No,
        };
        let (n, sent) = self.flows.get(&id.0).map_or((0, 0), |flow| {
            (flow.requests.sent, flow.sent[ChannelStream::Data as usize])
        });
        let mut fields = Writer::new();
        fields
            .u32(n)
            .u32(u32::try_from(sent).expect("a program is short"));
        let request_type = match is_keep_alive {
            true => "keepalive@openssh.com",
            false => "x",
        };
        let asked = self
            .channels
            .send_request(id, request_type, fields.as_slice(), want);
        if asked != Ok(()) {
            assert_ne!(asked, Err(RequestError::TooLong));
            return;
        }
        let flow = self.flows.get_mut(&id.0).expect("it was open");
        let is_for_owner = flow.takes_requests && !is_keep_alive;
        let answer = match is_for_owner {
            true => outcome(n),
            false => RequestOutcome::Failure,
        };
        flow.requests.sent += u32::from(is_for_owner);
        flow.requests.expected.extend(want_reply.then_some(answer));
    }

    /// Answers one of the requests that wait, whichever.
    pub(super) fn answer(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if !self.pending.is_empty() {
            let at = u.int_in_range(0..=self.pending.len() - 1)?;
            let (token, outcome) = self.pending.swap_remove(at);
            self.channels.answer_request(token, outcome);
        }
        Ok(())
    }

    pub(super) fn answer_all(&mut self) {
        for (token, outcome) in std::mem::take(&mut self.pending) {
            self.channels.answer_request(token, outcome);
        }
    }
}
