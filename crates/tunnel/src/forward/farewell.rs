//! The end of an application's socket after the peer's CLOSE: everything that it was sent arrives first.
//!
//! The kernel drops what it has not delivered where a socket is reset, and also where one is closed with input that
//! nobody read. So the socket stays for a while; what the application still says, which nobody wants any more, is read
//! and dropped meanwhile.

use std::io;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::net::Stream;

/// Time for an application to take what waits for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// Time for an application to end its own direction behind our FIN. After that the kernel still delivers, as long as the
/// application says nothing.
const UNTIL_ITS_END: Duration = Duration::from_secs(30);
/// The first pause between two looks at what has been delivered, and the longest: the kernel has no event for it.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// Time for the last packet to another machine, and for sending it again.
const LAST_PACKET: Duration = Duration::from_secs(1);
/// Bytes that one read drops, and reads that follow each other: together more than a unix socket holds.
const DROPPED_BY_A_READ: usize = 16 << 10;
const READS_AT_ONCE: usize = 64;

/// The application's own direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// It may still say something.
    Open,
    /// Its EOF was read.
    Ended,
    /// It is gone: there is nobody to deliver to.
    Gone,
}

/// Our direction towards the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// More could be written.
    Open,
    /// Our FIN stands behind everything.
    Ended,
}

/// Ends our direction behind what was written, and waits until the close that follows loses nothing of it.
pub(super) async fn end_after_delivery(app: &Stream, input: Input, output: Output) {
    if input != Input::Open {
        // Where the application says nothing more, the close itself is a FIN behind everything.
        return;
    }
    // Behind a FIN the kernel tells nobody how far it has come.
    let patience = match output {
        Output::Ended => UNTIL_ITS_END,
        Output::Open => {
            let _ = timeout(PATIENCE, delivered(app, input)).await;
            match app.is_local() {
                true => Duration::ZERO,
                false => LAST_PACKET,
            }
        }
    };
    let _ = app.shutdown_after_peer_closed();
    let _ = timeout(patience, its_end(app)).await;
}

/// Waits until the reset that follows overtakes nothing, and has the close of `app` be that reset.
///
/// Behind a FIN of ours the kernel makes it one where the application still sends, and delivers the rest where it does not.
/// Nothing is read meanwhile: what the application sends goes nowhere, and it must not look as if.
pub(super) async fn reset_after_delivery(app: &Stream, input: Input, output: Output) {
    if output == Output::Ended {
        return sleep(UNTIL_ITS_END).await;
    }
    let _ = timeout(PATIENCE, delivered(app, input)).await;
    if !app.is_local() {
        sleep(LAST_PACKET).await;
    }
    app.reset_on_close();
}

/// Reads and drops what the application says, until it has ended or is gone.
async fn its_end(app: &Stream) {
    while drop_input(app) == Input::Open {
        if app.readable().await.is_err() {
            return;
        }
    }
}

/// Waits until all but the last packet has reached the application's side, or that is gone.
async fn delivered(app: &Stream, mut input: Input) {
    app.watch_delivery();
    let mut pause = FIRST_PAUSE;
    while !app.is_delivered() && input != Input::Gone {
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        if input == Input::Open {
            // One that says more before it listens must not wait for us for ever.
            input = drop_input(app);
        }
    }
}

/// Reads and drops what is there.
fn drop_input(app: &Stream) -> Input {
    for _ in 0..READS_AT_ONCE {
        match app.try_read(&mut [0; DROPPED_BY_A_READ]) {
            Ok(0) => return Input::Ended,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Input::Open,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Input::Gone,
        }
    }
    Input::Open
}
