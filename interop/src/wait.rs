//! Waiting for something to become true, with a bound: the only place in this crate that sleeps.

use std::thread;
use std::time::{Duration, Instant};

/// Time that anything which should happen at once may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Lets a moment pass, for a reader that is slow on purpose.
pub fn pause() {
    thread::sleep(PAUSE);
}

/// Asks `probe` until it answers or [`PATIENCE`] has passed.
///
/// # Errors
///
/// The last reason that `probe` gave for not being ready, with the time waited.
pub fn until<T>(what: &str, probe: impl FnMut() -> Result<T, Pending>) -> Result<T, String> {
    until_within(what, PATIENCE, probe)
}

/// Like [`until`], with a bound of its own.
///
/// # Errors
///
/// As [`until`].
pub fn until_within<T>(
    what: &str,
    patience: Duration,
    mut probe: impl FnMut() -> Result<T, Pending>,
) -> Result<T, String> {
    let begun = Instant::now();
    loop {
        let reason = match probe() {
            Ok(found) => return Ok(found),
            Err(Pending::Never(reason)) => return Err(format!("{what}: {reason}")),
            Err(Pending::NotYet(reason)) => reason,
        };
        if begun.elapsed() >= patience {
            return Err(format!("{what}: not within {patience:?}: {reason}"));
        }
        thread::sleep(PAUSE);
    }
}

/// Reason why a probe has no answer.
#[derive(Debug)]
pub enum Pending {
    /// Ask again.
    NotYet(String),
    /// It cannot happen any more: the process is gone, say.
    Never(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_never_answers_is_given_up_with_its_reason() {
        let failed = until_within("moon", Duration::from_millis(30), || {
            Err::<(), _>(Pending::NotYet("still dark".into()))
        });
        assert!(failed.is_err_and(|text| text.contains("moon") && text.contains("still dark")));
    }

    #[test]
    fn a_hopeless_probe_is_asked_once() {
        let mut asked = 0;
        let failed = until("door", || {
            asked += 1;
            Err::<(), _>(Pending::Never("walled up".into()))
        });
        assert!(failed.is_err());
        assert_eq!(asked, 1);
    }
}
