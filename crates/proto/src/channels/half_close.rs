//! States of an open channel: two directions that end independently (RFC 4254 §5.3).
//!
//! ```text
//!   ours (outbound)                      theirs (inbound)
//!   Open ──send_eof──▶ Eof               Open ──recv_eof──▶ Eof
//!     │                 │                  │                 │
//!     └───send_close────┴──▶ Closed        └───recv_close────┴──▶ Closed
//! ```
//!
//! A channel is over when both are `Closed`. CLOSE may follow `Open` directly, and all data sent before it must still
//! be delivered: for most peers that is a normal end, for adit it is a reset.

/// State of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Data may be sent.
    Open,
    /// No more data follows; the other direction continues.
    Eof,
    /// CLOSE was sent or received; nothing follows.
    Closed,
}

/// End of the peer's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerClose {
    /// A normal end: after EOF, or without EOF by a peer that always closes so.
    Orderly,
    /// A reset: without EOF, by a peer that closes so only for a reset. It is passed on as a reset, after the data.
    Reset,
}

/// Error of a message that the state of the channel does not permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AfterClose;

/// States of both directions of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HalfClose {
    ours: Direction,
    theirs: Direction,
}

impl HalfClose {
    /// Both directions open.
    pub fn new() -> Self {
        Self {
            ours: Direction::Open,
            theirs: Direction::Open,
        }
    }

    /// True if we may send data.
    pub fn may_send(&self) -> bool {
        self.ours == Direction::Open
    }

    /// True if the peer may send data.
    pub fn may_receive(&self) -> bool {
        self.theirs == Direction::Open
    }

    /// True if both directions are closed.
    pub fn is_over(&self) -> bool {
        self.ours == Direction::Closed && self.theirs == Direction::Closed
    }

    /// True if we have sent CLOSE, after which RFC 4254 §5.3 permits nothing.
    pub fn closed_by_us(&self) -> bool {
        self.ours == Direction::Closed
    }

    /// Ends our data. True if EOF must be sent.
    pub fn send_eof(&mut self) -> bool {
        let first = self.ours == Direction::Open;
        self.ours = self.ours.max(Direction::Eof);
        first
    }

    /// Closes our direction. True if CLOSE must be sent.
    pub fn send_close(&mut self) -> bool {
        let first = self.ours != Direction::Closed;
        self.ours = Direction::Closed;
        first
    }

    /// Handles the peer's EOF. A second one changes nothing.
    pub fn recv_eof(&mut self) -> Result<(), AfterClose> {
        match self.theirs {
            Direction::Closed => Err(AfterClose),
            _ => {
                self.theirs = Direction::Eof;
                Ok(())
            }
        }
    }

    /// Handles the peer's CLOSE. `without_eof` is its meaning if no EOF came before.
    pub fn recv_close(&mut self, without_eof: PeerClose) -> Result<PeerClose, AfterClose> {
        let close = match self.theirs {
            Direction::Open => without_eof,
            Direction::Eof => PeerClose::Orderly,
            Direction::Closed => return Err(AfterClose),
        };
        self.theirs = Direction::Closed;
        Ok(close)
    }
}

impl Default for HalfClose {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eof_leaves_the_other_direction_open() {
        let mut h = HalfClose::new();
        h.recv_eof().unwrap();
        assert!(h.may_send() && !h.may_receive());
    }

    #[test]
    fn close_without_eof_has_the_meaning_of_the_peer() {
        for without_eof in [PeerClose::Reset, PeerClose::Orderly] {
            let mut h = HalfClose::new();
            assert_eq!(h.recv_close(without_eof), Ok(without_eof));
            let mut h = HalfClose::new();
            h.send_eof();
            assert_eq!(h.recv_close(without_eof), Ok(without_eof));
            let mut h = HalfClose::new();
            h.recv_eof().unwrap();
            assert_eq!(h.recv_close(without_eof), Ok(PeerClose::Orderly));
        }
    }

    #[test]
    fn each_end_is_sent_once() {
        let mut h = HalfClose::new();
        assert!(h.send_eof() && !h.send_eof());
        assert!(h.send_close() && !h.send_close());
        assert!(!h.send_eof());
        assert!(!h.is_over());
        h.recv_close(PeerClose::Reset).unwrap();
        assert!(h.is_over());
        assert_eq!(h.recv_close(PeerClose::Reset), Err(AfterClose));
    }
}
