//! Questions on the terminal: the only place that reads what a person types.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};

use adit_tunnel::client::{Echo, Question};
use adit_tunnel::net::listener::describe;
use tokio::sync::mpsc::Receiver;

/// The longest answer that is read.
const MAX_ANSWER: u64 = 4096;

/// Puts each question to the user of the terminal; without a terminal nobody answers.
pub(super) async fn answer(mut questions: Receiver<Question>) {
    while let Some(question) = questions.recv().await {
        let Question { text, echo, answer } = question;
        let typed = tokio::task::spawn_blocking(move || ask(&text, echo)).await;
        match typed {
            // Whoever asked may have given up.
            Ok(Ok(typed)) => drop(answer.send(typed)),
            Ok(Err(error)) => log::warn!("cannot ask on the terminal: {}", describe(&error)),
            Err(_) => {}
        }
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
