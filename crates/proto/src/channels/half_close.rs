//! The life of one channel after it is open: two directions that end on their own (RFC 4254 §5.3).
//!
//! ```text
//!   ours (outbound)                      theirs (inbound)
//!   Open ──send_eof──▶ Eof               Open ──recv_eof──▶ Eof
//!     │                 │                  │                 │
//!     └───send_close────┴──▶ Closed        └───recv_close────┴──▶ Closed
//! ```
//!
//! A channel is over when both are `Closed`. CLOSE may follow `Open` directly, and everything sent before it is still
//! to be delivered: from most peers that is simply the end of the data, from adit it is a reset.

/// How far one direction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Data may flow.
    Open,
    /// No more data will come; the other direction goes on.
    Eof,
    /// CLOSE was sent or received; nothing follows.
    Closed,
}

/// How the peer ended its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerClose {
    /// Everything it had to say was said: behind its EOF, or by a peer that closes without one.
    Orderly,
    /// Without EOF, by a peer that says so of a reset only: to be passed on as one, behind what came before.
    Reset,
}

/// A message that the state of the channel does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AfterClose;

/// Both directions of one channel.
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

    /// Whether we may send data.
    pub fn may_send(&self) -> bool {
        self.ours == Direction::Open
    }

    /// Whether the peer may send data.
    pub fn may_receive(&self) -> bool {
        self.theirs == Direction::Open
    }

    /// Whether both directions are closed.
    pub fn is_over(&self) -> bool {
        self.ours == Direction::Closed && self.theirs == Direction::Closed
    }

    /// Whether we have sent CLOSE; RFC 4254 §5.3 lets nothing follow it.
    pub fn closed_by_us(&self) -> bool {
        self.ours == Direction::Closed
    }

    /// Ends our data; tells whether EOF must be sent.
    pub fn send_eof(&mut self) -> bool {
        let first = self.ours == Direction::Open;
        self.ours = self.ours.max(Direction::Eof);
        first
    }

    /// Closes our direction; tells whether CLOSE must be sent.
    pub fn send_close(&mut self) -> bool {
        let first = self.ours != Direction::Closed;
        self.ours = Direction::Closed;
        first
    }

    /// The peer's EOF; a second one changes nothing.
    pub fn recv_eof(&mut self) -> Result<(), AfterClose> {
        match self.theirs {
            Direction::Closed => Err(AfterClose),
            _ => {
                self.theirs = Direction::Eof;
                Ok(())
            }
        }
    }

    /// The peer's CLOSE; `without_eof` is what the peer means by one that no EOF came before.
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
    fn close_without_eof_is_what_the_peer_means_by_it() {
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
    fn each_end_is_announced_once() {
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
