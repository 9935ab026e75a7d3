//! Answers to the peer's global requests: they leave in the order of the requests (RFC 4254 §4), whenever each is found.

use std::collections::VecDeque;

use crate::error::Misbehaviour;

/// Requests that wait for their answers; a peer with more asks faster than it can be answered.
const MAX_OWED: usize = 4096;

/// An answer that is owed.
#[derive(Debug)]
enum Owed {
    /// The owner of the connection has yet to give it.
    ByOwner,
    /// It is known, as the message to send.
    Known(Vec<u8>),
}

/// The answers that the peer waits for, the oldest request's first.
#[derive(Debug, Default)]
pub(crate) struct Replies(VecDeque<Owed>);

impl Replies {
    /// A request came that the owner answers.
    pub(crate) fn await_owner(&mut self) -> Result<(), Misbehaviour> {
        self.push(Owed::ByOwner)
    }

    /// A request came whose answer is known already.
    pub(crate) fn know(&mut self, message: Vec<u8>) -> Result<(), Misbehaviour> {
        self.push(Owed::Known(message))
    }

    /// The owner's answer to the oldest request that waits for one; false where none does.
    pub(crate) fn answer(&mut self, message: Vec<u8>) -> bool {
        let waits = |owed: &&mut Owed| matches!(owed, Owed::ByOwner);
        match self.0.iter_mut().find(waits) {
            Some(owed) => {
                *owed = Owed::Known(message);
                true
            }
            None => false,
        }
    }

    /// The next answer that may leave.
    pub(crate) fn poll(&mut self) -> Option<Vec<u8>> {
        match self.0.pop_front()? {
            Owed::Known(message) => Some(message),
            waiting => {
                self.0.push_front(waiting);
                None
            }
        }
    }

    fn push(&mut self, owed: Owed) -> Result<(), Misbehaviour> {
        if self.0.len() >= MAX_OWED {
            return Err(Misbehaviour::AsksFasterThanItReads);
        }
        self.0.push_back(owed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_leave_behind_those_of_the_owner() {
        let mut replies = Replies::default();
        replies.know(vec![1]).unwrap();
        replies.await_owner().unwrap();
        replies.know(vec![3]).unwrap();
        assert_eq!(replies.poll(), Some(vec![1]));
        assert_eq!(replies.poll(), None);
        assert!(replies.answer(vec![2]));
        assert_eq!(replies.poll(), Some(vec![2]));
        assert_eq!(replies.poll(), Some(vec![3]));
        assert_eq!(replies.poll(), None);
    }

    #[test]
    fn answer_that_nobody_waits_for_is_not_kept() {
        let mut replies = Replies::default();
        assert!(!replies.answer(vec![1]));
        assert_eq!(replies.poll(), None);
    }

    #[test]
    fn requests_beyond_the_bound_are_misbehaviour() {
        let mut replies = Replies::default();
        replies.await_owner().unwrap();
        for _ in 1..MAX_OWED {
            replies.know(vec![1]).unwrap();
        }
        let refused = Err(Misbehaviour::AsksFasterThanItReads);
        assert_eq!(replies.know(vec![1]), refused);
        assert_eq!(replies.await_owner(), refused);
    }
}
