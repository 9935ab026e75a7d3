//! aditd: from the command line and `sshd_config` to a server that runs until a signal ends it.

mod args;
mod host_keys;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use adit_tunnel::config::FileSource;
use adit_tunnel::config::sshd_config::ServerOptions;
use adit_tunnel::config::values::{LogLevel, SyslogFacility};
use adit_tunnel::server::{LocalAccount, Server, ServerSettings};
use adit_tunnel::session::remote::process::Starter;
use adit_tunnel::small_file::{self, SmallFile};
use log::{error, info, warn};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::background::{self, StandardError};
use crate::command_line::{self, FAILURE, fail};
use crate::limits;
use crate::logger::{self, LogDestination, LogFile, Style};
use crate::machine::Machine;
use crate::syslog::{self, Syslog};
use args::{Args, HELP};
use host_keys::{Absent, SYSTEM};

/// Name in front of messages.
const PROGRAM: &str = "aditd";
/// Said by a server that leaves the terminal and has nowhere else to write.
const NO_LOG: &str = "nothing will be logged, as this system has no syslog: use -E FILE, or -D with a service manager";
/// The longest pid file that may be ours, in bytes.
const MAX_PID: u64 = 64;
/// Port of an ordinary user's aditd without a configuration.
const USER_PORT: u16 = 2222;

/// Runs aditd; gives its exit code.
pub fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(message) => fail(PROGRAM, &message),
    }
}

fn run() -> Result<ExitCode, String> {
    let args = Args::parse(std::env::args_os().skip(1))
        .map_err(|e| format!("{e}\nhint: aditd --help shows what there is"))?;
    if let Some(print) = args.print {
        return Ok(print.for_program(PROGRAM, HELP));
    }
    let foreground = args.foreground || args.debug > 0 || args.test;
    if !foreground && !background::is_background() {
        return background::spawn_and_wait()
            .map_err(|e| format!("cannot go to the background: {e}"));
    }
    let account = LocalAccount::own()?;
    let configured = load(&args, &account)?;
    let facility = configured.settings.syslog_facility;
    let (destination, log) = log_destination(&args, facility);
    let log_file = logger::install(configured.level, destination, Style::Server)
        .map_err(|e| format!("cannot open the log file: {e}"))?;
    configured.report();
    if args.test {
        return Ok(ExitCode::SUCCESS);
    }
    let origin = SettingsOrigin {
        args: &args,
        account: &account,
        log,
        log_file,
        read_once: configured.read_once.clone(),
    };
    let level = configured.level;
    serve(&origin, configured).or_else(|message| match origin.log {
        // Who starts the server reads standard error, who looks for it later the log.
        Log::File => {
            error!("{message}");
            Err(message)
        }
        // These messages are on standard error, too.
        Log::Syslog(_) if level >= LogLevel::Error => {
            error!("{message}");
            Ok(ExitCode::from(FAILURE))
        }
        _ => Err(message),
    })
}

/// Destination of a server's messages once it has left the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    File,
    StandardError,
    Syslog(SyslogFacility),
    Nowhere,
}

/// `-E`, `-e` and `-D`, or as for sshd the system's log, where there is one.
fn log_destination(args: &Args, facility: SyslogFacility) -> (LogDestination<'_>, Log) {
    if let Some(file) = &args.log_file {
        return (LogDestination::File(file), Log::File);
    }
    if args.log_to_stderr || !background::is_background() {
        return (LogDestination::StandardError, Log::StandardError);
    }
    match Syslog::connect(Path::new(syslog::SOCKET), PROGRAM, facility) {
        Ok(syslog) => (LogDestination::Syslog(syslog), Log::Syslog(facility)),
        Err(_) => (LogDestination::StandardError, Log::Nowhere),
    }
}

/// The configuration, with what to say about it once there is a log.
struct Configured {
    settings: ServerSettings,
    level: LogLevel,
    bad_host_keys: Vec<String>,
    warnings: Vec<String>,
    /// A file of the configuration that has nothing more to say.
    read_once: Option<PathBuf>,
}

impl Configured {
    fn report(&self) {
        self.bad_host_keys.iter().for_each(|e| error!("{e}"));
        self.warnings.iter().for_each(|w| warn!("{w}"));
    }
}

fn load(args: &Args, account: &LocalAccount) -> Result<Configured, String> {
    let machine = Machine::read();
    let lookups = machine.lookups();
    let mut options = ServerOptions::default();
    let mut warnings = Vec::new();
    let ports = args.ports.iter().map(|port| format!("Port={port}"));
    for line in ports.chain(args.options.iter().cloned()) {
        warnings.extend(
            options
                .apply_line(&line, &lookups)
                .map_err(|e| e.to_string())?,
        );
    }
    let ports = std::mem::take(&mut options.ports);
    let source = FileSource::disk();
    if let Some(path) = &args.config {
        let loaded = options.load(path, &source, &lookups);
        warnings.extend(loaded.map_err(|e| e.to_string())?);
    }
    if !ports.is_empty() {
        // The command line's ports replace the file's.
        options.ports = ports;
    }
    if options.ports.is_empty() && options.listen_addresses.is_empty() && !account.is_root() {
        options.ports.push(USER_PORT);
    }
    options
        .host_keys
        .splice(0..0, args.host_keys.iter().cloned());
    let absent = match args.test {
        true => Absent::Leave,
        false => Absent::Make,
    };
    let host_keys = host_keys::load(&options.host_keys, Path::new(SYSTEM), account, absent)?;
    let level = match args.quiet {
        true => LogLevel::Quiet,
        false => command_line::level(options.connection.log_level, args.debug),
    };
    let (settings, more) =
        ServerSettings::new(options, host_keys.keys, account.clone()).map_err(|e| e.to_string())?;
    let mut warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    warnings.extend(more);
    Ok(Configured {
        settings,
        level,
        bad_host_keys: host_keys.refused,
        warnings,
        read_once: source.read_once(),
    })
}

/// Origin of a running server's settings, from which SIGHUP reads them again.
struct SettingsOrigin<'a> {
    args: &'a Args,
    account: &'a LocalAccount,
    log: Log,
    log_file: Option<LogFile>,
    /// A file of the configuration that cannot be read again.
    read_once: Option<PathBuf>,
}

fn serve(origin: &SettingsOrigin<'_>, configured: Configured) -> Result<ExitCode, String> {
    // This thread accepts; connections are served on others, which the server starts.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    runtime.block_on(async {
        // Before anybody can know of this server: a signal without its handler would end it.
        let signals = ServerSignals::new().map_err(|e| format!("cannot wait for signals: {e}"))?;
        let level = configured.level;
        let settings = Arc::new(configured.settings);
        let keys = settings.transport.host_keys.len();
        let server = Server::bind(settings.clone()).await.map_err(bind_message)?;
        let server = server.with_starter(Starter::own(limits::came_with()));
        for address in server.local_addrs() {
            info!(
                "Server listening on {} port {}.",
                address.ip(),
                address.port()
            );
        }
        info!(
            "admitting {} with the keys of its authorized_keys; {keys} host key(s)",
            origin.account.name
        );
        let _pid_file = settings.pid_file.clone().and_then(OwnPidFile::write);
        if background::is_background() {
            let keep = match origin.args.log_to_stderr {
                true => StandardError::Keep,
                false => StandardError::Close,
            };
            if level != LogLevel::Quiet {
                eprintln!("{}", farewell(&server.local_addrs(), origin));
            }
            background::detach(keep).map_err(|e| format!("cannot go to the background: {e}"))?;
        }
        Ok(run_until_signal(Arc::new(server), signals, origin, &settings).await)
    })
}

/// Last message on the terminal: what is served, where messages go, how to end it.
fn farewell(addresses: &[SocketAddr], origin: &SettingsOrigin<'_>) -> String {
    let place = |a: &SocketAddr| format!("{} port {}", a.ip(), a.port());
    let places: Vec<String> = addresses.iter().map(place).collect();
    let (user, pid) = (&origin.account.name, std::process::id());
    let log = match (origin.log, &origin.args.log_file) {
        (Log::File, Some(file)) => format!("messages go to {}", file.display()),
        (Log::Syslog(facility), _) => format!("messages go to syslog, facility {facility}"),
        (Log::StandardError, _) => "messages go to this terminal".into(),
        _ => NO_LOG.into(),
    };
    format!(
        "{PROGRAM}: serves tunnels for {user} on {}, in the background\n\
         {PROGRAM}: {log}\n{PROGRAM}: kill {pid} ends it",
        places.join(" and ")
    )
}

/// The signals that mean something to a server.
struct ServerSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl ServerSignals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

async fn run_until_signal(
    server: Arc<Server>,
    mut signals: ServerSignals,
    origin: &SettingsOrigin<'_>,
    bound: &ServerSettings,
) -> ExitCode {
    let running = tokio::spawn(server.clone().run());
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            _ = signals.hangup.recv() => reload(&server, origin, bound),
        }
    }
    running.abort();
    info!("Received a signal; terminating.");
    ExitCode::SUCCESS
}

/// SIGHUP: the files anew, the configuration's for connections that come from now on. A mistake in it leaves everything
/// as it was. `bound` is what the sockets were made by, which stay.
fn reload(server: &Server, origin: &SettingsOrigin<'_>, bound: &ServerSettings) {
    if let Some(Err(error)) = origin.log_file.as_ref().map(LogFile::reopen) {
        warn!(
            "Received SIGHUP; the log goes on in the old file, as the new one cannot be opened: {error}"
        );
    }
    let config = origin.args.config.as_ref();
    let spent = config.filter(|path| is_spent(path));
    if let Some(path) = origin.read_once.as_ref().or(spent) {
        // Read now it would be empty, and so every rule in it gone.
        warn!(
            "Received SIGHUP; the configuration stays as it was: {} can be read only once; give -f a file instead",
            path.display()
        );
        return;
    }
    match load(origin.args, origin.account) {
        Ok(configured) => {
            logger::set_level(configured.level);
            configured.report();
            let settings = Arc::new(configured.settings);
            if (&settings.listen_on, settings.family) != (&bound.listen_on, bound.family) {
                warn!(
                    "Port and ListenAddress need a restart, and AddressFamily with them; aditd listens where it did"
                );
            }
            server.reload(settings);
            info!("Received SIGHUP; configuration read anew.");
        }
        Err(message) => warn!("Received SIGHUP; the configuration stays as it was: {message}"),
    }
}

/// True for a descriptor that is no regular file, or none any more: standard input is `/dev/null` in the background.
fn is_spent(path: &Path) -> bool {
    let is_regular = || SmallFile::open(path).is_ok_and(|file| file.metadata().is_file());
    small_file::names_descriptor(path) && !is_regular()
}

fn bind_message(error: adit_tunnel::net::listener::BindError) -> String {
    let hint = match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "\nhint: low ports, most often those below 1024, need root; choose another with -p"
        }
        std::io::ErrorKind::AddrInUse => {
            "\nhint: another server has this port; choose another with -p"
        }
        _ => "",
    };
    format!("{error}{hint}")
}

/// `PidFile`: removed when the server ends.
struct OwnPidFile(PathBuf);

impl OwnPidFile {
    /// As for sshd, a server without the file is better than none.
    fn write(path: PathBuf) -> Option<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let opened = small_file::open_to_write(&mut options, &path);
        match opened.and_then(|mut file| file.write_all(own_pid().as_bytes())) {
            Ok(()) => Some(Self(path)),
            Err(error) => {
                error!("cannot write the pid file {}: {error}", path.display());
                None
            }
        }
    }
}

impl Drop for OwnPidFile {
    fn drop(&mut self) {
        // It may be gone, or be that of a server which was started since.
        if small_file::read_text(&self.0, MAX_PID).is_ok_and(|text| text == own_pid()) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

fn own_pid() -> String {
    format!("{}\n", std::process::id())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn descriptor_has_more_to_say_only_where_it_is_a_regular_file() {
        let regular = tempfile::tempfile().unwrap();
        let null = File::open("/dev/null").unwrap();
        let path = |file: &File| PathBuf::from(format!("/dev/fd/{}", file.as_raw_fd()));
        assert!(!is_spent(&path(&regular)));
        assert!(is_spent(&path(&null)));
        assert!(is_spent(Path::new("/dev/fd/999999")));
        assert!(!is_spent(Path::new("/nonexistent/sshd_config")));
    }

    #[test]
    fn pid_file_is_removed_unless_another_server_has_written_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        drop(OwnPidFile::write(path.clone()).unwrap());
        assert!(!path.exists());
        let own = OwnPidFile::write(path.clone()).unwrap();
        std::fs::write(&path, "1\n").unwrap();
        drop(own);
        assert!(path.exists());
    }
}
