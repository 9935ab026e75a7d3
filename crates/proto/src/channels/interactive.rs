//! Which channel is interactive: its small packets wait behind what the others have in flight, whose windows are
//! therefore kept small while it speaks.

use std::time::{Duration, Instant};

use super::ChannelId;
use super::window::Company;

/// The largest packet of an interactive channel, in data bytes: a keystroke, a query, a small answer.
pub(super) const INTERACTIVE: usize = 1024;

/// How long an interactive channel counts as company after its last packet, and how long a larger packet marks a channel
/// as bulk: now and then bulk, too, comes in a small packet.
pub(super) const COMPANY_LASTS: Duration = Duration::from_secs(1);

/// How long at most after its end: of short connections, the next is often not far behind. A stream that begins
/// when a single one has just ended would run in lockstep with its credit for all that time.
pub(super) const AFTER_ITS_END: Duration = Duration::from_millis(200);

/// The channel that was last seen to be interactive, and until when it counts.
#[derive(Debug, Default)]
pub(super) struct Interactive(Option<(ChannelId, Instant)>);

impl Interactive {
    /// A small packet came on a channel that is not known as bulk.
    pub(super) fn spoke(&mut self, id: ChannelId, now: Instant) {
        self.0 = Some((id, now + COMPANY_LASTS));
    }

    /// It is bulk after all: its first packet was a request, or a header.
    pub(super) fn turned_to_bulk(&mut self, id: ChannelId) {
        self.0.take_if(|(speaker, _)| *speaker == id);
    }

    /// The peer sends nothing more on the channel.
    pub(super) fn ended(&mut self, id: ChannelId, now: Instant) {
        if let Some((speaker, until)) = &mut self.0
            && *speaker == id
        {
            *until = (*until).min(now + AFTER_ITS_END);
        }
    }

    /// Whom the channel shares the connection with; `churn` is the number of short-lived channels at a time.
    pub(super) fn company_of(&self, id: ChannelId, churn: u32, now: Instant) -> Company {
        match self.0 {
            Some((speaker, until)) if speaker != id && now < until => {
                Company::Interactive { churn }
            }
            _ => Company::None,
        }
    }
}

/// Whether a large packet that came `at` still marks its channel as bulk.
pub(super) fn is_recent(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < COMPANY_LASTS
}
