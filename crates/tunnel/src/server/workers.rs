//! The threads that serve connections. A connection keeps to one of them with all its tasks, so that what its driver
//! and its relays tell each other never crosses from core to core (ADR 3).
//!
//! Up to a bound, each connection finds a thread of its own, and the kernel spreads those over the cores; beyond, the
//! thread with the fewest takes the next. A thread that was started stays, for the connections to come, and ends with the
//! server, together with the connections that are left.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Threads of each worker that wait for names to be resolved.
const RESOLVING: usize = 64;

/// The threads that were started so far.
#[derive(Debug)]
pub(super) struct Workers {
    most: usize,
    started: Mutex<Vec<Worker>>,
}

impl Workers {
    /// Up to so many threads.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            started: Mutex::default(),
        }
    }

    /// Runs `serving` to its end on the thread that has the least to do, with everything that it spawns.
    ///
    /// # Errors
    /// There is no thread yet, and none can be started.
    pub(super) fn serve(
        &self,
        serving: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let all_are_busy = started.iter().all(|worker| worker.connections() > 0);
        if all_are_busy && started.len() < self.most {
            match Worker::start() {
                Ok(worker) => started.push(worker),
                // Those that there are carry on.
                Err(_) if !started.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(worker) = started.iter().min_by_key(|worker| worker.connections()) {
            worker.spawn(serving);
        }
        Ok(())
    }
}

impl Drop for Workers {
    /// Returns once every connection has let go of what it held, its socket files among it.
    fn drop(&mut self) {
        let started = self.started.get_mut();
        for worker in started.unwrap_or_else(PoisonError::into_inner).drain(..) {
            drop(worker.until);
            // A panic there has been reported by its thread.
            let _ = worker.thread.join();
        }
    }
}

/// One thread.
#[derive(Debug)]
struct Worker {
    runtime: Handle,
    thread: JoinHandle<()>,
    /// The thread ends when this is dropped.
    until: oneshot::Sender<()>,
    /// Every connection holds another one.
    count: Arc<()>,
}

impl Worker {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(RESOLVING)
            .build()?;
        let handle = runtime.handle().clone();
        let (until, dropped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("connections".into())
            .spawn(move || {
                // Nothing is ever sent.
                let _ = runtime.block_on(dropped);
                // A name that is still being resolved is not waited for.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            runtime: handle,
            thread,
            until,
            count: Arc::default(),
        })
    }

    fn connections(&self) -> usize {
        Arc::strong_count(&self.count) - 1
    }

    fn spawn(&self, serving: impl Future<Output = ()> + Send + 'static) {
        let counted = self.count.clone();
        // A future that is awaited by another would stand in it twice: where it came in, and where it runs.
        let serving = Box::pin(serving);
        self.runtime.spawn(async move {
            serving.await;
            drop(counted);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;

    /// A connection that lasts until it is dropped, and the thread that serves it.
    async fn connect(workers: &Workers) -> (ThreadId, oneshot::Sender<()>) {
        let (began, begun) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let serving = async move {
            let relay = tokio::spawn(async { thread::current().id() });
            began.send(relay.await.unwrap()).unwrap();
            // The sender is dropped, which is an error here.
            let _ = ended.await;
        };
        workers.serve(serving).unwrap();
        (begun.await.unwrap(), end)
    }

    async fn settle(workers: &Workers, connections: usize) {
        let count = || {
            let started = workers.started.lock().unwrap();
            started.iter().map(Worker::connections).sum::<usize>()
        };
        while count() > connections {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn connections_have_threads_of_their_own_up_to_the_bound_and_then_share_the_emptiest() {
        let workers = Workers::new(2);
        let (first, first_open) = connect(&workers).await;
        let (second, _second_open) = connect(&workers).await;
        assert_ne!(first, second);
        let (_, third_open) = connect(&workers).await;
        assert_eq!(workers.started.lock().unwrap().len(), 2);

        drop((first_open, third_open));
        settle(&workers, 1).await;
        let (next, _next_open) = connect(&workers).await;
        assert_eq!(next, first, "the second thread has a connection already");
    }

    #[tokio::test]
    async fn connections_let_go_of_what_they_hold_before_the_workers_are_gone() {
        let workers = Workers::new(1);
        let (_, open) = connect(&workers).await;
        drop(workers);
        assert!(open.is_closed(), "the connection still waits");
    }
}
