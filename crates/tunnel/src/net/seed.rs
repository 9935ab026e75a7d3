//! The seed of a connection's random numbers, and how nobody waits for it.
//!
//! The first random number of a process takes 30 ms: aws-lc measures the CPU's jitter as a source of its own beside the
//! system's, and tests it first. That is time enough to reach the peer.

use std::io;
use std::sync::Once;
use std::thread;

use aws_lc_rs::rand;

/// The seed of one connection.
pub(crate) type Seed = [u8; 32];

/// Draws a seed.
pub(crate) fn draw() -> io::Result<Seed> {
    let mut seed = Seed::default();
    rand::fill(&mut seed).map_err(|_| io::Error::other("no random bytes"))?;
    Ok(seed)
}

/// Gets over the first number of this process on a thread of its own; whoever draws meanwhile waits for the rest of it.
pub(crate) fn prepare() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        // Without a thread the first draw takes its time.
        let _ = thread::Builder::new().name("seed".into()).spawn(draw);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_is_another() {
        prepare();
        let seeds = [draw().unwrap(), draw().unwrap(), draw().unwrap()];
        assert!(seeds[0] != seeds[1] && seeds[1] != seeds[2] && seeds[0] != seeds[2]);
        assert!(!seeds.contains(&Seed::default()));
    }
}
