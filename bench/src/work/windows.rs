//! The arithmetic of one window, at both ends.

use std::time::{Duration, Instant};

use adit_proto::channels::budget::WindowBudget;
use adit_proto::channels::window::{Path, RecvWindow, SendWindow, Sharing};
use adit_proto::channels::{WindowLimits, WindowPool};

const PACKET: u32 = 32 << 10;

/// A window at the sender, and the same at the receiver.
#[derive(Debug)]
pub struct Windows {
    send: SendWindow,
    recv: RecvWindow,
    budget: WindowBudget,
    now: Instant,
}

impl Windows {
    /// Windows of the size that a channel begins with.
    pub fn new() -> Self {
        let now = Instant::now();
        let mut budget = WindowBudget::new(
            WindowLimits::OPENSSH,
            WindowPool::new(WindowPool::DEFAULT_LIMIT),
        );
        let recv = budget.open_window(now);
        Self {
            send: SendWindow::new(recv.granted()),
            recv,
            budget,
            now,
        }
    }

    /// One packet: reserved, received, taken, credited where that is due.
    ///
    /// # Panics
    /// If the two ends disagree, which would be a fault of the core.
    pub fn exchange(&mut self) {
        let sent = self.send.reserve(PACKET);
        self.recv
            .receive(sent, self.now)
            .expect("within the window");
        self.now += Duration::from_micros(10);
        let path = Path {
            round_trip: Some(Duration::from_millis(1)),
            sharing: Sharing::None,
        };
        self.recv.take(sent, self.now, path, &mut self.budget);
        if self.recv.credit_due(&self.budget) {
            let credit = self.recv.take_credit();
            self.send.adjust(credit).expect("no more than was taken");
        }
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self::new()
    }
}
