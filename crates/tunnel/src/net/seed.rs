//! The seed of a connection's random numbers, generated so that no connection waits for it.
//!
//! The first random number of a process takes 30 ms: aws-lc measures CPU jitter as a second source beside the system's,
//! and tests it first. A connection to the peer can be set up in that time.

use std::io;
use std::sync::Once;
use std::thread;

use aws_lc_rs::rand;

/// The seed of one connection.
pub(crate) type Seed = [u8; 32];

/// Generates a seed.
pub(crate) fn draw() -> io::Result<Seed> {
    let mut seed = Seed::default();
    rand::fill(&mut seed).map_err(|_| io::Error::other("no random bytes"))?;
    Ok(seed)
}

/// Generates the first random number of this process on a thread of its own; a seed that is needed earlier waits for
/// it.
pub(crate) fn prepare() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        // Without a thread, the first seed takes longer.
        let _ = thread::Builder::new().name("seed".into()).spawn(draw);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ() {
        prepare();
        let seeds = [draw().unwrap(), draw().unwrap(), draw().unwrap()];
        assert!(seeds[0] != seeds[1] && seeds[1] != seeds[2] && seeds[0] != seeds[2]);
        assert!(!seeds.contains(&Seed::default()));
    }
}
