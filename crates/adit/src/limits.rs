//! Limits of the process that both programs set at their start.

use std::sync::OnceLock;

use adit_tunnel::session::remote::start::Limits;
use nix::libc::rlim_t;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The soft limit of descriptors that this process came with.
static CAME_WITH: OnceLock<rlim_t> = OnceLock::new();
/// The same of the size of core files.
static CAME_WITH_CORE: OnceLock<rlim_t> = OnceLock::new();

/// Keeps this process's memory, with its keys and passphrases, out of core files and from debuggers of the same user.
///
/// As a side effect most of `/proc/PID` belongs to root.
pub fn keep_memory_private() {
    // Where either is not possible the other still helps.
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_CORE) {
        CAME_WITH_CORE.get_or_init(|| soft);
        // The hard limit is for programs of sessions, which may have core files.
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, hard);
    }
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// Raises the number of descriptors that this process may have to the most that it may ask for. The soft limit is low for
/// the sake of programs that use `select`, which these are not.
pub fn raise_descriptors() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        CAME_WITH.get_or_init(|| soft);
        // With fewer of them it still runs.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Limits that this process came with, for programs that it starts.
pub(crate) fn came_with() -> Limits {
    Limits {
        descriptors: CAME_WITH.get().copied(),
        core: CAME_WITH_CORE.get().copied(),
    }
}

/// Starts a program under the soft limit of descriptors that this process came with: it may well use `select`.
///
/// Between fork and exec there is no safe place to set a limit, so that this process has it, too, for that moment; what
/// is open stays open.
pub(crate) fn as_it_came<T>(start: impl FnOnce() -> T) -> T {
    let raised = getrlimit(Resource::RLIMIT_NOFILE);
    if let (Some(&soft), Ok((_, hard))) = (CAME_WITH.get(), raised) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
    }
    let started = start();
    if let Ok((soft, hard)) = raised {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
    }
    started
}
