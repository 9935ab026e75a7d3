//! Pumps between a session and real pipes and terminals: back-pressure, ends, and nothing lost.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};

use nix::pty::openpty;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::pipe;
use tokio::task::spawn_blocking;

use super::super::pair::Pair;
use super::*;

/// More than a window.
const LENGTH: usize = 5 << 20;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n / 777) as u8).collect()
}

/// Sends from a thread of its own whatever blocks.
fn write_from_a_thread(fd: OwnedFd, bytes: Vec<u8>) {
    spawn_blocking(move || std::io::Write::write_all(&mut File::from(fd), &bytes).unwrap());
}

async fn read_in_a_thread(fd: OwnedFd) -> Vec<u8> {
    let reading = spawn_blocking(move || {
        let mut all = Vec::new();
        let mut file = File::from(fd);
        let mut piece = [0; 3000];
        // The end of a terminal is an error.
        while let Ok(n @ 1..) = file.read(&mut piece) {
            all.extend_from_slice(&piece[..n]);
        }
        all
    });
    reading.await.unwrap()
}

#[tokio::test]
async fn pipes_carry_a_command_there_and_back() {
    let mut pair = Pair::new().await;
    let (ours, theirs) = pair.open_session().await;
    let [input, output, errors] = [(); 3].map(|()| pipe().unwrap());
    let (said, complained) = (pattern(LENGTH), pattern(LENGTH / 2));
    write_from_a_thread(input.1, said.clone());
    let counters = Arc::<ForwardCounters>::default();

    // The server's side of a command that says all back, and complains meanwhile.
    let server = async {
        let echo = async {
            loop {
                match theirs.receive().await.unwrap() {
                    Received::Data(bytes) => {
                        theirs.send(&bytes).await.unwrap();
                        theirs.taken(bytes.len());
                    }
                    Received::Eof => return,
                    other => panic!("{other:?}"),
                }
            }
        };
        let stderr = theirs.stderr();
        tokio::join!(echo, async { stderr.send(&complained).await.unwrap() });
        theirs.send_eof();
    };
    let source = Stream::source(input.0.as_fd()).unwrap();
    let (data, stderr) = (ours.data(), ours.stderr());
    let client = async {
        let up = async {
            let end = pump_out(&data, &source, &counters).await.unwrap();
            assert_eq!(end, PumpedOut::SourceEnded);
            ours.send_eof();
        };
        let sink = |fd: OwnedFd| Arc::new(Stream::own(fd).unwrap());
        let down = pump_into(&data, sink(output.1), &counters);
        let down_too = pump_into(&stderr, sink(errors.1), &counters);
        tokio::join!(up, down, down_too)
    };
    let (_, ((), down, down_too), came, came_too) = tokio::join!(
        server,
        client,
        read_in_a_thread(output.0),
        read_in_a_thread(errors.0)
    );
    assert_eq!(
        (down.unwrap(), down_too.unwrap()),
        (PumpedIn::Eof, PumpedIn::Eof)
    );
    assert!(came == said && came_too == complained);
    let received = counters.received.value();
    assert_eq!(received, (said.len() + complained.len()) as u64);
}

#[tokio::test]
async fn terminal_that_shows_nothing_holds_the_peer_within_its_window() {
    let mut pair = Pair::new().await;
    let (ours, theirs) = pair.open_session().await;
    let terminal = openpty(None, None).unwrap();
    let mut modes = tcgetattr(&terminal.slave).unwrap();
    cfmakeraw(&mut modes);
    tcsetattr(&terminal.slave, SetArg::TCSANOW, &modes).unwrap();
    let sink = Arc::new(Stream::sink(terminal.slave.as_fd()).unwrap());
    drop(terminal.slave);
    let counters = Arc::<ForwardCounters>::default();
    let data = ours.data();
    let mut showing = pin!(pump_into(&data, sink, &counters));

    let said = pattern(LENGTH);
    let mut sending = pin!(theirs.send(&said));
    for _ in 0..20 {
        tokio::select! {
            _ = &mut sending => panic!("more than a window"),
            _ = &mut showing => panic!("nobody looks"),
            () = pair.settle() => {}
        }
    }
    let shown_before = counters.received.value();
    assert!(shown_before < 200_000, "{shown_before}");
    let ending = async {
        sending.await.unwrap();
        theirs.send_eof();
    };
    let (shown, (), came) = tokio::join!(showing, ending, read_in_a_thread(terminal.master));
    assert_eq!(shown.unwrap(), PumpedIn::Eof);
    assert!(came == said);
}

#[tokio::test]
async fn what_a_closed_channel_left_behind_is_shown_to_a_slow_reader() {
    let mut pair = Pair::new().await;
    let (ours, theirs) = pair.open_session().await;
    let (read, write) = pipe().unwrap();
    let sink = Arc::new(Stream::own(write).unwrap());
    let counters = Arc::<ForwardCounters>::default();
    let said = pattern(1 << 20);
    theirs.send(&said).await.unwrap();
    drop(theirs);
    let data = ours.data();
    let mut showing = pin!(pump_into(&data, sink, &counters));
    tokio::select! {
        _ = &mut showing => panic!("nobody reads"),
        () = pair.settle() => {}
    }
    let (shown, came) = tokio::join!(showing, read_in_a_thread(read));
    assert!(matches!(shown.unwrap(), PumpedIn::Closed(_)));
    assert!(came == said);
}

#[tokio::test]
async fn reader_that_goes_is_told_and_the_rest_can_be_taken() {
    let mut pair = Pair::new().await;
    let (ours, theirs) = pair.open_session().await;
    let (read, write) = pipe().unwrap();
    drop(read);
    let sink = Arc::new(Stream::own(write).unwrap());
    let data = ours.data();
    let counters = Arc::<ForwardCounters>::default();
    theirs.send(b"first").await.unwrap();
    let broken = pump_into(&data, sink, &counters).await.unwrap_err();
    assert_eq!(broken.kind(), io::ErrorKind::BrokenPipe);
    let more_than_a_window = vec![7; LENGTH];
    let sending = async {
        theirs.send(&more_than_a_window).await.unwrap();
        theirs.send_eof();
    };
    let taking = async {
        while let Received::Data(bytes) = ours.receive().await.unwrap() {
            ours.taken(bytes.len());
        }
    };
    tokio::join!(sending, taking);
}
