//! Threads that read files for connections. A slow disk or an unreachable file server then delays only the connection
//! that waits for it, and no other one of the same thread.
//!
//! A thread stays for a while for further jobs. These threads do not resolve names: a login can keep those busy for
//! long.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

/// Limit of the jobs that run at once, each on its own thread; further jobs wait.
const MOST: usize = 16;
/// Time without a job after which a thread ends.
const IDLE: Duration = Duration::from_secs(10);

/// A job, which holds one of the [`MOST`] places.
type Job = Box<dyn FnOnce() + Send>;

/// Threads and their queue of jobs.
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
    /// Threads that wait for a job, minus the jobs that are already queued for them.
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
    /// Runs `work` on a thread of its own. If the caller stops waiting, work that has not begun is dropped; work that
    /// has begun keeps its place until it ends.
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
                // The caller may have stopped waiting.
                let _ = sender.send(work());
            }
            drop(place);
        }))?;
        let panicked = |_| io::Error::other("a thread that reads files panicked");
        receiver.await.map_err(panicked)
    }
}

impl Queue {
    /// Queues the job for an idle thread, or starts a new one.
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

    /// Runs jobs after a thread's first one, until it is idle for too long.
    fn work(&self) {
        while let Some(job) = self.next() {
            job();
        }
    }

    /// The next job; none after [`IDLE`].
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

    /// A disk that does not answer until this is dropped.
    pub(in crate::server) struct Disk(#[expect(dead_code)] Vec<mpsc::Sender<()>>);

    impl Readers {
        /// Occupies all places with jobs that wait.
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
    async fn work_runs_on_another_thread_that_is_reused() {
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
    async fn work_above_the_limit_waits_and_is_dropped_with_its_caller() {
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
    async fn panic_is_an_error_and_frees_its_place() {
        let readers = Readers::default();
        for _ in 0..2 * MOST {
            assert!(readers.run(|| panic!("as a test")).await.is_err());
        }
        assert!(readers.run(|| ()).await.is_ok());
    }
}
