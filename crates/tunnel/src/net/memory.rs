//! Memory that all connections of this process share: a pool of large buffers, and the pool of windows.
//!
//! A connection holds a buffer only while it has bytes in it, so an idle connection needs none.

use std::sync::{Arc, LazyLock, Mutex};

use adit_proto::channels::WindowPool;

/// Bytes of each pooled buffer.
pub(super) const BUFFER_LEN: usize = 576 << 10;

/// Buffers kept for reuse; more are freed.
const KEPT: usize = 8;

static POOL: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

static WINDOWS: LazyLock<Arc<WindowPool>> =
    LazyLock::new(|| WindowPool::new(WindowPool::DEFAULT_LIMIT));

/// Pool of all windows.
pub(crate) fn windows() -> Arc<WindowPool> {
    WINDOWS.clone()
}

/// Takes a buffer from the pool.
pub(super) fn take_buffer() -> Box<[u8]> {
    let pooled = POOL.lock().map(|mut pool| pool.pop()).unwrap_or(None);
    pooled.unwrap_or_else(|| vec![0; BUFFER_LEN].into_boxed_slice())
}

/// Gives a buffer back. Its content may be plaintext, which never leaves this process.
pub(super) fn give_back(buffer: Box<[u8]>) {
    if let Ok(mut pool) = POOL.lock()
        && pool.len() < KEPT
    {
        pool.push(buffer);
    }
}
