//! Queue of inbound data of one channel that did not fit into its application's socket.
//!
//! The receive window bounds the bytes. Small packets are joined, which bounds the memory: a peer that fills a window
//! one byte at a time could otherwise cause millions of tiny allocations.

use std::collections::VecDeque;

/// Length up to which a piece is joined with the next.
const JOINED: usize = 16 << 10;

/// Waiting pieces, and the state of the one that the relay is writing.
#[derive(Debug, Default)]
pub(super) struct InboundQueue {
    pieces: VecDeque<Vec<u8>>,
    /// True while the relay writes a piece that it took from here.
    draining: bool,
}

impl InboundQueue {
    /// True if arriving data may go to the application at once, because no earlier data is under way.
    pub(super) fn is_clear(&self) -> bool {
        self.pieces.is_empty() && !self.draining
    }

    /// True if there is nothing to take.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Appends `data`.
    pub(super) fn push(&mut self, data: &[u8]) {
        match self.pieces.back_mut() {
            Some(last) if last.len() + data.len() <= JOINED => last.extend_from_slice(data),
            _ => self.pieces.push_back(data.to_vec()),
        }
    }

    /// Takes the next piece. The application has got the one before it.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let piece = self.pieces.pop_front();
        self.draining = piece.is_some();
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_bytes_are_joined_and_keep_their_order() {
        let mut queue = InboundQueue::default();
        let sent: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        sent.iter().for_each(|&byte| queue.push(&[byte]));
        assert!(queue.pieces.len() <= sent.len() / JOINED + 1);
        let room: usize = queue.pieces.iter().map(Vec::capacity).sum();
        assert!(room <= 2 * sent.len(), "{room} bytes for {}", sent.len());
        let got: Vec<u8> = std::iter::from_fn(|| queue.take()).flatten().collect();
        assert_eq!(got, sent);
    }

    #[test]
    fn piece_that_is_being_written_is_not_overtaken() {
        let mut queue = InboundQueue::default();
        queue.push(b"first");
        assert!(!queue.is_clear());
        assert_eq!(queue.take().as_deref(), Some(&b"first"[..]));
        assert!(queue.is_empty() && !queue.is_clear());
        assert_eq!(queue.take(), None);
        assert!(queue.is_clear());
    }
}
