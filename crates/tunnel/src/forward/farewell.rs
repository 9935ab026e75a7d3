//! The end of an application's socket after the peer's CLOSE, without loss of data that was sent to the application.
//!
//! The kernel discards undelivered data if a socket is reset, and also if it is closed with unread input. So the socket
//! stays open for a while, and input of the application, which the peer no longer accepts, is read and dropped.

use std::io;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::net::Stream;
use crate::net::pump::PATIENCE;

/// Time for an application to end its own direction after our FIN. After that the kernel still delivers, as long as the
/// application sends nothing.
const UNTIL_ITS_END: Duration = Duration::from_secs(30);
/// First and longest pause between two checks of delivered data: the kernel has no event for it.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// Time for the last packet to reach another machine, one retransmission included.
const LAST_PACKET: Duration = Duration::from_secs(1);
/// Bytes dropped by one read, and number of reads in a row: together more than the buffer of a unix socket.
const DROPPED_BY_A_READ: usize = 16 << 10;
const READS_AT_ONCE: usize = 64;

/// State of the application's own direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// The application may still send.
    Open,
    /// The application's EOF was read.
    Ended,
    /// The application has closed its socket: nothing can be delivered.
    Gone,
}

/// State of our direction towards the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// More data may be written.
    Open,
    /// Our FIN is sent after the last data.
    Ended,
}

/// Ends our direction after the data, and waits until closing the socket loses none of it.
pub(super) async fn end_after_delivery(app: &Stream, input: Input, output: Output) {
    if input != Input::Open {
        // If the application sends nothing more, the close itself sends a FIN after the data.
        return;
    }
    // After a FIN the kernel no longer reports how much was delivered.
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

/// Waits until a reset loses no data, and makes the close of `app` that reset.
///
/// After our FIN, the kernel itself resets a connection whose application still sends, and delivers the rest to one
/// that does not. Nothing is read meanwhile: the peer does not get the application's data, and reading it would pretend
/// that it does.
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

/// Reads and drops input until the application has ended its direction or is gone.
async fn its_end(app: &Stream) {
    while drop_input(app) == Input::Open {
        if app.readable().await.is_err() {
            return;
        }
    }
}

/// Waits until the application's side has received all but the last packet, or is gone.
async fn delivered(app: &Stream, mut input: Input) {
    app.watch_delivery();
    let mut pause = FIRST_PAUSE;
    while !app.is_delivered() && input != Input::Gone {
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        if input == Input::Open {
            // An application that sends before it reads must not wait for us forever.
            input = drop_input(app);
        }
    }
}

/// Reads and drops the input that has arrived.
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
