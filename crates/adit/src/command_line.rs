//! Common parts of both command lines: reading values, printing, failing, and what the configuration may look up on
//! this machine.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use adit_tunnel::config::Lookups;
use adit_tunnel::config::expand::service_port;
use adit_tunnel::config::values::LogLevel;
use adit_tunnel::small_file;
use lexopt::ValueExt as _;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::unistd::User;

use crate::{background, limits};

/// Exit code of every failure, as OpenSSH has it.
pub(crate) const FAILURE: u8 = 255;

/// The longest list of services that is read, in bytes.
const MAX_SERVICES: u64 = 16 << 20;

/// Text to print instead of doing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Print {
    /// `--help`.
    Help,
    /// `-V`.
    Version,
}

impl Print {
    /// Prints it for `program`: help is a result, and the version goes where ssh puts its own.
    pub(crate) fn for_program(self, program: &str, help: &str) -> ExitCode {
        match self {
            Print::Help => print!("{help}"),
            Print::Version => eprintln!("{program} {}", env!("CARGO_PKG_VERSION")),
        }
        ExitCode::SUCCESS
    }
}

/// Reports what ended `program`; the exit code.
pub(crate) fn fail(program: &str, message: &str) -> ExitCode {
    eprintln!("{program}: {message}");
    ExitCode::from(FAILURE)
}

/// The value of an option, which must be text.
pub(crate) fn text(parser: &mut lexopt::Parser) -> Result<String, String> {
    let value = parser.value().and_then(|value| value.string());
    value.map_err(sentence)
}

/// The value of an option that names a file.
pub(crate) fn path(parser: &mut lexopt::Parser) -> Result<PathBuf, String> {
    parser.value().map(PathBuf::from).map_err(sentence)
}

/// Sentence for the user about wrong arguments.
pub(crate) fn sentence(error: lexopt::Error) -> String {
    error.to_string()
}

/// The level that `LogLevel` and a flag given `times` times make together.
pub(crate) fn level(configured: Option<LogLevel>, times: u8) -> LogLevel {
    match times {
        0 => configured.unwrap_or(LogLevel::Info),
        1 => LogLevel::Debug1,
        _ => LogLevel::Debug3,
    }
}

/// Finds the port of a service by its name.
type PortOfService = dyn Fn(&str) -> Option<u16>;

/// Look-ups that the configuration may make on this machine: variables, services, other users' homes.
pub(crate) struct Machine {
    service: Box<PortOfService>,
}

impl Machine {
    /// This machine, its services read now.
    pub(crate) fn read() -> Self {
        let services = small_file::read(Path::new("/etc/services"), MAX_SERVICES);
        let services = String::from_utf8_lossy(&services.unwrap_or_default()).into_owned();
        Self {
            service: Box::new(move |name| service_port(&services, name)),
        }
    }

    /// The lookups for the parsers.
    pub(crate) fn lookups(&self) -> Lookups<'_> {
        Lookups {
            variable: &|name| std::env::var(name).ok(),
            service: &*self.service,
            home_of: &|name| User::from_name(name).ok().flatten().map(|u| u.dir),
            exec: &succeeds_in_shell,
            resolves: &resolves,
            local_addresses: &local_addresses,
        }
    }
}

/// Runs a command of `Match exec`, as ssh does: in the user's shell, without input, its errors shown. It may take its
/// time; the signals that end this program have their usual effect meanwhile.
fn succeeds_in_shell(command: &str) -> Result<bool, String> {
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    let mut program = Command::new(&shell);
    program.arg("-c").arg(command);
    program.stdin(Stdio::null()).stdout(Stdio::null());
    background::unmark(&mut program);
    let status = limits::as_it_came(|| program.spawn())
        .and_then(|mut child| child.wait())
        .map_err(|e| format!("cannot run {}: {e}", shell.display()))?;
    match status.code() {
        Some(code) => Ok(code == 0),
        None => Err(format!("the command did not end by itself: {status}")),
    }
}

fn resolves(host: &str) -> bool {
    let found = (host, 0).to_socket_addrs();
    found.is_ok_and(|mut addresses| addresses.next().is_some())
}

/// The addresses of the interfaces that are up; none where the system does not tell.
fn local_addresses() -> Vec<IpAddr> {
    let interfaces = getifaddrs().into_iter().flatten();
    let up = interfaces.filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP));
    up.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    })
    .collect()
}
