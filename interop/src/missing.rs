//! Finding the programs that a test needs, and saying loudly when one is not there. Nothing is skipped in silence.

use std::env;
use std::path::{Path, PathBuf};

/// A program, library or module that is not on this machine.
#[derive(Debug)]
pub struct Missing {
    /// The program, library or file.
    pub what: &'static str,
    /// The command that installs it.
    pub remedy: &'static str,
}

/// Finds `program` on the PATH or in the sbin directories, where servers live.
///
/// # Errors
///
/// When it is nowhere.
pub fn program(program: &'static str, remedy: &'static str) -> Result<PathBuf, Missing> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
        .ok_or(Missing {
            what: program,
            remedy,
        })
}

/// The directory with the profile's binaries: `target/debug` for a test in `target/debug/deps`.
pub fn binaries() -> PathBuf {
    let test = env::current_exe().expect("a running test has an executable");
    let deps = test.parent().expect("an executable is in a directory");
    let inner = deps.ends_with("deps");
    if inner {
        deps.parent().unwrap_or(deps)
    } else {
        deps
    }
    .to_path_buf()
}

/// The cargo target directory.
pub fn target_dir() -> PathBuf {
    let binaries = binaries();
    binaries
        .parent()
        .map_or(binaries.clone(), Path::to_path_buf)
}

/// Deals with something that is missing: fails, or returns so that the test ends without having tested anything, which
/// only `ADIT_SKIP_MISSING=1` allows, and never in CI.
///
/// # Panics
///
/// When the machine should have it.
pub fn tolerate(missing: &Missing) {
    let said = format!("MISSING PEER: {} ({})", missing.what, missing.remedy);
    // Straight to the terminal: the test harness swallows what a passing test prints.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{said}\n").as_bytes());
    let ci = env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    let skip = env::var_os("ADIT_SKIP_MISSING").is_some_and(|value| value == "1");
    assert!(skip && !ci, "{said}");
}

/// Returns the value, or ends the test as [`tolerate`] says.
#[macro_export]
macro_rules! need {
    ($found:expr) => {
        match $found {
            Ok(found) => found,
            Err(missing) => {
                $crate::missing::tolerate(&missing);
                return;
            }
        }
    };
}
