//! Descriptors: limits on the sockets of one login, which leave some for the others.
//!
//! A [`Pool`] has the descriptors that the process uses for forwarding, without those that it needs to accept
//! connections and to log in. Each login has a [`Share`] of it, and each of its sockets holds a [`Permit`].
//!
//! A share may grow to three times the free part of the pool. One greedy login then gets three quarters of the pool,
//! two get three sevenths each, and with any number some part is left for the next. The connection's own socket of a
//! login may grow a share further, to fifteen times the free part: a user whose forwards took everything can still log
//! in, and end them.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// Limit of a share, as a multiple of the free part.
const TIMES_THE_FREE: usize = 3;
/// The same for the socket of a further login.
const TIMES_THE_FREE_FOR_LOGINS: usize = 15;
/// Size of a pool without a limit; small enough that sums of it do not overflow.
const UNLIMITED: usize = usize::MAX / 8;
/// Interval at which a full share looks for descriptors that other logins gave back.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Descriptors that all logins share.
#[derive(Debug, Clone)]
pub struct Pool(Arc<PoolState>);

#[derive(Debug)]
struct PoolState {
    most: usize,
    used: AtomicUsize,
    /// Shares by the name of their holder: logins with the same key have one share.
    shares: Mutex<HashMap<String, Weak<ShareState>>>,
}

impl Pool {
    /// A pool of `most` descriptors.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(PoolState {
            most: most.min(UNLIMITED),
            used: AtomicUsize::new(0),
            shares: Mutex::default(),
        }))
    }

    /// The share of `holder`. All calls return the same one while it is in use.
    pub fn share(&self, holder: &str) -> Share {
        let mut shares = self.0.lock_shares();
        if let Some(share) = shares.get(holder).and_then(Weak::upgrade) {
            return Share(share);
        }
        let share = Arc::new(ShareState {
            holder: holder.to_owned(),
            pool: self.clone(),
            held: AtomicUsize::new(0),
            freed: Notify::new(),
        });
        shares.insert(holder.to_owned(), Arc::downgrade(&share));
        Share(share)
    }
}

impl PoolState {
    fn lock_shares(&self) -> std::sync::MutexGuard<'_, HashMap<String, Weak<ShareState>>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Descriptors of one login, or of several logins with the same key.
#[derive(Debug, Clone)]
pub struct Share(Arc<ShareState>);

#[derive(Debug)]
struct ShareState {
    holder: String,
    pool: Pool,
    held: AtomicUsize,
    freed: Notify,
}

impl Share {
    /// A share without a limit, for a client, which serves its own user only.
    pub fn unlimited() -> Self {
        Pool::new(UNLIMITED).share("")
    }

    /// Takes `count` descriptors.
    ///
    /// # Errors
    /// The share would exceed its limit.
    pub fn take(&self, count: usize) -> Result<Permit, Full> {
        self.take_within(TIMES_THE_FREE, count)
    }

    /// Takes the descriptor for the socket of a login's own connection.
    ///
    /// # Errors
    /// The share would exceed even the higher limit for logins.
    pub fn take_for_login(&self) -> Result<Permit, Full> {
        self.take_within(TIMES_THE_FREE_FOR_LOGINS, 1)
    }

    fn take_within(&self, times_the_free: usize, count: usize) -> Result<Permit, Full> {
        let pool = &self.0.pool.0;
        let used = pool.used.fetch_add(count, Ordering::Relaxed) + count;
        let held = self.0.held.fetch_add(count, Ordering::Relaxed) + count;
        let fits = pool
            .most
            .checked_sub(used)
            .is_some_and(|free| held <= times_the_free.saturating_mul(free));
        if fits {
            let share = self.clone();
            return Ok(Permit { share, count });
        }
        pool.used.fetch_sub(count, Ordering::Relaxed);
        self.0.held.fetch_sub(count, Ordering::Relaxed);
        Err(Full { held: held - count })
    }

    /// Waits until another attempt may succeed. A share is not notified of descriptors that other shares give back, so
    /// it looks at intervals.
    pub async fn freed(&self) {
        // A timeout is a reason to look, too.
        let _ = timeout(LOOK_AGAIN, self.0.freed.notified()).await;
    }
}

impl Drop for ShareState {
    fn drop(&mut self) {
        let mut shares = self.pool.0.lock_shares();
        // Another login may have made a new share meanwhile.
        if shares
            .get(&self.holder)
            .is_some_and(|share| share.strong_count() == 0)
        {
            shares.remove(&self.holder);
        }
    }
}

/// Descriptors in use; dropping the permit gives them back.
#[derive(Debug)]
pub struct Permit {
    share: Share,
    count: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let share = &self.share.0;
        share.pool.0.used.fetch_sub(self.count, Ordering::Relaxed);
        share.held.fetch_sub(self.count, Ordering::Relaxed);
        share.freed.notify_one();
    }
}

/// Error of a share at its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// Descriptors that the share holds.
    pub held: usize,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "too many open connections: logins with this key hold {} descriptors, and the rest is for others",
            self.held
        )
    }
}

impl std::error::Error for Full {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one descriptor after the other until the share is full.
    fn take_all(share: &Share) -> Vec<Permit> {
        std::iter::from_fn(|| share.take(1).ok()).collect()
    }

    #[test]
    fn greedy_login_leaves_a_quarter_and_the_next_one_a_part_of_that() {
        let pool = Pool::new(1000);
        let taken = ["a", "b", "c"].map(|who| take_all(&pool.share(who)));
        assert_eq!(taken.each_ref().map(Vec::len), [750, 187, 47]);
        drop(taken);
        assert_eq!(pool.0.used.load(Ordering::Relaxed), 0);
        assert!(pool.0.lock_shares().is_empty());
    }

    #[test]
    fn logins_with_one_key_have_one_share() {
        let pool = Pool::new(1000);
        let (first, second) = (pool.share("key"), pool.share("key"));
        let _taken = take_all(&first);
        assert_eq!(second.take(1).unwrap_err(), Full { held: 750 });
        drop((first, second));
        assert!(pool.share("key").take(1).is_err(), "sockets are left of it");
    }

    #[test]
    fn key_whose_forwards_fill_its_share_can_log_in_again_and_leaves_room_for_others() {
        let pool = Pool::new(1000);
        let (key, other) = (pool.share("key"), pool.share("other"));
        let _forwards = take_all(&key);
        let logins: Vec<_> = std::iter::from_fn(|| key.take_for_login().ok()).collect();
        assert_eq!(logins.len(), 187);
        assert!(key.take(1).is_err());
        let _login = other.take_for_login().unwrap();
        assert_eq!(take_all(&other).len(), 46);
    }

    #[tokio::test]
    async fn descriptor_that_is_given_back_wakes_waiting_task() {
        let share = Pool::new(4).share("");
        let taken = take_all(&share);
        let waiting = share.clone();
        let waits = tokio::spawn(async move {
            while waiting.take(1).is_err() {
                waiting.freed().await;
            }
        });
        tokio::task::yield_now().await;
        drop(taken);
        waits.await.unwrap();
    }
}
