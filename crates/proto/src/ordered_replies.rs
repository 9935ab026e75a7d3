//! Replies in the order of the requests, whenever each is found: global requests (RFC 4254 §4), and those of a channel.

use std::collections::VecDeque;

use crate::error::Misbehaviour;

/// The right to one reply: given with a request that wants an answer, taken by the answer.
///
/// A token that is lost leaves its request, and all later ones, without an answer.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the peer waits for the reply"]
pub struct ReplyToken(u64);

/// The replies that the peer waits for, as messages to send; the oldest request's first.
#[derive(Debug)]
pub(crate) struct OrderedReplies {
    /// None where the owner has yet to answer.
    owed: VecDeque<Option<Vec<u8>>>,
    /// Number of the oldest request in `owed`.
    first: u64,
    /// Requests that may wait; a peer with more asks faster than it can be answered.
    max_owed: usize,
}

impl OrderedReplies {
    /// An empty line that takes so many requests.
    pub(crate) fn new(max_owed: usize) -> Self {
        Self {
            owed: VecDeque::new(),
            first: 0,
            max_owed,
        }
    }

    /// Notes a request that the owner answers.
    pub(crate) fn await_owner(&mut self) -> Result<ReplyToken, Misbehaviour> {
        self.push(None).map(ReplyToken)
    }

    /// Notes a request whose reply is known already.
    pub(crate) fn know(&mut self, message: Vec<u8>) -> Result<(), Misbehaviour> {
        self.push(Some(message)).map(drop)
    }

    /// Takes the owner's reply. A token of another line, which is a mistake of the owner, finds nothing that waits, or the
    /// wrong request.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a token is good for one reply"
    )]
    pub(crate) fn answer(&mut self, token: ReplyToken, message: Vec<u8>) {
        let index = token.0.checked_sub(self.first);
        let owed = index.and_then(|index| self.owed.get_mut(usize::try_from(index).ok()?));
        if let Some(owed @ None) = owed {
            *owed = Some(message);
        }
    }

    /// The next reply that may leave.
    pub(crate) fn poll(&mut self) -> Option<Vec<u8>> {
        let message = self.owed.front_mut()?.take()?;
        self.owed.pop_front();
        self.first += 1;
        Some(message)
    }

    fn push(&mut self, owed: Option<Vec<u8>>) -> Result<u64, Misbehaviour> {
        if self.owed.len() >= self.max_owed {
            return Err(Misbehaviour::AsksFasterThanItReads);
        }
        self.owed.push_back(owed);
        Ok(self.first + (self.owed.len() - 1) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_replies_leave_behind_those_of_the_owner() {
        let mut replies = OrderedReplies::new(10);
        replies.know(vec![1]).unwrap();
        let second = replies.await_owner().unwrap();
        replies.know(vec![3]).unwrap();
        assert_eq!(replies.poll(), Some(vec![1]));
        assert_eq!(replies.poll(), None);
        replies.answer(second, vec![2]);
        assert_eq!(replies.poll(), Some(vec![2]));
        assert_eq!(replies.poll(), Some(vec![3]));
        assert_eq!(replies.poll(), None);
    }

    #[test]
    fn replies_keep_the_order_of_the_requests_whichever_is_given_first() {
        let mut replies = OrderedReplies::new(10);
        for _ in 0..2 {
            let [first, second] = [(); 2].map(|()| replies.await_owner().unwrap());
            replies.answer(second, vec![2]);
            assert_eq!(replies.poll(), None);
            replies.answer(first, vec![1]);
            assert_eq!(replies.poll(), Some(vec![1]));
            assert_eq!(replies.poll(), Some(vec![2]));
        }
    }

    #[test]
    fn token_of_another_line_answers_nothing() {
        let mut others = OrderedReplies::new(10);
        others.know(vec![1]).unwrap();
        let stray = others.await_owner().unwrap();
        let mut replies = OrderedReplies::new(10);
        let token = replies.await_owner().unwrap();
        replies.answer(stray, vec![9]);
        assert_eq!(replies.poll(), None);
        replies.answer(token, vec![1]);
        assert_eq!(replies.poll(), Some(vec![1]));
    }

    #[test]
    fn requests_beyond_the_bound_are_misbehaviour() {
        let mut replies = OrderedReplies::new(3);
        let _token = replies.await_owner().unwrap();
        for _ in 0..2 {
            replies.know(vec![1]).unwrap();
        }
        let refused = Misbehaviour::AsksFasterThanItReads;
        assert_eq!(replies.know(vec![1]), Err(refused.clone()));
        assert_eq!(replies.await_owner(), Err(refused));
    }
}
