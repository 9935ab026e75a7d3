//! Questions on the terminal: the only place that reads what a person types.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};

use adit_tunnel::client::{Echo, Question, Subject};
use adit_tunnel::net::listener::describe;
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc::Receiver;

/// The longest answer that is read.
const MAX_ANSWER: u64 = 4096;

/// Puts each question to the user of the terminal; without a terminal nobody answers.
pub(super) async fn answer(mut questions: Receiver<Question>) {
    while let Some(question) = questions.recv().await {
        let Question {
            text,
            echo,
            subject,
            answer,
        } = question;
        let _restored = Terminal::saved();
        let typed = tokio::task::spawn_blocking(move || ask(&text, echo)).await;
        match typed {
            // Whoever asked may have given up.
            Ok(Ok(typed)) => drop(answer.send(typed)),
            // Ctrl-C, which comes as a signal, too.
            Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
            // The refusal of the key comes first in what is wrong, and says how to do without a terminal.
            Ok(Err(error)) if subject == Subject::HostKey => {
                log::debug!("cannot ask on the terminal: {}", describe(&error));
            }
            Ok(Err(error)) => log::warn!("cannot ask on the terminal: {}", describe(&error)),
            Err(_) => {}
        }
    }
}

/// The terminal as it was before a question. Dropped, it is so again: a signal may end the program while the thread
/// that reads a secret has turned the echo off.
struct Terminal {
    file: File,
    settings: Termios,
}

impl Terminal {
    fn saved() -> Option<Self> {
        let file = File::open("/dev/tty").ok()?;
        let settings = tcgetattr(&file).ok()?;
        Some(Self { file, settings })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that has gone needs no echo.
        let _ = tcsetattr(&self.file, SetArg::TCSANOW, &self.settings);
    }
}

fn ask(text: &str, echo: Echo) -> std::io::Result<String> {
    match echo {
        Echo::Hidden => rpassword::prompt_password(text),
        Echo::Visible => {
            let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
            terminal.write_all(text.as_bytes())?;
            let mut line = String::new();
            BufReader::new(terminal.take(MAX_ANSWER)).read_line(&mut line)?;
            Ok(line.trim_end_matches(['\r', '\n']).to_owned())
        }
    }
}
