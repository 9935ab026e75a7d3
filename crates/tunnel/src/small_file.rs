//! Small files that are read whole: keys, known hosts, configuration. Whatever stands in their place, opening it does
//! not wait for anybody, and reading it ends at a limit.
//!
//! A pipe that a name finds is refused: nobody may ever write to it. One that this program was given as a descriptor
//! (`/dev/fd/63` of `<(…)`, `/dev/stdin`) is read; that can wait, and is not to be done where signals are awaited.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::makedev;

/// Flags of every open: without waiting for a pipe's other end, and without making it this program's terminal.
const AT_ONCE: OFlag = OFlag::O_NONBLOCK.union(OFlag::O_NOCTTY);
/// Folders whose entries are the descriptors of this program.
const DESCRIPTORS: [&str; 3] = ["/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/"];

/// A file that is open for reading.
#[derive(Debug)]
pub struct SmallFile {
    file: File,
    metadata: Metadata,
}

impl SmallFile {
    /// Opens a regular file, a directory (which has nothing to read), `/dev/null` or a descriptor.
    ///
    /// # Errors
    /// It cannot be opened, or is a pipe, a socket or a device.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, metadata) = checked(OpenOptions::new().read(true), path)?;
        Ok(Self { file, metadata })
    }

    /// About the open file, not about what its path may lead to by now.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The open file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Reads all of it, at most `limit` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::FileTooLarge`] beyond the limit; or what the system says.
    pub fn read(self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_to(limit, &mut bytes).map(|()| bytes)
    }

    /// Appends all of it to a buffer, which makes room for a regular file at once: growing would leave copies behind.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_to(self, limit: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
        if self.metadata.len() > limit {
            return Err(too_large(limit));
        }
        bytes.reserve(self.metadata.len() as usize + 1);
        match self.file.take(limit + 1).read_to_end(bytes)? as u64 > limit {
            true => Err(too_large(limit)),
            false => Ok(()),
        }
    }
}

/// Reads the whole file at `path`, at most `limit` bytes.
///
/// # Errors
/// As [`SmallFile::open`] and [`SmallFile::read`].
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    SmallFile::open(path)?.read(limit)
}

/// Reads the whole file at `path` as text, at most `limit` bytes.
///
/// # Errors
/// As [`read`]; or it is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let bytes = read(path, limit)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not text"))
}

/// Opens a file as `options` say, for writing; as with [`SmallFile::open`], nothing that makes its opener wait.
///
/// # Errors
/// As [`SmallFile::open`].
pub fn open_to_write(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    checked(options, path).map(|(file, _)| file)
}

/// True where a path stands for a descriptor that this program was given.
pub fn names_descriptor(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    let is_standard = matches!(text, b"/dev/stdin" | b"/dev/stdout" | b"/dev/stderr");
    let mut folders = DESCRIPTORS.iter();
    is_standard || folders.any(|folder| text.starts_with(folder.as_bytes()))
}

/// Opens a log, which is appended to, and may be anything that takes lines: of a pipe, somebody must be reading already.
///
/// # Errors
/// It cannot be opened, or is a pipe that nobody reads.
pub fn open_log(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .create(true)
        .append(true)
        .custom_flags(AT_ONCE.bits());
    let file = options.open(path).map_err(|error| explained(error, path))?;
    // A line that a pipe has no room for waits, as it would on a terminal.
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file)
}

fn checked(options: &mut OpenOptions, path: &Path) -> io::Result<(File, Metadata)> {
    let file = match options.custom_flags(AT_ONCE.bits()).open(path) {
        Ok(file) => file,
        Err(error) => return Err(explained(error, path)),
    };
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    if kind.is_file() || kind.is_dir() || is_null(&metadata) {
        return Ok((file, metadata));
    }
    if !names_descriptor(path) {
        return Err(no_regular_file(&metadata));
    }
    // The description is our own, not that of whoever holds the other end.
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok((file, metadata))
}

/// Of a socket, and of a pipe without a reader, the system says only that there is no such device.
fn explained(error: io::Error, path: &Path) -> io::Error {
    match (error.raw_os_error(), path.metadata()) {
        (Some(nix::libc::ENXIO), Ok(about)) if about.file_type().is_fifo() => io::Error::new(
            ErrorKind::InvalidInput,
            "it is a named pipe that nobody reads",
        ),
        (Some(nix::libc::ENXIO), Ok(about)) => no_regular_file(&about),
        _ => error,
    }
}

fn no_regular_file(metadata: &Metadata) -> io::Error {
    let kind = metadata.file_type();
    let name = match () {
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    io::Error::new(
        ErrorKind::InvalidInput,
        format!("it is {name}, not a regular file"),
    )
}

fn is_null(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == makedev(1, 3)
}

fn too_large(limit: u64) -> io::Error {
    io::Error::new(
        ErrorKind::FileTooLarge,
        format!("it is longer than {limit} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixListener;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        mkfifo(&path("pipe"), Mode::S_IRWXU).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        fs::write(path("file"), "text").unwrap();
        let table = [
            (path("pipe"), "it is a named pipe, not a regular file"),
            (path("socket"), "it is a socket, not a regular file"),
            ("/dev/zero".into(), "it is a device, not a regular file"),
        ];
        for (path, said) in table {
            let error = read(&path, 9).unwrap_err();
            assert_eq!(error.to_string(), said, "{path:?}");
            let mut append = OpenOptions::new();
            let error = open_to_write(append.append(true), &path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path:?}");
        }
        assert_eq!(read(&path("file"), 9).unwrap(), b"text");
        assert_eq!(read(Path::new("/dev/null"), 9).unwrap(), b"");
        assert!(read(Path::new("/proc/self/status"), 1 << 20).unwrap().len() > 9);
        let missing = read(&path("missing"), 9).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn log_may_be_a_pipe_that_somebody_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let error = open_log(&path).unwrap_err().to_string();
        assert_eq!(error, "it is a named pipe that nobody reads");
        let mut reader = OpenOptions::new();
        let _reader = reader.read(true).write(true).open(&path).unwrap();
        open_log(&path).unwrap().write_all(b"line\n").unwrap();
    }

    #[test]
    fn reading_ends_at_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let huge = File::create(&path).unwrap();
        for (len, fits) in [(9, true), (10, false), (10 << 30, false)] {
            huge.set_len(len).unwrap();
            let read = read(&path, 9).map_err(|error| error.kind());
            assert_eq!(read.is_ok(), fits, "{len}");
            assert!(fits || read == Err(ErrorKind::FileTooLarge));
        }
    }

    #[test]
    fn pipe_that_was_given_as_a_descriptor_is_read_to_its_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        let reading = std::thread::spawn(move || read(Path::new(&path), 1 << 20));
        let text = vec![b'x'; 200_000];
        writer.write_all(&text).unwrap();
        drop(writer);
        assert_eq!(reading.join().unwrap().unwrap(), text);
        assert!(names_descriptor(Path::new("/dev/stdin")));
        assert!(!names_descriptor(Path::new("/dev/fdx")));
    }
}
