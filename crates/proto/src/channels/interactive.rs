//! Interactive channels. Their small packets wait behind the data that other channels have in flight, so the windows of
//! those are kept small while a channel is interactive.

use std::time::{Duration, Instant};

use super::ChannelId;
use super::window::Sharing;

/// Largest packet of an interactive channel, in data bytes: a keystroke, a query, a short answer.
pub(super) const INTERACTIVE: usize = 1024;

/// Time after its last packet for which an interactive channel counts, and after a larger packet for which a channel
/// counts as bulk: bulk channels send a small packet now and then, too.
pub(super) const SHARING_LASTS: Duration = Duration::from_secs(1);

/// Limit of that time after the end of an interactive channel. Of short connections, the next often follows soon. After
/// a single one, a bulk channel would be held back by its credit for all that time.
pub(super) const AFTER_ITS_END: Duration = Duration::from_millis(200);

/// The channel that was last interactive, and the time until which it counts.
#[derive(Debug, Default)]
pub(super) struct Interactive(Option<(ChannelId, Instant)>);

impl Interactive {
    /// Notes a small packet on a channel that is not bulk.
    pub(super) fn spoke(&mut self, id: ChannelId, now: Instant) {
        self.0 = Some((id, now + SHARING_LASTS));
    }

    /// Notes that the channel is bulk: its first packet was a request, or a header.
    pub(super) fn turned_to_bulk(&mut self, id: ChannelId) {
        self.0.take_if(|(speaker, _)| *speaker == id);
    }

    /// Notes that the peer sends no more data on the channel.
    pub(super) fn ended(&mut self, id: ChannelId, now: Instant) {
        if let Some((speaker, until)) = &mut self.0
            && *speaker == id
        {
            *until = (*until).min(now + AFTER_ITS_END);
        }
    }

    /// Other use of the channel's connection; `churn` is the number of short-lived channels at a time.
    pub(super) fn sharing_of(&self, id: ChannelId, churn: u32, now: Instant) -> Sharing {
        match self.0 {
            Some((speaker, until)) if speaker != id && now < until => {
                Sharing::Interactive { churn }
            }
            _ => Sharing::None,
        }
    }
}

/// True if a large packet that came `at` still marks its channel as bulk.
pub(super) fn is_recent(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < SHARING_LASTS
}
