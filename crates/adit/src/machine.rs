//! This machine, as far as a configuration may look things up on it.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::process::{Command, Stdio};

use adit_tunnel::config::Lookups;
use adit_tunnel::config::expand::service_port;
use adit_tunnel::small_file;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::unistd::User;

use crate::{background, limits};

/// The longest list of services that is read, in bytes.
const MAX_SERVICES: u64 = 16 << 20;

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
