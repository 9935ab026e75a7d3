//! Questions to the user: a queue that the program reads, or none.

use tokio::sync::{mpsc, oneshot};

/// Display of an answer while it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// The answer is shown.
    Visible,
    /// The answer is a secret.
    Hidden,
}

/// Subject of a question: it decides what is logged if the question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// An unknown host key. The refusal that follows has all details.
    HostKey,
    /// The login: a password, a passphrase, or a question of the server.
    Login,
}

/// A question, to be answered through `answer`. If that is dropped, there is no answer.
#[derive(Debug)]
pub struct Question {
    /// Text of the question.
    pub text: String,
    /// Display of the answer.
    pub echo: Echo,
    /// Subject of the question.
    pub subject: Subject,
    /// Sender for the answer.
    pub answer: oneshot::Sender<String>,
}

/// Sender for questions.
#[derive(Debug, Clone, Default)]
pub struct Prompts(Option<mpsc::Sender<Question>>);

impl Prompts {
    /// No questions are asked (`BatchMode`).
    pub fn none() -> Self {
        Self(None)
    }

    /// A sender, and the receiver of its questions.
    pub fn channel() -> (Self, mpsc::Receiver<Question>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(Some(sender)), receiver)
    }

    /// Asks a question of the login; none without an answer.
    pub(super) async fn ask(&self, text: String, echo: Echo) -> Option<String> {
        self.put(text, echo, Subject::Login).await
    }

    /// Asks about a host key; none without an answer.
    pub(super) async fn ask_about_host_key(&self, text: String) -> Option<String> {
        self.put(text, Echo::Visible, Subject::HostKey).await
    }

    async fn put(&self, text: String, echo: Echo, subject: Subject) -> Option<String> {
        let (answer, answered) = oneshot::channel();
        let question = Question {
            text,
            echo,
            subject,
            answer,
        };
        self.0.as_ref()?.send(question).await.ok()?;
        answered.await.ok()
    }
}
