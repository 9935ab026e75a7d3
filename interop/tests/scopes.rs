//! IPv6 addresses with a scope, wherever one may be written: listeners, targets and the connection itself.
//!
//! The test runs once more in a network namespace of its own, where the loopback interface is given a link-local
//! address.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use adit_interop::forward::{Address, Forward};
use adit_interop::matrix::Pairing;
use adit_interop::missing::{Missing, program};
use adit_interop::need;
use adit_interop::peer::{Adit, ClientAsk, ServerAsk};
use adit_interop::ports::free_port;
use adit_interop::process;
use adit_interop::traffic::{Target, Visitor};
use std::env;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::process::Command;

/// Set for the second run.
const INSIDE: &str = "ADIT_IN_NAMESPACE";

const NAME: &str = "addresses_with_a_scope_work_at_every_end";

/// With the interface's name; the system turns it into a number.
const HOST: &str = "fe80::9%lo";

#[test]
fn addresses_with_a_scope_work_at_every_end() {
    if env::var_os(INSIDE).is_some() {
        inside();
        return;
    }
    let script = "ip link set lo up && ip address add fe80::9/64 dev lo nodad && exec \"$@\"";
    let mut command = need!(unshare());
    command
        .args(["-n", "--", "sh", "-c", script, "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(INSIDE, "1")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    let (status, output, errors) = process::outcome("unshare", command, &env::temp_dir());
    assert!(status.success(), "{output}\n{errors}");
    assert!(output.contains("1 passed"), "{output}\n{errors}");
}

/// `unshare`, with a user namespace around for those who are not root.
fn unshare() -> Result<Command, Missing> {
    let unshare = program("unshare", "apt-get install util-linux")?;
    program("ip", "apt-get install iproute2")?;
    let is_root = adit_interop::scratch::user() == "root";
    let user: &[&str] = if is_root { &[] } else { &["-r"] };
    let mut probe = Command::new(&unshare);
    probe.args(user).args(["-n", "true"]);
    if !probe.status().is_ok_and(|status| status.success()) {
        return Err(Missing {
            what: "a network namespace",
            remedy: "run as root",
        });
    }
    let mut command = Command::new(unshare);
    command.args(user);
    Ok(command)
}

fn inside() {
    let pairing = Pairing::new(&Adit, &Adit).unwrap();
    let scratch = pairing.scratch();
    let server = pairing.serve(&ServerAsk::config(&[
        &format!("ListenAddress {HOST}"),
        "GatewayPorts clientspecified",
        "PermitOpen [fe80::9%lo]:* [fe80::9%1]:*",
    ]));
    let scoped = |port: u16| Address::Tcp((HOST, port).to_socket_addrs().unwrap().next().unwrap());
    let target = Target::tcp_on((HOST, 0));
    let (local, remote, socks) = (free_port(), free_port(), free_port());
    // By number: so the standard library prints an address.
    let by_number = [
        Forward::local(scoped(local), target.address().clone()),
        Forward::remote(scoped(remote), target.address().clone()),
    ];
    // By name, and over a connection that itself has scoped addresses at both ends.
    let (local_by_name, remote_by_name) = (free_port(), free_port());
    let to = format!("{HOST}:{}", target.port()).replace(HOST, &format!("[{HOST}]"));
    let known: PathBuf = scratch.known_hosts_with(&format!("[{HOST}]:{}", server.port));
    let ask = ClientAsk::forwards(by_number.clone()).with_args(&[
        "-L",
        &format!("[{HOST}]:{local_by_name}:{to}"),
        "-R",
        &format!("[{HOST}]:{remote_by_name}:{to}"),
        "-D",
        &format!("[{HOST}]:{socks}"),
        "-o",
        &format!("HostName={}", HOST.replace('%', "%%")),
        "-o",
        &format!("BindAddress={HOST}"),
        "-o",
        &format!("UserKnownHostsFile={}", known.display()),
    ]);
    let mut client = pairing.connect(&server, &ask);
    for port in [local, remote, local_by_name, remote_by_name] {
        client.wait_for_listener(&scoped(port));
        Visitor::new(scoped(port)).echo(b"hello").unwrap();
    }
    client.wait_for_listener(&scoped(socks));
    target.check();
}
