//! Limits of the process that both programs set at their start.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Keeps this process's memory, with its keys and passphrases, out of core files and from debuggers of the same user.
///
/// As a side effect most of `/proc/PID` belongs to root.
pub fn keep_memory_private() {
    // Where either is not possible the other still helps.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_dumpable(false);
}

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
