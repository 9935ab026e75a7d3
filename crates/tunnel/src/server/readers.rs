//! Threads that read files for connections: a disk that is slow, or a file server that is gone, holds up those who wait
//! for it, and none of the connections that share a thread.
//!
//! A thread that was started stays for a while, for the next to use. They are not those that resolve names, which a
//! login may keep busy for long.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

/// Most jobs that are under way at once, each on a thread; those beyond wait for one to end.
const MOST: usize = 16;
/// Time that a thread waits for another job before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// One job, with its place among [`MOST`].
type Job = Box<dyn FnOnce() + Send>;

/// The threads, and the jobs that wait for them.
#[derive(Debug)]
pub(super) struct Readers {
    places: Arc<Semaphore>,
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Threads that wait for a job, less those for which one is there.
    idle: usize,
}

impl Default for Readers {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MOST)),
            queue: Arc::default(),
        }
    }
}

impl Readers {
    /// Runs `work` on a thread of its own. Whoever does not wait any more leaves no work behind, unless it has begun:
    /// then it keeps its place until it ends.
    ///
    /// # Errors
    /// No thread could be started, or the work panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let place = self.places.clone().acquire_owned().await;
        let (sender, receiver) = oneshot::channel();
        self.queue.push(Box::new(move || {
            if !sender.is_closed() {
                // Nobody may wait for it any more.
                let _ = sender.send(work());
            }
            drop(place);
        }))?;
        let panicked = |_| io::Error::other("a thread that reads files panicked");
        receiver.await.map_err(panicked)
    }
}

impl Queue {
    /// Gives the job to a thread that waits, or to a new one.
    fn push(self: &Arc<Self>, job: Job) -> io::Result<()> {
        {
            let mut state = self.state();
            if state.idle > 0 {
                state.idle -= 1;
                state.jobs.push_back(job);
                self.more.notify_one();
                return Ok(());
            }
        }
        let queue = self.clone();
        thread::Builder::new()
            .name("files".into())
            .spawn(move || {
                job();
                queue.work();
            })
            .map(drop)
    }

    /// One thread's life after its first job.
    fn work(&self) {
        while let Some(job) = self.next() {
            job();
        }
    }

    /// The next job; none once there has been none for long enough.
    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        state.idle += 1;
        let nothing_to_do = |state: &mut State| state.jobs.is_empty();
        let waited = self.more.wait_timeout_while(state, IDLE, nothing_to_do);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let job = state.jobs.pop_front();
        if job.is_none() {
            state.idle -= 1;
        }
        job
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Jobs that wait for a disk, until this is dropped.
    pub(in crate::server) struct Disk(#[expect(dead_code)] Vec<mpsc::Sender<()>>);

    impl Readers {
        /// Gives every place to a job that waits.
        pub(in crate::server) async fn all_busy(&self) -> Disk {
            let mut answers = Vec::new();
            for _ in 0..MOST {
                let (answer, answered) = mpsc::channel::<()>();
                let (began, begun) = oneshot::channel();
                let mut run = Box::pin(self.run(move || {
                    let _ = began.send(());
                    let _ = answered.recv();
                }));
                tokio::select! {
                    _ = &mut run => unreachable!("nothing was answered"),
                    begun = begun => begun.unwrap(),
                }
                answers.push(answer);
            }
            Disk(answers)
        }
    }

    #[tokio::test]
    async fn work_is_done_on_another_thread_that_is_used_again() {
        let readers = Readers::default();
        let id = || thread::current().id();
        let first = readers.run(id).await.unwrap();
        assert_ne!(first, id());
        while readers.queue.state().idle == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(readers.run(id).await.unwrap(), first);
    }

    #[tokio::test]
    async fn work_beyond_the_bound_waits_and_is_not_begun_for_who_has_left() {
        let readers = Readers::default();
        let disk = readers.all_busy().await;
        let mut left = Box::pin(readers.run(|| panic!("nobody waits for this")));
        let mut waits = Box::pin(readers.run(|| 7));
        tokio::select! {
            biased;
            _ = &mut left => unreachable!("there is no place"),
            _ = &mut waits => unreachable!("there is no place"),
            () = tokio::task::yield_now() => {}
        }
        drop(left);
        drop(disk);
        assert_eq!(waits.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn panic_is_an_error_and_leaves_its_place_to_others() {
        let readers = Readers::default();
        for _ in 0..2 * MOST {
            assert!(readers.run(|| panic!("as a test")).await.is_err());
        }
        assert!(readers.run(|| ()).await.is_ok());
    }
}
