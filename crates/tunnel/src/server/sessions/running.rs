//! A session whose program runs: its streams, what the client asks meanwhile, and the end.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use adit_proto::message::session::{SessionRequest, SignalName};
use adit_proto::peer_text;
use log::{debug, error};
use rustix::termios::tcsendbreak;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::net::channel::Received;
use crate::net::listener::describe;
use crate::net::pump::{pump_into, pump_out};
use crate::net::{Channel, IncomingChannelRequest, Stream};
use crate::server::auth::Login;
use crate::server::hands::Started;
use crate::session::remote::policy::Decision;
use crate::session::remote::process::{Ends, Exit, Process, name_of_signal, signal_named};
use crate::session::remote::pty::Pty;
use crate::status::ForwardCounters;

/// Time between the end of a program and that of its output, which belong together. Beyond it the first is told alone: a
/// program that it left in the background may hold the other for as long as it likes.
const TOGETHER: Duration = Duration::from_millis(200);
/// Time that a program may take over what its client had sent before it left.
const AFTER_THE_END: Duration = Duration::from_secs(30);

/// A session whose program runs.
#[derive(Debug)]
pub(super) struct Running<'a> {
    channel: &'a Channel,
    login: &'a Login,
    process: Process,
    decision: Decision,
    /// The terminal, where it has one.
    pty: Option<Pty>,
    progress: Progress,
}

/// Ends so far, and the part of them that the client has been told.
#[derive(Debug, Default)]
struct Progress {
    exit: Option<Exit>,
    /// True once nothing more comes of the program's output, or nobody wants it.
    output_is_over: bool,
    /// The same of its errors.
    errors_are_over: bool,
    exit_is_told: bool,
    eof_is_sent: bool,
    patience: Patience,
}

/// Wait for what belongs together, so that it is told together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Patience {
    /// Nothing has ended.
    #[default]
    NotNeeded,
    /// Something has; the rest has time until then.
    Until(Instant),
    /// Each thing is told when it comes.
    Over,
}

impl Progress {
    fn is_said(&self) -> bool {
        self.output_is_over && self.errors_are_over
    }

    fn is_complete(&self) -> bool {
        self.exit.is_some() && self.is_said()
    }

    /// Begins to wait for the rest, once something has ended.
    fn note(&mut self) {
        let has_begun = self.exit.is_some() || self.is_said();
        if has_begun && self.patience == Patience::NotNeeded {
            self.patience = Patience::Until(Instant::now() + TOGETHER);
        }
    }
}

impl Patience {
    /// Waits for its end, if there is one to come.
    async fn over(self) {
        match self {
            Patience::Until(then) => sleep_until(then).await,
            Patience::NotNeeded | Patience::Over => std::future::pending().await,
        }
    }
}

/// Our ends of a program's streams.
struct Streams {
    /// Its input. Whoever drops the last of it ends it.
    input: Arc<Stream>,
    output: Arc<Stream>,
    /// Its errors, where they are apart.
    errors: Option<Stream>,
    pty: Option<Pty>,
}

impl Streams {
    fn new(ends: Ends) -> io::Result<Self> {
        Ok(match ends {
            Ends::Terminal(pty) => {
                let both = Arc::new(pty.stream()?);
                Self {
                    input: both.clone(),
                    output: both,
                    errors: None,
                    pty: Some(pty),
                }
            }
            Ends::Streams {
                input,
                output,
                errors,
            } => Self {
                input: Arc::new(Stream::own(input)?),
                output: Arc::new(UnixStream::from_std(output)?.into()),
                errors: Some(Stream::own(errors)?),
                pty: None,
            },
        })
    }
}

/// Serves a session with its program until both have ended, or the client has left.
pub(super) async fn serve(channel: &Channel, login: &Login, started: Started) {
    let streams = match Streams::new(started.ends) {
        Ok(streams) => streams,
        Err(error) => {
            error!(
                "{}: cannot carry a session: {}",
                login.who(),
                describe(&error)
            );
            return;
        }
    };
    let running = Running {
        channel,
        login,
        process: started.process,
        decision: started.decision,
        pty: streams.pty,
        progress: Progress::default(),
    };
    running
        .carry(streams.input, streams.output, streams.errors)
        .await;
}

impl Running<'_> {
    async fn carry(mut self, input: Arc<Stream>, output: Arc<Stream>, errors: Option<Stream>) {
        let counters = Arc::<ForwardCounters>::default();
        let channel = self.channel;
        let fate = match self.decision.drops_errors() {
            true => Fate::Dropped,
            false => Fate::Sent,
        };
        let mut receiving = pin!(feed(channel, input, &counters));
        let data = channel.data();
        let mut sending = pin!(pump_out(&data, &output, &counters));
        let mut complaints = pin!(complain(channel, errors.as_ref(), fate, &counters));
        // Beside `progress`: what nobody wants is not stopped in the middle of its turn.
        let (mut is_fed, mut output_ended) = (false, false);
        while !self.progress.is_complete() {
            let patience = self.progress.patience;
            tokio::select! {
                request = channel.next_request() => match request {
                    Some(request) => self.answer(request, &output),
                    None => {
                        if !is_fed && self.pty.is_none() {
                            abandon(&output, receiving).await;
                        }
                        return;
                    }
                },
                _ = &mut sending, if !output_ended => {
                    output_ended = true;
                    self.progress.output_is_over = true;
                }
                () = &mut complaints, if !self.progress.errors_are_over => {
                    self.progress.errors_are_over = true;
                }
                exit = self.process.wait(), if self.progress.exit.is_none() => {
                    self.progress.exit = Some(exit.unwrap_or(Exit::Status(255)));
                }
                () = &mut receiving, if !is_fed => is_fed = true,
                () = patience.over() => self.progress.patience = Patience::Over,
            }
            self.progress.note();
            if self.progress.patience == Patience::Over {
                self.tell();
            }
        }
        self.tell();
    }

    /// Tells the client what has ended: the exit before EOF, as far as both are known.
    fn tell(&mut self) {
        let progress = &mut self.progress;
        if let Some(exit) = progress.exit
            && !std::mem::replace(&mut progress.exit_is_told, true)
        {
            // A client that has left needs to know no more.
            let _ = self.channel.tell(&exit_request(exit));
        }
        if progress.is_said() && !std::mem::replace(&mut progress.eof_is_sent, true) {
            self.channel.send_eof();
        }
    }

    /// Answers what the client asks while the program runs. A reply that is dropped refuses: a second program, too.
    fn answer(&mut self, request: IncomingChannelRequest, output: &Stream) {
        let granted = match request.parse() {
            Ok(Some(SessionRequest::WindowChange(size))) => self
                .pty
                .as_ref()
                .is_some_and(|pty| pty.resize(size).is_ok()),
            Ok(Some(SessionRequest::Break { .. })) => self
                .pty
                .as_ref()
                .is_some_and(|pty| tcsendbreak(pty).is_ok()),
            Ok(Some(SessionRequest::Signal(name))) => self.signal(&name),
            Ok(Some(SessionRequest::EndOfWrite)) => {
                self.progress.output_is_over = true;
                // The program's next word fails, as at a pipe that nobody reads. A terminal has no such end.
                let _ = output.shutdown_read();
                true
            }
            _ => false,
        };
        if granted {
            request.reply.succeed();
        }
    }

    fn signal(&self, name: &SignalName) -> bool {
        let shown = peer_text::name(name.as_str());
        let who = self.login.who();
        if !self.decision.takes_signals() {
            debug!("{who}: refusing to send signal {shown} to a forced command or subsystem");
            return false;
        }
        let Some(signal) = signal_named(name) else {
            debug!("{who}: unsupported signal {shown}");
            return false;
        };
        debug!(
            "{who}: signal {shown} to process group {}",
            self.process.id()
        );
        self.process.signal(signal);
        true
    }
}

/// Gives the program what the client sends, then the end of it; once the program reads no more, what still comes goes
/// nowhere.
async fn feed(channel: &Channel, program: Arc<Stream>, counters: &Arc<ForwardCounters>) {
    if pump_into(&channel.data(), program, counters).await.is_ok() {
        return;
    }
    // A client need not read on what nobody takes.
    let _ = channel.tell(&SessionRequest::EndOfWrite);
    while let Ok(Received::Data(bytes)) = channel.receive().await {
        channel.taken(bytes.len());
    }
}

/// Fate of a program's errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// They are the channel's second stream.
    Sent,
    /// They go nowhere.
    Dropped,
}

/// Carries the program's errors.
async fn complain(
    channel: &Channel,
    errors: Option<&Stream>,
    fate: Fate,
    counters: &ForwardCounters,
) {
    let Some(errors) = errors else { return };
    match fate {
        Fate::Sent => {
            // An error here is the end of the stream like any other.
            let _ = pump_out(&channel.stderr(), errors, counters).await;
        }
        Fate::Dropped => while errors.read_some().await.is_ok_and(|read| !read.is_empty()) {},
    }
}

/// Lets go of a program whose client has left: it says nothing more, and reads what the client had sent.
async fn abandon(output: &Stream, receiving: impl Future<Output = ()>) {
    let _ = output.shutdown_read();
    // One that does not read either is on its own.
    let _ = timeout(AFTER_THE_END, receiving).await;
}

/// The request that tells of an exit.
fn exit_request(exit: Exit) -> SessionRequest {
    match exit {
        Exit::Status(status) => SessionRequest::ExitStatus(status),
        Exit::Signal {
            number,
            core_dumped,
        } => SessionRequest::ExitSignal {
            signal: name_of_signal(number),
            core_dumped,
            message: String::new(),
        },
    }
}
