//! Relay of one forwarded connection: copies in both directions until both have ended.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adit_proto::channels::PeerClose;

use super::farewell::{self, Input, Output};
use crate::net::channel::Received;
use crate::net::pump::{self, Patience, PumpedIn, PumpedOut, pump_in, pump_out};
use crate::net::{Channel, Ended, Stream};
use crate::status::ForwardCounters;

/// Time for an application to read the data that had arrived for it when the SSH connection ended.
const AFTER_THE_END: Duration = Duration::from_secs(30);

/// The end of a forwarded connection.
#[derive(Debug)]
pub enum End {
    /// Both directions sent EOF, or the peer sent CLOSE without an error.
    Orderly,
    /// The peer or the application broke off. The other end gets a reset.
    Reset(Option<io::Error>),
}

/// Carries bytes between `app` and `channel`; both are closed at the end.
///
/// EOF of one direction leaves the other open (RFC 4254 §5.3). A reset of one end becomes a reset of the other. Neither
/// a reset nor the peer's CLOSE overtakes data that came before it.
pub async fn relay(channel: Channel, app: Arc<Stream>, counters: &Arc<ForwardCounters>) -> End {
    app.prepare_forwarded();
    channel.attach(app.clone(), counters.clone());
    let fin_is_out = AtomicBool::new(false);
    let to_the_end = async {
        let (end, input) = run(&channel, &app, counters, &fin_is_out).await;
        let output = match fin_is_out.load(Ordering::Relaxed) {
            true => Output::Ended,
            false => Output::Open,
        };
        match (&end, input) {
            (_, Input::Gone) => app.reset_on_close(),
            (End::Orderly, input) => farewell::end_after_delivery(&app, input, output).await,
            (End::Reset(_), input) => farewell::reset_after_delivery(&app, input, output).await,
        }
        end
    };
    tokio::select! {
        end = to_the_end => end,
        end = too_slow(&channel) => {
            // After our FIN the kernel still delivers the rest.
            if !fin_is_out.load(Ordering::Relaxed) {
                app.reset_on_close();
            }
            end
        }
    }
}

/// Relays until nothing is left to do; returns the end, and the state of the application's direction. `fin_is_out` is
/// set when our FIN is sent.
async fn run(
    channel: &Channel,
    app: &Stream,
    counters: &ForwardCounters,
    fin_is_out: &AtomicBool,
) -> (End, Input) {
    let gone = |error| (End::Reset(Some(error)), Input::Gone);
    let data = channel.data();
    let mut outbound = pin!(pump_out(&data, app, counters));
    let mut inbound = pin!(pump_in(&data, app, Patience::AfterClose, counters));
    let (input, received) = tokio::select! {
        sent = &mut outbound => match sent {
            // Our EOF is sent, and the peer may still send much; or the channel has ended, and data of the peer may
            // still wait for the application.
            Ok(end) => (Some(said_all(channel, end)), inbound.await),
            Err(error) => return gone(error),
        },
        received = &mut inbound => (None, received),
    };
    match received {
        Ok(PumpedIn::Closed(close)) => return (end_of(close), input.unwrap_or(Input::Open)),
        Ok(PumpedIn::Ended(ended)) => return (broken_off(*ended), input.unwrap_or(Input::Open)),
        Ok(PumpedIn::Eof) => {
            // An application that has gone already needs no EOF.
            let _ = app.shutdown_write();
            fin_is_out.store(true, Ordering::Relaxed);
        }
        // The application no longer reads. Data that it sent may still wait here, such as an answer to half a request.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe && input.is_none() => {
            channel.detach();
        }
        Err(error) => return gone(error),
    }
    match input {
        Some(input) => (till_closed(channel, input).await, input),
        None => tokio::select! {
            sent = outbound => match sent {
                Ok(end) => {
                    let input = said_all(channel, end);
                    (till_closed(channel, input).await, input)
                }
                Err(error) => gone(error),
            },
            end = closed(channel) => (end, Input::Open),
        },
    }
}

/// The end of a relay after the peer's EOF: immediate if the application has ended too. Otherwise the channel has
/// ended, and knows why.
async fn till_closed(channel: &Channel, input: Input) -> End {
    match input {
        Input::Ended => End::Orderly,
        Input::Open | Input::Gone => closed(channel).await,
    }
}

/// Waits for the end of the connection and then for a limited time: an application that does not read must not hold its
/// resources longer.
async fn too_slow(channel: &Channel) -> End {
    channel.over().await;
    tokio::time::sleep(AFTER_THE_END).await;
    End::Reset(Some(io::ErrorKind::TimedOut.into()))
}

/// The state of the application's direction after its end; sends EOF if it ended.
fn said_all(channel: &Channel, end: PumpedOut) -> Input {
    match end {
        PumpedOut::SourceEnded => {
            channel.send_eof();
            Input::Ended
        }
        PumpedOut::ChannelClosed => Input::Open,
    }
}

/// Writes `bytes` while the application reads them. After the peer's CLOSE the application has a limited time.
pub(super) async fn write(channel: &Channel, app: &Stream, bytes: &[u8]) -> io::Result<()> {
    pump::write(channel, app, bytes, Patience::AfterClose).await
}

/// Waits for the peer's CLOSE. Data that still arrives is dropped and credited, so that the peer can continue.
async fn closed(channel: &Channel) -> End {
    loop {
        match channel.receive().await {
            Ok(Received::Data(bytes)) => channel.taken(bytes.len()),
            Ok(Received::Closed(close)) => return end_of(close),
            Ok(Received::Ended(ended)) => return broken_off(ended),
            Ok(Received::Eof) => {}
            Err(error) => return End::Reset(Some(error)),
        }
    }
}

fn broken_off(ended: Ended) -> End {
    End::Reset(Some(io::Error::other(ended)))
}

fn end_of(close: PeerClose) -> End {
    match close {
        PeerClose::Orderly => End::Orderly,
        PeerClose::Reset => End::Reset(None),
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::net::pair::Pair;

    /// More than a socket pair holds, less than a window.
    const LENGTH: usize = 1 << 20;

    /// A connection of an application with so small a buffer that most of its data waits at our end.
    async fn connected() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let address = listener.local_addr().unwrap();
        let (app, accepted) = tokio::join!(socket.connect(address), listener.accept());
        (accepted.unwrap().0.into(), app.unwrap())
    }

    /// Reads slowly, in small pieces; returns the number of bytes and the result of the last read.
    async fn read_slowly(app: &mut TcpStream) -> (usize, io::Result<()>) {
        let (mut came, mut piece) = (0, [0; 20_000]);
        loop {
            tokio::task::yield_now().await;
            match app.read(&mut piece).await {
                Ok(0) => return (came, Ok(())),
                Ok(n) => came += n,
                Err(error) => return (came, Err(error)),
            }
        }
    }

    async fn relay_of(meaning: PeerClose) -> (Pair, Channel, TcpStream, JoinHandle<End>) {
        let mut pair = Pair::new().await;
        pair.set_close_without_eof(meaning);
        let (theirs, ours) = pair.open().await;
        let (app, target) = connected().await;
        let counters = Arc::default();
        let relaying = tokio::spawn(async move { relay(ours, Arc::new(app), &counters).await });
        (pair, theirs, target, relaying)
    }

    /// No reactor has run since the socket connected.
    #[tokio::test]
    async fn data_that_waited_for_its_target_is_written_at_once() {
        let mut pair = Pair::new().await;
        let (theirs, ours) = pair.open().await;
        theirs.send(b"early").await.unwrap();
        pair.settle().await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let app = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        app.set_nonblocking(true).unwrap();
        let app = Arc::new(TcpStream::from_std(app).unwrap().into());
        let (mut target, _) = listener.accept().unwrap();
        target.set_nonblocking(true).unwrap();

        let counters = Arc::default();
        let mut relaying = pin!(relay(ours, app, &counters));
        let mut context = Context::from_waker(Waker::noop());
        assert!(relaying.as_mut().poll(&mut context).is_pending());
        let mut came = [0; 10];
        assert_eq!(io::Read::read(&mut target, &mut came).unwrap(), 5);
    }

    #[tokio::test]
    async fn close_without_eof_is_the_end_of_data_that_all_arrives() {
        for length in [1, 20, LENGTH] {
            let (pair, theirs, mut target, relaying) = relay_of(PeerClose::Orderly).await;
            // Unread input makes the kernel's close a reset.
            target.write_all(&[1; 1000]).await.unwrap();
            theirs.send(&vec![7; length]).await.unwrap();
            drop(theirs);
            pair.settle().await;
            target.write_all(&[1; 1000]).await.unwrap();

            let (came, end) = read_slowly(&mut target).await;
            assert_eq!((came, end.is_ok()), (length, true));
            assert!(matches!(relaying.await.unwrap(), End::Orderly));
        }
    }

    #[tokio::test]
    async fn reset_does_not_overtake_data() {
        for length in [1, 20, LENGTH] {
            let (pair, theirs, mut target, relaying) = relay_of(PeerClose::Reset).await;
            theirs.send(&vec![7; length]).await.unwrap();
            drop(theirs);
            pair.settle().await;

            let (came, end) = read_slowly(&mut target).await;
            assert_eq!(came, length);
            assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            assert!(matches!(relaying.await.unwrap(), End::Reset(None)));
        }
    }

    #[tokio::test]
    async fn end_of_the_connection_does_not_overtake_data() {
        let (pair, theirs, mut target, relaying) = relay_of(PeerClose::Reset).await;
        theirs.send(&vec![7; LENGTH]).await.unwrap();
        pair.settle().await;
        // The relay learns of the end in its sending half first.
        target.write_all(b"still there").await.unwrap();
        pair.client.end("gone");

        let (came, end) = read_slowly(&mut target).await;
        assert_eq!(came, LENGTH);
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(matches!(relaying.await.unwrap(), End::Reset(Some(_))));
    }

    /// Length of an answer of which most still waits at our end when the rest of the test happens.
    const ANSWER: usize = 300_000;

    #[tokio::test]
    async fn close_after_eof_does_not_overtake_data_although_the_application_still_sends() {
        let (pair, theirs, mut target, relaying) = relay_of(PeerClose::Orderly).await;
        theirs.send(&vec![7; ANSWER]).await.unwrap();
        theirs.send_eof();
        pair.settle().await;
        drop(theirs);
        pair.settle().await;
        target.write_all(&[1; 1000]).await.unwrap();

        let (came, end) = read_slowly(&mut target).await;
        assert_eq!((came, end.is_ok()), (ANSWER, true));
        drop(target);
        assert!(matches!(relaying.await.unwrap(), End::Orderly));
    }

    #[tokio::test]
    async fn end_of_the_connection_after_eof_does_not_overtake_data() {
        let (pair, theirs, mut target, _relaying) = relay_of(PeerClose::Reset).await;
        theirs.send(&vec![7; ANSWER]).await.unwrap();
        theirs.send_eof();
        pair.settle().await;
        pair.client.end("gone");

        let (came, end) = read_slowly(&mut target).await;
        assert_eq!((came, end.is_ok()), (ANSWER, true));
    }

    /// The clock is simulated, and advances when nothing else is left to do.
    #[tokio::test(start_paused = true)]
    async fn end_of_the_connection_after_eof_loses_no_data_of_a_slow_application() {
        let (pair, theirs, mut target, relaying) = relay_of(PeerClose::Reset).await;
        theirs.send(&vec![7; ANSWER]).await.unwrap();
        theirs.send_eof();
        pair.settle().await;
        pair.client.end("gone");
        assert!(matches!(relaying.await.unwrap(), End::Reset(Some(_))));

        let (came, end) = read_slowly(&mut target).await;
        assert_eq!((came, end.is_ok()), (ANSWER, true));
    }

    #[tokio::test]
    async fn upload_ends_in_a_reset_if_the_connection_ends() {
        for _ in 0..20 {
            let (pair, theirs, mut target, relaying) = relay_of(PeerClose::Reset).await;
            theirs.send_eof();
            pair.settle().await;
            // More than the window, so that both directions wait.
            while target.try_write(&[1; 1 << 16]).is_ok() {}
            pair.settle().await;
            pair.client.end("gone");
            tokio::time::pause();
            assert!(matches!(relaying.await.unwrap(), End::Reset(Some(_))));
            tokio::time::resume();
            let _ = target.shutdown().await;
        }
    }

    #[tokio::test]
    async fn ssh_connection_that_breaks_under_an_upload_does_not_overtake_data() {
        let (pair, theirs, mut target, relaying) = relay_of(PeerClose::Reset).await;
        theirs.send(&vec![7; ANSWER]).await.unwrap();
        pair.settle().await;
        // The relay learns of it first by its own write.
        pair.break_off();
        target.write_all(&vec![1; 1 << 16]).await.unwrap();

        let (came, end) = read_slowly(&mut target).await;
        assert_eq!(came, ANSWER);
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(matches!(relaying.await.unwrap(), End::Reset(Some(_))));
    }

    #[tokio::test]
    async fn close_does_not_overtake_data_of_a_slow_application() {
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
        // The target ends its own direction, so that the relay reads the channel, and only then begins to read.
        target.shutdown().await.unwrap();
        pair.settle().await;
        let mut came = Vec::new();
        target.read_to_end(&mut came).await.unwrap();

        assert_eq!(came.len(), LENGTH);
        assert!(matches!(relaying.await.unwrap(), End::Orderly));
    }

    /// The clock is simulated, and advances when nothing else is left to do.
    #[tokio::test(start_paused = true)]
    async fn application_that_does_not_read_is_closed_after_the_end_of_the_connection() {
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
    async fn data_of_an_application_that_no_longer_reads_arrives() {
        let mut pair = Pair::new().await;
        let (theirs, ours) = pair.open().await;
        let (app, mut target) = UnixStream::pair().unwrap();
        let counters = Arc::default();
        let relaying =
            tokio::spawn(async move { relay(ours, Arc::new(app.into()), &counters).await });
        // More than the window, so that the rest waits in the socket when the application leaves.
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
                Received::Ended(ended) => panic!("{ended}"),
            }
        }
        assert_eq!(heard, said);
        assert!(matches!(relaying.await.unwrap(), End::Orderly));
    }
}
