//! Limits of the process that both programs set at their start.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the number of descriptors that this process may have to the most that it may ask for. The soft limit is low for
/// the sake of programs that use `select`, which these are not.
pub fn raise_descriptors() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // With fewer of them it still runs.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
