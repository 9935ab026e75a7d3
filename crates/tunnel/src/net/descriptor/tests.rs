//! Tests of pipes, terminals, files and sockets as sources and sinks.

use std::io::{Read, Seek, Write};

use nix::pty::{OpenptyResult, openpty};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::pipe;

use super::super::stream::Stream;
use super::*;

/// More than a pipe or a socket pair holds.
const LENGTH: usize = 2 << 20;

fn is_nonblocking(fd: impl AsFd) -> bool {
    let flags = fcntl(fd, FcntlArg::F_GETFL).unwrap();
    OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}

/// A pseudo-terminal that passes bytes on unchanged.
fn raw_terminal() -> OpenptyResult {
    let terminal = openpty(None, None).unwrap();
    let mut modes = tcgetattr(&terminal.slave).unwrap();
    cfmakeraw(&mut modes);
    tcsetattr(&terminal.slave, SetArg::TCSANOW, &modes).unwrap();
    terminal
}

/// Reads until the end.
async fn read_all(stream: &Stream) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        match stream.read_some().await.unwrap() {
            piece if piece.is_empty() => return all,
            piece => all.extend(piece),
        }
    }
}

/// Writes until nothing more fits, and returns the number of bytes.
fn fill(stream: &Stream) -> usize {
    let mut filled = 0;
    loop {
        match stream.try_write(&[7; 1000]) {
            Ok(n) => filled += n,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                return filled;
            }
        }
    }
}

fn read_exactly(from: &mut impl Read, len: usize) {
    let mut came = vec![0; len];
    from.read_exact(&mut came).unwrap();
    assert!(came.iter().all(|&byte| byte == 7));
}

/// A descriptor that cannot be opened again, as after `su`.
fn copied(fd: impl AsFd, access: Access) -> Stream {
    let file = File::from(fd.as_fd().try_clone_to_owned().unwrap());
    let descriptor = Descriptor::copied(file, access).unwrap();
    Stream::Descriptor(Box::new(descriptor))
}

#[tokio::test]
async fn shared_pipe_stays_blocking_for_others_only() {
    let (read, write) = pipe().unwrap();
    let source = Stream::source(read.as_fd()).unwrap();
    let sink = Stream::sink(write.as_fd()).unwrap();
    assert!(!is_nonblocking(&read) && !is_nonblocking(&write));
    let nothing = source.try_read(&mut [0; 8]).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);

    let filled = fill(&sink);
    let mut reader = File::from(read.try_clone().unwrap());
    let writing = sink.write_all(&[7; 5000]);
    let reading = tokio::task::spawn_blocking(move || read_exactly(&mut reader, filled + 5000));
    let (written, read_in) = tokio::join!(writing, reading);
    written.unwrap();
    read_in.unwrap();

    drop((sink, write));
    assert_eq!(
        read_all(&source).await,
        b"",
        "the end, once all have closed it"
    );
}

#[tokio::test]
async fn pipe_of_our_own_ends_when_its_stream_is_dropped() {
    let (read, write) = pipe().unwrap();
    let (source, sink) = (Stream::own(read).unwrap(), Stream::own(write).unwrap());
    let sending = async move { sink.write_all(&vec![7; LENGTH]).await.unwrap() };
    let (came, ()) = tokio::join!(read_all(&source), sending);
    assert_eq!(came.len(), LENGTH);
}

#[tokio::test]
async fn pipe_without_a_reader_is_broken() {
    for owned in [true, false] {
        let (read, write) = pipe().unwrap();
        let sink = match owned {
            true => Stream::own(write).unwrap(),
            false => Stream::sink(write.as_fd()).unwrap(),
        };
        fill(&sink);
        drop(read);
        sink.writable().await.unwrap();
        let broken = sink.try_write(b"x").unwrap_err();
        assert_eq!(broken.kind(), io::ErrorKind::BrokenPipe);
    }
}

#[tokio::test]
async fn lines_of_a_terminal_are_read_without_another_wake_up() {
    let OpenptyResult { master, slave } = openpty(None, None).unwrap();
    let source = Stream::source(slave.as_fd()).unwrap();
    assert!(!is_nonblocking(&slave));
    File::from(master.try_clone().unwrap())
        .write_all(b"one\ntwo\nthree\n\x04")
        .unwrap();
    for line in ["one\n", "two\n", "three\n", ""] {
        assert_eq!(source.read_some().await.unwrap(), line.as_bytes());
    }
}

#[tokio::test]
async fn full_terminal_blocks_its_writer() {
    let OpenptyResult { master, slave } = raw_terminal();
    let sink = Stream::sink(slave.as_fd()).unwrap();
    let filled = fill(&sink);
    assert!(!is_nonblocking(&slave));
    let shown = Stream::own(master).unwrap();
    let reading = async {
        let mut came = 0;
        while came < filled + 50_000 {
            came += shown.read_some().await.unwrap().len();
        }
    };
    let (written, ()) = tokio::join!(sink.write_all(&[7; 50_000]), reading);
    written.unwrap();
}

#[tokio::test]
async fn controlling_side_reads_the_end_when_the_terminal_is_closed() {
    let OpenptyResult { master, slave } = raw_terminal();
    let master = Stream::own(master).unwrap();
    File::from(slave).write_all(b"bye").unwrap();
    assert_eq!(read_all(&master).await, b"bye");
}

/// Opening it again would make another terminal.
#[tokio::test]
async fn controlling_side_that_is_shared_is_read_by_a_thread() {
    let OpenptyResult { master, slave } = raw_terminal();
    let source = Stream::source(master.as_fd()).unwrap();
    assert!(!is_nonblocking(&master));
    File::from(slave).write_all(b"hello").unwrap();
    assert_eq!(source.read_some().await.unwrap(), b"hello");
}

#[tokio::test]
async fn files_are_ready_and_share_their_offset_with_others() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"shell ").unwrap();
    let sink = Stream::sink(file.as_fd()).unwrap();
    sink.writable().await.unwrap();
    sink.write_all(b"adit ").await.unwrap();
    file.write_all(b"shell").unwrap();

    file.rewind().unwrap();
    let mut first = [0; 6];
    file.read_exact(&mut first).unwrap();
    let source = Stream::source(file.as_fd()).unwrap();
    let mut next = [0; 5];
    source.readable().await.unwrap();
    assert_eq!(source.try_read(&mut next).unwrap(), 5);
    assert_eq!(&next, b"adit ");
    let mut rest = String::new();
    file.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "shell");
    assert_eq!(read_all(&source).await, b"");
}

#[tokio::test]
async fn null_device_accepts_all_and_reads_nothing() {
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .unwrap();
    let sink = Stream::sink(null.as_fd()).unwrap();
    sink.write_all(&vec![7; LENGTH]).await.unwrap();
    let source = Stream::source(null.as_fd()).unwrap();
    assert_eq!(read_all(&source).await, b"");
}

#[tokio::test]
async fn shared_socket_stays_blocking_for_others_only() {
    let (here, there) = StdUnixStream::pair().unwrap();
    let (source, sink) = (
        Stream::source(here.as_fd()).unwrap(),
        Stream::sink(here.as_fd()).unwrap(),
    );
    assert!(!is_nonblocking(&here));
    let nothing = source.try_read(&mut [0; 8]).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    let filled = fill(&sink);
    let mut reader = there.try_clone().unwrap();
    let reading = tokio::task::spawn_blocking(move || read_exactly(&mut reader, filled + LENGTH));
    let all = vec![7; LENGTH];
    let (written, read_in) = tokio::join!(sink.write_all(&all), reading);
    written.unwrap();
    read_in.unwrap();

    (&there).write_all(b"answer").unwrap();
    assert_eq!(source.read_some().await.unwrap(), b"answer");
    sink.shutdown_write().unwrap();
    assert_eq!((&there).read(&mut [0; 8]).unwrap(), 0);
    drop(there);
    assert_eq!(read_all(&source).await, b"");
}

#[tokio::test]
async fn several_buffers_are_filled_and_emptied_in_order() {
    let (here, there) = StdUnixStream::pair().unwrap();
    let (source, sink) = (
        Stream::source(here.as_fd()).unwrap(),
        Stream::sink(there.as_fd()).unwrap(),
    );
    let pieces = [b"on".as_slice(), b"", b"e tw", b"o"].map(IoSlice::new);
    sink.writable().await.unwrap();
    assert_eq!(sink.try_write_vectored(&pieces).unwrap(), 7);
    let (mut first, mut second) = ([0; 4], [0; 4]);
    source.readable().await.unwrap();
    let mut places = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    assert_eq!(source.try_read_vectored(&mut places).unwrap(), 7);
    assert_eq!((&first, &second), (b"one ", b"two\0"));
}

#[tokio::test]
async fn thread_copies_a_descriptor_that_cannot_be_opened_again_and_reports_its_end() {
    let (read, write) = pipe().unwrap();
    let sink = copied(&write, Access::Write);
    drop(write);
    let mut reader = File::from(read);
    let reading = tokio::task::spawn_blocking(move || {
        let mut came = Vec::new();
        reader.read_to_end(&mut came).unwrap();
        came.len()
    });
    sink.write_all(&vec![7; LENGTH]).await.unwrap();
    sink.drained().await.unwrap();
    assert_eq!(reading.await.unwrap(), LENGTH);

    let (read, write) = pipe().unwrap();
    let source = copied(&read, Access::Read);
    let mut writer = File::from(write);
    let writing = tokio::task::spawn_blocking(move || writer.write_all(&vec![7; LENGTH]));
    assert_eq!(read_all(&source).await.len(), LENGTH);
    writing.await.unwrap().unwrap();
}

#[tokio::test]
async fn broken_output_of_a_thread_breaks_the_stream() {
    let (read, write) = pipe().unwrap();
    let sink = copied(&write, Access::Write);
    drop(read);
    let broken = sink.write_all(&vec![7; LENGTH]).await.unwrap_err();
    assert_eq!(broken.kind(), io::ErrorKind::BrokenPipe);
}
