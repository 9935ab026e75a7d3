//! The seed of a connection's random numbers, and how nobody waits for it.
//!
//! The first random number of a process takes 30 ms: aws-lc measures the CPU's jitter as a source of its own beside the
//! system's, and tests it first. That is time enough to reach the peer.

use std::io;
use std::thread;

use aws_lc_rs::rand;
use tokio::sync::oneshot;

/// The seed of one connection.
pub(crate) type Seed = [u8; 32];

/// Draws a seed.
pub(crate) fn draw() -> io::Result<Seed> {
    let mut seed = Seed::default();
    rand::fill(&mut seed).map_err(|_| io::Error::other("no random bytes"))?;
    Ok(seed)
}

/// Begins to draw a seed on a thread of its own. Where there is no thread to be had, whoever awaits it draws it.
pub(crate) fn begin() -> impl Future<Output = io::Result<Seed>> {
    let (sender, receiver) = oneshot::channel();
    let begun = thread::Builder::new()
        .name("seed".into())
        // Whoever began it may have given up meanwhile.
        .spawn(|| drop(sender.send(draw())));
    async move {
        match (begun, receiver.await) {
            (Ok(_), Ok(seed)) => seed,
            _ => draw(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_seed_is_another() {
        let (early, other) = (begin(), begin());
        let seeds = [early.await.unwrap(), other.await.unwrap(), draw().unwrap()];
        assert!(seeds[0] != seeds[1] && seeds[1] != seeds[2] && seeds[0] != seeds[2]);
        assert!(!seeds.contains(&Seed::default()));
    }
}
