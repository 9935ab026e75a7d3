//! Two streams of one channel: what they share, and what each has of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use tokio::net::UnixStream;

use super::super::outbound::SHORT_TURN;
use super::super::pair::Pair;
use super::*;

/// More than a socket pair holds, less than a window.
const LENGTH: usize = 1 << 20;

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Woken {
    fn poll(self: &Arc<Self>, stream: StreamEnd<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let waker = Waker::from(self.clone());
        stream.poll_send(&mut Context::from_waker(&waker), bytes)
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

async fn received(stream: StreamEnd<'_>, len: usize) {
    let mut came = 0;
    while came < len {
        match stream.receive().await.unwrap() {
            Received::Data(bytes) => {
                came += bytes.len();
                stream.taken(bytes.len());
            }
            other => panic!("{other:?} behind {came} bytes"),
        }
    }
    assert_eq!(came, len);
}

#[tokio::test]
async fn each_stream_keeps_its_own_bytes_in_order() {
    let mut pair = Pair::new().await;
    let (ours, theirs) = pair.open_session().await;
    for word in [b"one ", b"two "] {
        theirs.send(word).await.unwrap();
        theirs.stderr().send(b"no ").await.unwrap();
    }
    pair.settle().await;
    let came = ours.receive().await.unwrap();
    assert_eq!(came, Received::Data(b"one two ".to_vec()));
    let came = ours.stderr().receive().await.unwrap();
    assert_eq!(came, Received::Data(b"no no ".to_vec()));
    theirs.send_eof();
    assert_eq!(ours.stderr().receive().await.unwrap(), Received::Eof);
    assert_eq!(ours.receive().await.unwrap(), Received::Eof);
}

#[tokio::test]
async fn two_streams_of_one_channel_share_one_window() {
    let mut pair = Pair::new().await;
    let (ours, theirs) = pair.open_session().await;
    let window = 2 << 20;
    let filling = async {
        theirs.stderr().send(&vec![1; window - 1000]).await.unwrap();
        theirs.send(&[2; 2000]).await.unwrap();
    };
    let emptying = async {
        // The data waits for what stderr has of the window.
        let first = ours.receive().await.unwrap();
        assert_eq!(first, Received::Data(vec![2; 1000]));
        received(ours.stderr(), window - 1000).await;
        ours.taken(1000);
        received(ours.data(), 1000).await;
    };
    tokio::join!(filling, emptying);
}

/// Both wait in the line for the SSH socket: each is woken for its own turn.
#[tokio::test]
async fn two_senders_of_one_channel_keep_both_places() {
    let mut pair = Pair::new().await;
    let (_ours, theirs) = pair.open_session().await;
    let shared = theirs.shared();
    shared.flush().unwrap();
    let (data, stderr) = (Arc::<Woken>::default(), Arc::<Woken>::default());
    while shared.outbound().takes_data() {
        assert!(data.poll(theirs.data(), &[b'x'; SHORT_TURN]).is_ready());
    }
    for _ in 0..2 {
        assert!(data.poll(theirs.data(), b"x").is_pending());
        assert!(stderr.poll(theirs.stderr(), b"x").is_pending());
    }
    shared.flush().unwrap();
    assert_eq!((data.count(), stderr.count()), (1, 0), "the first in line");
    assert!(data.poll(theirs.data(), b"x").is_ready());
    assert_eq!((data.count(), stderr.count()), (1, 1), "then the other");
    assert!(stderr.poll(theirs.stderr(), b"x").is_ready());
}

/// Both wait for window, which wakes both.
#[tokio::test]
async fn window_wakes_both_senders() {
    let mut pair = Pair::new().await;
    let (ours, theirs) = pair.open_session().await;
    theirs.send(&vec![1; 2 << 20]).await.unwrap();
    let stderr = theirs.stderr();
    let sending = async { tokio::join!(theirs.send(b"a"), stderr.send(b"b")) };
    let taking = async {
        received(ours.data(), (2 << 20) + 1).await;
        received(ours.stderr(), 1).await;
    };
    let (sent, ()) = tokio::join!(sending, taking);
    assert!(sent.0.is_ok() && sent.1.is_ok());
}

/// Bytes that wait for a slow stderr stay in front of later ones, also once there is room; the data goes on.
#[tokio::test]
async fn stalled_stderr_does_not_overtake_itself_nor_hold_up_data() {
    let mut pair = Pair::new().await;
    let (ours, theirs) = pair.open_session().await;
    let (sink, reader) = UnixStream::pair().unwrap();
    let sink: Arc<Stream> = Arc::new(sink.into());
    ours.stderr().attach(sink.clone(), Arc::default());
    let long: Vec<u8> = (0..LENGTH).map(|n| (n / 1000) as u8).collect();
    theirs.stderr().send(&long).await.unwrap();
    theirs.send(b"data goes on").await.unwrap();
    let came = ours.receive().await.unwrap();
    assert_eq!(came, Received::Data(b"data goes on".to_vec()));

    let reading = async {
        let mut came = Vec::new();
        let reader = Stream::from(reader);
        while came.len() < LENGTH + 4 {
            came.extend(reader.read_some().await.unwrap());
        }
        came
    };
    let draining = async {
        theirs.stderr().send(b"last").await.unwrap();
        pair.settle().await;
        let mut left = 0;
        while let Received::Data(bytes) = ours.stderr().receive().await.unwrap() {
            left += bytes.len();
            sink.write_all(&bytes).await.unwrap();
            ours.taken(bytes.len());
            if bytes.ends_with(b"last") {
                break;
            }
        }
        assert!(left > LENGTH / 2, "{left} waited");
    };
    let (came, ()) = tokio::join!(reading, draining);
    assert!(came == [&long[..], b"last"].concat());
}

#[tokio::test]
async fn stderr_of_a_forward_is_dropped_and_credited() {
    let mut pair = Pair::new().await;
    let (ours, theirs) = pair.open().await;
    // A peer that sends it all the same.
    let id = theirs.id();
    let session = theirs.shared().state().io(id).map(|io| {
        io.session = Some(Box::default());
    });
    assert!(session.is_some());
    let more_than_a_window = vec![1; 5 << 20];
    theirs.stderr().send(&more_than_a_window).await.unwrap();
    theirs.send(b"data").await.unwrap();
    let came = ours.receive().await.unwrap();
    assert_eq!(came, Received::Data(b"data".to_vec()));
    assert!(ours.stderr().send(b"x").await.is_err(), "it has none");
    let none = ours.stderr().receive().await.unwrap();
    assert_eq!(none, Received::Closed(PeerClose::Orderly));
}

#[tokio::test]
async fn error_of_one_sink_is_told_to_its_reader_alone() {
    let mut pair = Pair::new().await;
    let (ours, theirs) = pair.open_session().await;
    let (sink, gone) = UnixStream::pair().unwrap();
    drop(gone);
    ours.stderr().attach(Arc::new(sink.into()), Arc::default());
    theirs.stderr().send(b"nobody hears this").await.unwrap();
    theirs.send(b"this is heard").await.unwrap();
    let broken = ours.stderr().receive().await.unwrap_err();
    assert_eq!(broken.kind(), io::ErrorKind::BrokenPipe);
    let came = ours.receive().await.unwrap();
    assert_eq!(came, Received::Data(b"this is heard".to_vec()));
}
