//! The descriptors of the process: what it needs itself, and what is left for forwarding.

use std::num::NonZero;
use std::thread;

use nix::sys::resource::{Resource, getrlimit};

/// Threads for each core: a few busy connections hardly ever share one while a core has nothing to do.
const WORKERS_PER_CORE: usize = 4;
/// A runtime's own descriptors: two of its poller, one that wakes it, one for signals.
const OF_A_WORKER: usize = 4;
/// One thread for so many descriptors at most, so that a machine of many cores keeps some to serve with.
const DESCRIPTORS_FOR_A_WORKER: usize = 64;
/// The process's own: standard streams, the log, listening sockets, the accepting runtime, files that are read.
const OF_THE_PROCESS: usize = 32;
/// Where a system does not say how many there are.
const CUSTOMARY: usize = 1024;

/// How many descriptors this process may have.
pub(super) fn descriptors() -> usize {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((CUSTOMARY as u64, 0));
    usize::try_from(soft).unwrap_or(usize::MAX)
}

/// The most threads that serve connections.
pub(super) fn workers(descriptors: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    (WORKERS_PER_CORE * cores).clamp(1, (descriptors / DESCRIPTORS_FOR_A_WORKER).max(1))
}

/// What logins may have between them: all but what accepting takes, and as many connections that have not logged in as
/// may be there at once (`MaxStartups`). At least half.
pub(super) fn for_logins(descriptors: usize, workers: usize, startups: u32) -> usize {
    let startups = usize::try_from(startups).unwrap_or(usize::MAX);
    let own = (OF_THE_PROCESS + workers * OF_A_WORKER).saturating_add(startups);
    descriptors - own.min(descriptors / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepting_and_logging_in_have_descriptors_of_their_own() {
        assert_eq!(for_logins(1024, 8, 100), 1024 - 32 - 32 - 100);
        assert_eq!(for_logins(1024, 8, u32::MAX), 512);
        assert_eq!(for_logins(usize::MAX, 8, 100), usize::MAX - 164);
        assert_eq!(for_logins(0, 1, 100), 0);
    }

    #[test]
    fn few_descriptors_make_few_workers() {
        assert_eq!((workers(64), workers(0)), (1, 1));
        assert!(workers(usize::MAX) >= WORKERS_PER_CORE);
    }
}
