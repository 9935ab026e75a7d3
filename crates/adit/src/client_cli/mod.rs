//! adit: from the command line to forwards that are up, until the connection or a signal ends them.

mod announce;
mod args;
mod askpass;
mod forwards;
mod hints;
mod options;
mod session;
mod terminal;

use std::path::Path;
use std::process::ExitCode;

use adit_tunnel::client::{Client, ConnectError, Prompts};
use adit_tunnel::config::values::LogLevel;
use adit_tunnel::net::Ended;
use adit_tunnel::net::listener::describe;
use adit_tunnel::tunnel::Tunnel;
use log::{error, warn};

use crate::background::{self, StandardError};
use crate::command_line::{FAILURE, fail};
use crate::logger::{self, LogDestination, Style};
use crate::signals::{LoginProgress, Signals};
use crate::syslog::{self, Syslog};
use args::{Args, HELP};
use forwards::Forwards;
use options::Meaning;

/// Name in front of messages.
const PROGRAM: &str = "adit";

/// Runs adit; gives its exit code.
pub fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == "demo")
    {
        return crate::demo::main();
    }
    let args = match Args::parse(std::env::args_os().skip(1)) {
        Ok(args) => args,
        Err(message) => {
            let hint = "hint: adit --help shows what there is";
            return fail(PROGRAM, &format!("{message}\n{hint}"));
        }
    };
    if let Some(print) = args.print {
        return print.for_program(PROGRAM, HELP);
    }
    match run(&args) {
        Ok(code) => code,
        Err(_) if args.quiet => ExitCode::from(FAILURE),
        Err(message) => fail(PROGRAM, &message),
    }
}

fn run(args: &Args) -> Result<ExitCode, String> {
    // Before any file is read: whoever goes to the background is then the only one that reads what can be read but once,
    // and that runs what `Match exec` names.
    if options::asks_for_background(args) && !background::is_background() {
        return go_to_background();
    }
    let meaning = options::read(args)?;
    if meaning.background && !background::is_background() {
        // Only a file asks for it, and had to be read to know. It is read again, and `Match exec` runs again.
        if let Some(path) = &meaning.read_once {
            let path = path.display();
            return Err(format!(
                "{path} says ForkAfterAuthentication, but it can be read only once\nhint: use -f instead"
            ));
        }
        return go_to_background();
    }
    logger::install(
        meaning.level,
        log_destination(args, &meaning)?,
        Style::Client,
    )
    .map_err(|e| format!("cannot open the log file: {e}"))?;
    meaning.warnings.iter().for_each(|w| warn!("{w}"));
    // From here on there is a log, which `-E` may have put into a file: what ends the run belongs there, too.
    Ok(serve(meaning).unwrap_or_else(|message| {
        error!("{message}");
        ExitCode::from(FAILURE)
    }))
}

fn go_to_background() -> Result<ExitCode, String> {
    background::spawn_and_wait().map_err(|e| format!("cannot go to the background: {e}"))
}

/// `-E`, `-y`, or standard error.
fn log_destination<'a>(args: &'a Args, meaning: &Meaning) -> Result<LogDestination<'a>, String> {
    if let Some(file) = &args.log_file {
        return Ok(LogDestination::File(file));
    }
    if !args.syslog {
        return Ok(LogDestination::StandardError);
    }
    let socket = Path::new(syslog::SOCKET);
    let syslog = Syslog::connect(socket, PROGRAM, meaning.syslog_facility);
    syslog.map(LogDestination::Syslog).map_err(|e| {
        format!(
            "cannot log to the system: {}: {}\nhint: leave out -y, or use -E FILE",
            syslog::SOCKET,
            describe(&e)
        )
    })
}

fn serve(meaning: Meaning) -> Result<ExitCode, String> {
    // One thread: a tunnel's work is one stream of packets, and handing it between threads costs more than it gains.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    let outcome = runtime.block_on(async {
        let signals = Signals::new().map_err(|e| format!("cannot wait for signals: {e}"))?;
        let progress = LoginProgress::default();
        signals.or(&progress, tunnel(meaning, &progress)).await
    });
    // A thread that waits for an answer at a prompt cannot be stopped, and must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// Connects, starts the forwards, and serves until the end.
async fn tunnel(meaning: Meaning, progress: &LoginProgress) -> Result<ExitCode, String> {
    let mut route = meaning.hops.clone();
    route.push(meaning.target.clone());
    let host = meaning.target.host.clone();
    let (prompts, questions) = Prompts::channel();
    let answering = tokio::spawn(terminal::answer(questions));
    let connected = Client::connect(route, &prompts).await;
    answering.abort();
    let client = connected.map_err(|error| {
        let guess = match &error {
            ConnectError::Resolve { host, .. } if *host == meaning.typed => hints::unresolved(host),
            _ => None,
        };
        with_hint(error.to_string(), guess.as_deref().or(error.hint()))
    })?;
    progress.logged_in();
    log::debug!("Authenticated to {host}.");
    let mut forwards = Forwards::new(&meaning, &host);
    let (tunnel, mut news) = Tunnel::over(client.clone());
    if let Some(ended) = forwards.start(&tunnel, &mut news).await? {
        return outcome(ended, &host);
    }
    let running = session::Running::new(&meaning, &host, &client, &tunnel)?;
    if background::is_background() {
        let keep = match meaning.level >= LogLevel::Debug1 {
            true => StandardError::Keep,
            false => StandardError::Close,
        };
        background::detach(keep).map_err(|e| format!("cannot go to the background: {e}"))?;
    }
    tokio::select! {
        biased;
        outcome = running.outcome() => outcome,
        ended = forwards.serve(&mut news) => outcome(ended?, &host),
    }
}

/// Meaning of the connection's end to whoever started it.
fn outcome(ended: Ended, host: &str) -> Result<ExitCode, String> {
    match ended {
        Ended::ByUs => Ok(ExitCode::SUCCESS),
        Ended::ClosedByPeer => Err(format!("Connection to {host} closed by remote host.")),
        Ended::Protocol(adit_proto::error::Error::PeerSilent(_)) => {
            Err(format!("Timeout, server {host} not responding."))
        }
        ended => Err(format!("{host}: {ended}")),
    }
}

fn with_hint(message: String, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{message}\nhint: {hint}"),
        None => message,
    }
}
