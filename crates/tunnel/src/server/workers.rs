//! Threads that serve connections. All tasks of a connection run on one thread, so that its driver and its relays
//! exchange data without crossing from core to core (ADR 3).
//!
//! Up to a limit each connection gets a thread of its own, and the kernel spreads the threads over the cores. Above the
//! limit the next connection goes to the thread that has the fewest. A thread stays for later connections; it ends with
//! the server, and its remaining connections with it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Limit of the threads that resolve names, for each worker.
const RESOLVING: usize = 64;

/// Threads that were started so far.
#[derive(Debug)]
pub(super) struct Workers {
    most: usize,
    started: Mutex<Vec<Worker>>,
}

impl Workers {
    /// Workers with at most this number of threads.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            started: Mutex::default(),
        }
    }

    /// Runs `serving` to its end, with all tasks that it spawns, on the thread with the fewest connections.
    ///
    /// # Errors
    /// No thread is running, and none can be started.
    pub(super) fn serve(
        &self,
        serving: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let all_are_busy = started.iter().all(|worker| worker.connections() > 0);
        if all_are_busy && started.len() < self.most {
            match Worker::start() {
                Ok(worker) => started.push(worker),
                // The running threads serve this connection, too.
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
    /// Returns when all connections have released their resources, such as socket files.
    fn drop(&mut self) {
        let started = self.started.get_mut();
        for worker in started.unwrap_or_else(PoisonError::into_inner).drain(..) {
            drop(worker.until);
            // The thread itself has reported a panic.
            let _ = worker.thread.join();
        }
    }
}

/// A thread and its runtime.
#[derive(Debug)]
struct Worker {
    runtime: Handle,
    thread: JoinHandle<()>,
    /// Ends the thread when it is dropped.
    until: oneshot::Sender<()>,
    /// Counts connections: each holds a clone.
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
                // Nothing is sent, so this returns when the sender is dropped.
                let _ = runtime.block_on(dropped);
                // Lookups of names that are still running are not waited for.
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
        // Boxed: a future that another one awaits would be stored twice, as an argument and where it runs.
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

    /// A connection that lasts until the sender is dropped, and the thread that serves it.
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
    async fn connections_share_threads_only_above_the_limit_and_then_the_emptiest() {
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
    async fn connections_release_their_resources_before_the_workers_are_dropped() {
        let workers = Workers::new(1);
        let (_, open) = connect(&workers).await;
        drop(workers);
        assert!(open.is_closed(), "the connection still waits");
    }
}
