//! Questions on the terminal: the only place that reads what a person types.
//!
//! The echo goes off, and what was typed before is thrown away, ahead of the prompt: whoever answers at once, a program
//! most of all, would see a secret otherwise. However a question ends, the terminal is then as it was.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adit_tunnel::client::{Echo, Question, Subject};
use adit_tunnel::net::listener::describe;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::Pid;
use tokio::net::unix::pipe;
use tokio::signal::unix::SignalKind;
use tokio::sync::mpsc::Receiver;
use zeroize::Zeroizing;

use super::askpass::{Askpass, Way};
use crate::signals::{coming, heeded};

/// The longest answer, in bytes; a terminal takes no longer line.
pub(super) const MAX_ANSWER: usize = 4096;
/// Exit code of a program that Ctrl-\ ends, as a shell shows it.
const QUIT: i32 = 128 + Signal::SIGQUIT as i32;

/// Puts each question to the user, on the terminal or through a program; without both nobody answers.
pub(super) async fn answer(mut questions: Receiver<Question>) {
    let askpass = Askpass::of_environment();
    let terminal = Terminal::default();
    while let Some(question) = questions.recv().await {
        let Question {
            text,
            echo,
            subject,
            answer,
        } = question;
        let device = open();
        let (given, asked) = match (askpass.way(device.is_ok()), device) {
            (Way::Program, _) => (askpass.ask(&text).await, askpass.name()),
            (Way::Terminal, Ok(device)) => {
                let given = terminal.ask(device, text, echo).await;
                (given, "the terminal".into())
            }
            (Way::Terminal, Err(error)) => (Err(error), "the terminal".into()),
        };
        match given {
            // Whoever asked may have given up.
            Ok(Some(given)) => drop(answer.send(given)),
            Ok(None) => {}
            // The refusal of the key comes first in what is wrong, and says how to do without a terminal.
            Err(error) if subject == Subject::HostKey => {
                log::debug!("cannot ask {asked}: {}", describe(&error));
            }
            Err(error) => log::warn!("cannot ask {asked}: {}", describe(&error)),
        }
    }
}

/// The text of an answer: up to the end of its first line.
pub(super) fn line(bytes: &[u8]) -> io::Result<String> {
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let line = &bytes[..end.unwrap_or(bytes.len())];
    match std::str::from_utf8(line) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(io::Error::new(
            ErrorKind::InvalidData,
            "the answer is not UTF-8 text",
        )),
    }
}

/// The terminal of this session, which neither reading nor writing waits for.
fn open() -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open("/dev/tty")
}

/// The question that stands on the terminal, if any.
type Current = Arc<Mutex<Option<Standing>>>;

/// The terminal, whose user is asked one question at a time.
#[derive(Default)]
struct Terminal {
    current: Current,
    /// Set once somebody listens for the signals that stop a program: from the first question on.
    watched: Mutex<bool>,
}

impl Terminal {
    /// Asks; none where the user ends the input instead (Ctrl-D).
    async fn ask(&self, device: File, text: String, echo: Echo) -> io::Result<Option<String>> {
        self.watch()?;
        let standing = Standing::new(device.try_clone()?, text, echo)?;
        // Not a pipe, but a file to be read from when there is something, which is all that counts here.
        let typed = pipe::Receiver::from_file_unchecked(device)?;
        standing.begin();
        *locked(&self.current) = Some(standing);
        let _over = Over(self.current.clone());
        read_line(&typed).await
    }

    fn watch(&self) -> io::Result<()> {
        let mut watched = locked(&self.watched);
        if !*watched {
            let (stop, quit) = (Signal::SIGTSTP as i32, SignalKind::quit());
            let (mut stop, mut quit) = (heeded(SignalKind::from_raw(stop))?, heeded(quit)?);
            let current = self.current.clone();
            // It outlives the questions: a signal that was listened for once never stops the program by itself again.
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        () = coming(&mut stop) => stop_with(&current),
                        () = coming(&mut quit) => {
                            drop(locked(&current).take());
                            std::process::exit(QUIT);
                        }
                    }
                }
            });
            *watched = true;
        }
        Ok(())
    }
}

/// Stops the program, the terminal as it was meanwhile; then the question is put again.
fn stop_with(current: &Current) {
    let current = locked(current);
    if let Some(standing) = &*current {
        standing.end();
    }
    // Here the program stands still until somebody lets it go on.
    let _ = kill(Pid::this(), Signal::SIGSTOP);
    if let Some(standing) = &*current {
        standing.begin();
    }
}

/// Takes the question from the terminal when dropped.
struct Over(Current);

impl Drop for Over {
    fn drop(&mut self) {
        drop(locked(&self.0).take());
    }
}

/// A question on the terminal. Dropped, the terminal is as it was before.
struct Standing {
    device: File,
    before: Termios,
    during: Termios,
    text: String,
    echo: Echo,
}

impl Standing {
    fn new(device: File, text: String, echo: Echo) -> io::Result<Self> {
        let before = tcgetattr(&device)?;
        let mut during = before.clone();
        if echo == Echo::Hidden {
            during.local_flags &= !(LocalFlags::ECHO | LocalFlags::ECHONL);
        }
        Ok(Self {
            device,
            before,
            during,
            text,
            echo,
        })
    }

    /// First the echo, and away with what was typed before; then the prompt.
    fn begin(&self) {
        // Of a terminal that has gone, reading says so.
        let _ = tcsetattr(&self.device, SetArg::TCSAFLUSH, &self.during);
        let _ = (&self.device).write_all(self.text.as_bytes());
    }

    fn end(&self) {
        let _ = tcsetattr(&self.device, SetArg::TCSANOW, &self.before);
        if self.echo == Echo::Hidden {
            // The line end that was typed did not show either.
            let _ = (&self.device).write_all(b"\n");
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.end();
    }
}

/// A line; none at the end of the input.
async fn read_line(typed: &pipe::Receiver) -> io::Result<Option<String>> {
    // Room for all of it at once, so that growing leaves no copies behind.
    let mut bytes = Zeroizing::new(vec![0; MAX_ANSWER]);
    let mut len = 0;
    while len < MAX_ANSWER && !bytes[..len].contains(&b'\n') {
        typed.readable().await?;
        match typed.try_read(&mut bytes[len..]) {
            Ok(0) if len == 0 => return Ok(None),
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    line(&bytes[..len]).map(Some)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
