//! adit: from the command line to forwards that are up, until the connection or a signal ends them.

mod args;
mod options;
mod signals;
mod terminal;

use std::process::ExitCode;

use adit_tunnel::client::{Client, ForwardError, Prompts, Started};
use adit_tunnel::config::spec::Forward;
use adit_tunnel::config::values::LogLevel;
use adit_tunnel::net::Ended;
use log::{error, info, warn};

use crate::background::{self, StandardError};
use crate::command_line::{FAILURE, fail};
use crate::logger::{self, Style};
use args::{Args, HELP};
use options::Meaning;
use signals::Signals;

/// How messages begin.
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
    let meaning = options::read(args)?;
    let goes_to_background =
        args.background || meaning.options.fork_after_authentication == Some(true);
    if goes_to_background && !background::is_background() {
        return background::spawn_and_wait()
            .map_err(|e| format!("cannot go to the background: {e}"));
    }
    logger::install(meaning.level, args.log_file.as_deref(), Style::Client)
        .map_err(|e| format!("cannot open the log file: {e}"))?;
    meaning.warnings.iter().for_each(|w| warn!("{w}"));
    // From here on there is a log, which `-E` may have put into a file: what ends the run belongs there, too.
    Ok(serve(meaning).unwrap_or_else(|message| {
        error!("{message}");
        ExitCode::from(FAILURE)
    }))
}

fn serve(meaning: Meaning) -> Result<ExitCode, String> {
    // One thread: a tunnel's work is one stream of packets, and handing it between threads costs more than it gains.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    let outcome = runtime.block_on(async {
        let signals = Signals::new().map_err(|e| format!("cannot wait for signals: {e}"))?;
        signals.or(tunnel(meaning)).await
    });
    // A thread that waits for an answer at a prompt cannot be stopped, and must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// Connects, starts the forwards, and serves until the end.
async fn tunnel(meaning: Meaning) -> Result<ExitCode, String> {
    let host = meaning
        .route
        .last()
        .map(|s| s.host.clone())
        .unwrap_or_default();
    let (prompts, questions) = Prompts::channel();
    let answering = tokio::spawn(terminal::answer(questions));
    let connected = Client::connect(meaning.route, &prompts).await;
    answering.abort();
    let mut client = connected.map_err(|error| with_hint(error.to_string(), error.hint()))?;
    log::debug!("Authenticated to {host}.");
    let exit_on_failure = meaning.options.exit_on_forward_failure == Some(true);
    for forward in meaning.options.effective_forwards() {
        match client.forward(forward).await {
            Ok(started) => announce(forward, &started),
            Err(error) if exit_on_failure => return Err(forward_message(&error, "Error")),
            Err(error) => error!("{}", forward_message(&error, "Warning")),
        }
    }
    if background::is_background() {
        let keep = match meaning.level >= LogLevel::Debug1 {
            true => StandardError::Keep,
            false => StandardError::Close,
        };
        background::detach(keep).map_err(|e| format!("cannot go to the background: {e}"))?;
    }
    match client.run().await {
        Ended::ByUs => Ok(ExitCode::SUCCESS),
        Ended::ClosedByPeer => Err(format!("Connection to {host} closed by remote host.")),
        Ended::Protocol(adit_proto::error::Error::PeerSilent(_)) => {
            Err(format!("Timeout, server {host} not responding."))
        }
        ended => Err(format!("{host}: {ended}")),
    }
}

/// A forward is up: the port that the server chose is news, the rest is for those who debug.
fn announce(forward: &Forward, started: &Started) {
    match (started.allocated_port, forward) {
        (Some(port), Forward::Remote { target, .. }) => {
            info!("Allocated port {port} for remote forward to {target}");
        }
        (Some(port), _) => info!("Allocated port {port} for dynamic forward"),
        (None, _) => log::debug!("{}: up", started.label),
    }
}

fn forward_message(error: &ForwardError, severity: &str) -> String {
    let mut message = match error {
        ForwardError::Refused { .. } | ForwardError::NotTrusted => format!("{severity}: {error}"),
        error => error.to_string(),
    };
    if severity == "Error" && matches!(error, ForwardError::Bind { .. }) {
        message.push_str("\nCould not request local forwarding.");
    }
    with_hint(message, error.hint())
}

fn with_hint(message: String, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{message}\nhint: {hint}"),
        None => message,
    }
}
