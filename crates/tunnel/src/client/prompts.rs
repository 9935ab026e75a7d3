//! Questions to the user: a queue that the program answers, or nobody.

use tokio::sync::{mpsc, oneshot};

/// Visibility of an answer while it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// It may.
    Visible,
    /// It is a secret.
    Hidden,
}

/// The matter of a question: who is told that nobody could be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A host key that is not known. The refusal that follows says all of it.
    HostKey,
    /// The login: a password, a passphrase, whatever the server wants to know.
    Login,
}

/// One question, to be answered through `answer`; dropping it means that nobody answers.
#[derive(Debug)]
pub struct Question {
    /// Text to show.
    pub text: String,
    /// Visibility of the answer.
    pub echo: Echo,
    /// The matter of it.
    pub subject: Subject,
    /// Way of the answer.
    pub answer: oneshot::Sender<String>,
}

/// Way that questions take.
#[derive(Debug, Clone, Default)]
pub struct Prompts(Option<mpsc::Sender<Question>>);

impl Prompts {
    /// Nobody answers (`BatchMode`).
    pub fn none() -> Self {
        Self(None)
    }

    /// Questions come out of the receiver.
    pub fn channel() -> (Self, mpsc::Receiver<Question>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(Some(sender)), receiver)
    }

    /// Asks for something that the login needs; none where nobody answers.
    pub(super) async fn ask(&self, text: String, echo: Echo) -> Option<String> {
        self.put(text, echo, Subject::Login).await
    }

    /// Asks about a host key; none where nobody answers.
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
