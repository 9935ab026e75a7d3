//! Descriptors of the process: those that it needs itself, and those for forwarding.

use std::num::NonZero;
use std::thread;

use nix::sys::resource::{Resource, getrlimit};

/// Threads per core: a few busy connections rarely share a thread while a core is idle.
const WORKERS_PER_CORE: usize = 4;
/// Descriptors of one runtime: two for its poller, one to wake it, one for signals.
const OF_A_WORKER: usize = 4;
/// Descriptors of the process for each thread, at least. On a machine of many cores this limits the threads.
const DESCRIPTORS_FOR_A_WORKER: usize = 64;
/// Descriptors of the process itself: standard streams, log, listening sockets, the accepting runtime, files that are
/// read.
const OF_THE_PROCESS: usize = 32;
/// Usual limit, for systems that do not report it.
const CUSTOMARY: usize = 1024;

/// Limit of the descriptors of this process.
pub(super) fn descriptors() -> usize {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((CUSTOMARY as u64, 0));
    usize::try_from(soft).unwrap_or(usize::MAX)
}

/// Limit of the threads that serve connections.
pub(super) fn workers(descriptors: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    (WORKERS_PER_CORE * cores).clamp(1, (descriptors / DESCRIPTORS_FOR_A_WORKER).max(1))
}

/// Descriptors that all logins share: all but those for accepting, and for as many connections without login as
/// `MaxStartups` permits. At least half.
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
