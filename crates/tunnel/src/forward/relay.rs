//! One forwarded connection, once both ends are there: bytes both ways until both have said all they had to say.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use adit_proto::channels::PeerClose;

use crate::net::channel::Received;
use crate::net::{Channel, Pumped, SHORT_TURN, Stream};
use crate::status::ForwardCounters;

/// How long an application may take over what had arrived for it when the SSH connection ended.
const AFTER_THE_END: Duration = Duration::from_secs(30);

/// How a forwarded connection ended.
#[derive(Debug)]
pub enum End {
    /// Both directions said EOF, or the peer closed in good order.
    Orderly,
    /// The peer, or the application, broke off; passed on as a reset.
    Reset(Option<io::Error>),
}

/// Carries bytes between `app` and `channel`; both are closed at the end.
///
/// EOF of one direction leaves the other open (RFC 4254 §5.3). A reset of one end becomes a reset of the other.
pub async fn relay(channel: Channel, app: Arc<Stream>, counters: &Arc<ForwardCounters>) -> End {
    app.prepare_forwarded();
    channel.attach(app.clone(), counters.clone());
    let end = tokio::select! {
        end = run(&channel, &app, counters) => end,
        end = too_slow(&channel) => end,
    };
    if let End::Reset(_) = end {
        app.reset_on_close();
    }
    end
}

async fn run(channel: &Channel, app: &Stream, counters: &ForwardCounters) -> End {
    let mut outbound = pin!(outbound(channel, app, counters));
    let mut inbound = pin!(inbound(channel, app, counters));
    tokio::select! {
        sent = &mut outbound => match sent {
            // Our EOF is out, and the peer may still have much to say; or the peer's CLOSE is here, and what it had said
            // before may still wait for the application.
            Ok(_) => match inbound.await {
                Ok(end) => end.unwrap_or(End::Orderly),
                Err(error) => End::Reset(Some(error)),
            },
            Err(error) => End::Reset(Some(error)),
        },
        received = &mut inbound => {
            match received {
                Ok(Some(end)) => return end,
                Ok(None) => {}
                // It reads no more, and what it said before may still wait here, as an answer to half a request may.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => channel.detach(),
                Err(error) => return End::Reset(Some(error)),
            }
            tokio::select! {
                sent = outbound => match sent {
                    Ok(_) => End::Orderly,
                    Err(error) => End::Reset(Some(error)),
                },
                end = closed(channel) => end,
            }
        }
    }
}

/// An application that reads nothing must not hold what the connection had, once that is over.
async fn too_slow(channel: &Channel) -> End {
    channel.over().await;
    tokio::time::sleep(AFTER_THE_END).await;
    End::Reset(Some(io::ErrorKind::TimedOut.into()))
}

/// From the application into the channel, until its EOF.
async fn outbound(
    channel: &Channel,
    app: &Stream,
    counters: &ForwardCounters,
) -> io::Result<Pumped> {
    loop {
        match channel.pump_from(app).await? {
            Pumped::Bytes(n) => {
                counters.sent.add(n as u64);
                if n >= SHORT_TURN {
                    // One turn each: a busy application must not keep the others of this thread waiting.
                    tokio::task::yield_now().await;
                }
            }
            Pumped::AppEof => {
                channel.send_eof();
                return Ok(Pumped::AppEof);
            }
            Pumped::ChannelClosed => return Ok(Pumped::ChannelClosed),
        }
    }
}

/// What the driver could not write at once, until the peer's EOF (`None`) or CLOSE.
async fn inbound(
    channel: &Channel,
    app: &Stream,
    counters: &ForwardCounters,
) -> io::Result<Option<End>> {
    loop {
        match channel.receive().await? {
            Received::Data(bytes) => {
                app.write_all(&bytes).await?;
                counters.received.add(bytes.len() as u64);
                channel.taken(bytes.len());
            }
            Received::Eof => {
                // An application that has gone already needs no EOF.
                let _ = app.shutdown_write();
                return Ok(None);
            }
            Received::Closed(close) => return Ok(Some(end_of(close))),
        }
    }
}

/// Waits for the peer's CLOSE. What still comes is taken, so that the peer may go on, and nobody reads it.
async fn closed(channel: &Channel) -> End {
    loop {
        match channel.receive().await {
            Ok(Received::Data(bytes)) => channel.taken(bytes.len()),
            Ok(Received::Closed(close)) => return end_of(close),
            Ok(Received::Eof) => {}
            Err(error) => return End::Reset(Some(error)),
        }
    }
}

fn end_of(close: PeerClose) -> End {
    match close {
        PeerClose::Orderly => End::Orderly,
        PeerClose::Reset => End::Reset(None),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;
    use crate::net::pair::Pair;

    /// More than a socket pair holds, less than a window.
    const LENGTH: usize = 1 << 20;

    #[tokio::test]
    async fn close_does_not_overtake_data_that_the_application_is_slow_to_take() {
        let mut pair = Pair::new().await;
        let (theirs, ours) = pair.open().await;
        let (app, mut target) = UnixStream::pair().unwrap();
        let counters = Arc::default();
        let relaying =
            tokio::spawn(async move { relay(ours, Arc::new(app.into()), &counters).await });

        theirs.send(&vec![7; LENGTH]).await.unwrap();
        theirs.send_eof();
        drop(theirs);
        pair.settle().await;
        // The target ends its own direction, which sends the relay to the channel, and only then begins to read.
        target.shutdown().await.unwrap();
        pair.settle().await;
        let mut came = Vec::new();
        target.read_to_end(&mut came).await.unwrap();

        assert_eq!(came.len(), LENGTH);
        assert!(matches!(relaying.await.unwrap(), End::Orderly));
    }

    /// The clock is a simulated one, which jumps when nothing else is left to do.
    #[tokio::test(start_paused = true)]
    async fn application_that_reads_nothing_is_let_go_once_the_connection_is_over() {
        let mut pair = Pair::new().await;
        let (theirs, ours) = pair.open().await;
        let (app, _reads_nothing) = UnixStream::pair().unwrap();
        let counters = Arc::default();
        let relaying =
            tokio::spawn(async move { relay(ours, Arc::new(app.into()), &counters).await });
        theirs.send(&vec![7; LENGTH]).await.unwrap();
        pair.settle().await;

        pair.client.end("gone");

        let end = relaying.await.unwrap();
        let timed_out = |e: &io::Error| e.kind() == io::ErrorKind::TimedOut;
        assert!(
            matches!(&end, End::Reset(Some(error)) if timed_out(error)),
            "{end:?}"
        );
    }

    #[tokio::test]
    async fn what_an_application_said_arrives_though_it_reads_no_more() {
        let mut pair = Pair::new().await;
        let (theirs, ours) = pair.open().await;
        let (app, mut target) = UnixStream::pair().unwrap();
        let counters = Arc::default();
        let relaying =
            tokio::spawn(async move { relay(ours, Arc::new(app.into()), &counters).await });
        // More than the window, so that the rest waits in the socket when the application goes.
        let said = (2 << 20) + (64 << 10);
        target.write_all(&vec![7; said]).await.unwrap();
        drop(target);
        theirs.send(b"nobody reads this").await.unwrap();
        pair.settle().await;

        let mut heard = 0;
        loop {
            match theirs.receive().await.unwrap() {
                Received::Data(bytes) => {
                    heard += bytes.len();
                    theirs.taken(bytes.len());
                }
                Received::Eof => theirs.send_eof(),
                Received::Closed(close) => {
                    assert_eq!(close, PeerClose::Orderly);
                    break;
                }
            }
        }
        assert_eq!(heard, said);
        assert!(matches!(relaying.await.unwrap(), End::Orderly));
    }
}
