//! The ways to ask for a forward, as a person types them: bind addresses, gateway ports, unix sockets, port 0, chains
//! and jumps; each against ourselves and against OpenSSH in both roles.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use adit_interop::forward::{Address, Forward};
use adit_interop::matrix::Pairing;
use adit_interop::need;
use adit_interop::peer::{Client, ClientAsk, ServerAsk};
use adit_interop::ports::{free_port, privileged_port};
use adit_interop::process;
use adit_interop::scratch;
use adit_interop::traffic::{MIB, Target, Visitor};
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::thread;

adit_interop::each_pairing! {
    [
        local_bind_addresses
        local_bind_addresses_with_gateway_ports
        remote_bind_addresses_without_gateway_ports
        remote_bind_addresses_with_gateway_ports
        remote_bind_addresses_as_the_client_specifies
        unix_sockets_at_every_end
        a_dead_unix_socket_is_replaced_when_asked
        port_zero_is_reported
        several_forwards_at_once
        a_tunnel_through_the_open_end_of_another
        through_a_jump_host
        privileged_ports_at_the_server
        privileged_ports_at_the_client
    ]
    adit_to_aditd: Adit => Adit;
    adit_to_openssh: Adit => OpenSsh;
    openssh_to_aditd: OpenSsh => Adit;
}

adit_interop::each_pairing! {
    [unix_sockets_go_with_the_server]
    adit_to_aditd_alone: Adit => Adit;
    openssh_to_aditd_alone: OpenSsh => Adit;
}

const LOOPBACK: &[&str] = &["127.0.0.1", "::1"];
const EVERYWHERE: &[&str] = &["127.0.0.1", "127.0.0.2", "::1"];

/// Text before the port, and the addresses at which that listener must be reachable.
type Row = (&'static str, &'static [&'static str]);

fn local_bind_addresses(pairing: &Pairing) {
    let rows: &[Row] = &[
        ("", LOOPBACK),
        (":", EVERYWHERE),
        ("*:", EVERYWHERE),
        ("localhost:", LOOPBACK),
        ("127.0.0.1:", &["127.0.0.1"]),
        ("127.0.0.2:", &["127.0.0.2"]),
        ("[::1]:", &["::1"]),
        ("0.0.0.0:", &["127.0.0.1", "127.0.0.2"]),
    ];
    bind_addresses(
        pairing,
        &ServerAsk::default(),
        ClientAsk::forwards([]),
        "-L",
        rows,
    );
}

fn local_bind_addresses_with_gateway_ports(pairing: &Pairing) {
    let rows: &[Row] = &[
        ("", EVERYWHERE),
        ("*:", EVERYWHERE),
        ("localhost:", LOOPBACK),
        ("127.0.0.1:", &["127.0.0.1"]),
    ];
    bind_addresses(
        pairing,
        &ServerAsk::default(),
        ClientAsk::args(&["-g"]),
        "-L",
        rows,
    );
}

fn remote_bind_addresses_without_gateway_ports(pairing: &Pairing) {
    let rows: &[Row] = &[
        ("", LOOPBACK),
        ("localhost:", LOOPBACK),
        (":", LOOPBACK),
        ("*:", LOOPBACK),
        ("127.0.0.1:", &["127.0.0.1"]),
        ("[::1]:", &["::1"]),
        ("127.0.0.2:", LOOPBACK),
        ("0.0.0.0:", LOOPBACK),
    ];
    remote_bind_addresses(pairing, "no", rows);
}

fn remote_bind_addresses_with_gateway_ports(pairing: &Pairing) {
    let rows: &[Row] = &[
        ("", EVERYWHERE),
        ("localhost:", EVERYWHERE),
        ("*:", EVERYWHERE),
        ("127.0.0.1:", EVERYWHERE),
        ("[::1]:", EVERYWHERE),
        ("127.0.0.2:", EVERYWHERE),
    ];
    remote_bind_addresses(pairing, "yes", rows);
}

fn remote_bind_addresses_as_the_client_specifies(pairing: &Pairing) {
    let rows: &[Row] = &[
        ("", LOOPBACK),
        ("localhost:", LOOPBACK),
        (":", EVERYWHERE),
        ("*:", EVERYWHERE),
        ("127.0.0.1:", &["127.0.0.1"]),
        ("127.0.0.2:", &["127.0.0.2"]),
        ("[::1]:", &["::1"]),
        ("0.0.0.0:", &["127.0.0.1", "127.0.0.2"]),
    ];
    remote_bind_addresses(pairing, "clientspecified", rows);
}

fn unix_sockets_at_every_end(pairing: &Pairing) {
    let scratch = pairing.scratch();
    let tcp = Target::tcp();
    let unix = Target::unix(&scratch.file("target"));
    let at = |name: &str| Address::unix(&scratch.file(name));
    let forwards = [
        Forward::local(at("l1"), tcp.address().clone()),
        Forward::local(at("l2"), unix.address().clone()),
        Forward::local(Address::loopback(free_port()), unix.address().clone()),
        Forward::remote(at("r1"), tcp.address().clone()),
        Forward::remote(at("r2"), unix.address().clone()),
        Forward::remote(Address::loopback(free_port()), unix.address().clone()),
    ];
    let server = pairing.serve(&ServerAsk::default());
    let _client = pairing.connect(&server, &ClientAsk::forwards(forwards.clone()));
    for forward in &forwards {
        let visitor = Visitor::new(forward.listen().clone());
        let visit = visitor.exchange(MIB).and_then(|()| visitor.half_close());
        visit.unwrap_or_else(|failure| panic!("{}: {failure}", forward.args().join(" ")));
    }
    for name in ["l1", "r1"] {
        let mode = fs::metadata(scratch.file(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "only their owner may use {name}");
    }
    tcp.check();
    unix.check();
}

fn a_dead_unix_socket_is_replaced_when_asked(pairing: &Pairing) {
    let scratch = pairing.scratch();
    let target = Target::tcp();
    let forwards = ["local", "remote"].map(|name| {
        drop(UnixListener::bind(scratch.file(name)).unwrap());
        let listen = Address::unix(&scratch.file(name));
        let make = if name == "local" {
            Forward::local
        } else {
            Forward::remote
        };
        make(listen, target.address().clone())
    });
    let server = pairing.serve(&ServerAsk::config(&["StreamLocalBindUnlink yes"]));
    let ask = ClientAsk::forwards(forwards.clone()).with_args(&["-o", "StreamLocalBindUnlink=yes"]);
    let _client = pairing.connect(&server, &ask);
    for forward in forwards {
        Visitor::new(forward.listen().clone())
            .echo(b"alive again")
            .unwrap();
    }
    target.check();
}

/// Ours only: a child of sshd outlives it, and so do its sockets.
fn unix_sockets_go_with_the_server(pairing: &Pairing) {
    let scratch = pairing.scratch();
    let target = Target::tcp();
    let listen = Address::unix(&scratch.file("r"));
    let forward = Forward::remote(listen, target.address().clone());
    let mut server = pairing.serve(&ServerAsk::default());
    let _client = pairing.connect(&server, &ClientAsk::forwards([forward]));
    assert!(scratch.file("r").exists());
    server.process.signal("TERM");
    server.process.wait_for_end().unwrap();
    assert!(!scratch.file("r").exists(), "nobody listens there any more");
}

fn port_zero_is_reported(pairing: &Pairing) {
    let target = Target::tcp();
    let server = pairing.serve(&ServerAsk::default());
    let to = format!("for remote forward to {}", target.address());
    let ask = ClientAsk::args(&["-R", &format!("0:{}", target.address())]);
    let mut client = pairing.launch(&server, &ask);
    let port = client.process.wait_for_errors("the allocated port", |log| {
        let line = log
            .lines()
            .find(|line| line.starts_with("Allocated port ") && line.contains(&to))?;
        line.split(' ').nth(2)?.parse().ok()
    });
    reach("-R 0", port.unwrap(), LOOPBACK);
    target.check();
}

fn several_forwards_at_once(pairing: &Pairing) {
    let target = Target::tcp();
    let listen = || Address::loopback(free_port());
    let forwards = [
        Forward::local(listen(), target.address().clone()),
        Forward::local(listen(), target.address().clone()),
        Forward::remote(listen(), target.address().clone()),
        Forward::remote(listen(), target.address().clone()),
    ];
    let server = pairing.serve(&ServerAsk::default());
    let ask = ClientAsk::forwards(forwards.iter().cloned().chain([Forward::dynamic(listen())]));
    let _client = pairing.connect(&server, &ask);
    thread::scope(|scope| {
        for forward in &forwards {
            let visitor = Visitor::new(forward.listen().clone());
            scope.spawn(move || visitor.many(4, MIB).unwrap());
        }
    });
    target.check();
}

/// `-g` opens the first tunnel's near end to others; the second tunnel leads there.
fn a_tunnel_through_the_open_end_of_another(pairing: &Pairing) {
    let target = Target::tcp();
    let server = pairing.serve(&ServerAsk::default());
    let (first, second) = (free_port(), free_port());
    let ask = ClientAsk::args(&["-g", "-L", &format!("{first}:{}", target.address())]);
    let mut inner = pairing.launch(&server, &ask);
    inner.wait_for_listener(&Address::loopback(first));
    let ask = ClientAsk::args(&["-g", "-L", &format!("{second}:127.0.0.2:{first}")]);
    let mut outer = pairing.launch(&server, &ask);
    outer.wait_for_listener(&Address::loopback(second));
    let visitor = Visitor::new(Address::at([127, 0, 0, 2], second));
    visitor.exchange(4 * MIB).unwrap();
    visitor.half_close().unwrap();
    target.check();
}

fn through_a_jump_host(pairing: &Pairing) {
    let target = Target::tcp();
    let jump = pairing.serve(&ServerAsk::default());
    let server = pairing.serve(&ServerAsk::default());
    pairing.scratch().known_hosts(jump.port);
    let forward = Forward::local(Address::loopback(free_port()), target.address().clone());
    let visitor = Visitor::new(forward.listen().clone());
    let way = format!("{}@127.0.0.1:{}", scratch::user(), jump.port);
    let _client = pairing.connect(
        &server,
        &ClientAsk::forwards([forward]).with_args(&["-J", &way]),
    );
    visitor.exchange(4 * MIB).unwrap();
    assert!(
        jump.process.errors().contains("Accepted publickey"),
        "the jump host was not used"
    );
    target.check();
}

/// An ordinary user gets no listener on a privileged port from a server that runs as root.
fn privileged_ports_at_the_server(pairing: &Pairing) {
    let server = pairing.serve(&ServerAsk::default());
    let port = need!(privileged_port());
    let mut ask = ClientAsk::args(&["-R", &format!("127.0.0.1:{port}:127.0.0.1:9")]);
    ask.user = (scratch::user() == "root").then(|| "nobody".to_owned());
    let (code, log) = pairing.launch(&server, &ask).end();
    assert_eq!(code, Some(255), "{log}");
    // An aditd of root admits nobody else, so that its ports are out of an ordinary user's reach altogether.
    let refusal = match pairing.server_name() == "adit" && ask.user.is_some() {
        true => "Permission denied (publickey).".to_owned(),
        false => format!("Error: remote port forwarding failed for listen port {port}"),
    };
    assert!(log.contains(&refusal), "{log}");
}

/// Nor does a client that an ordinary user runs.
fn privileged_ports_at_the_client(pairing: &Pairing) {
    let server = pairing.serve(&ServerAsk::default());
    let port = need!(privileged_port());
    let ask = ClientAsk::args(&["-L", &format!("127.0.0.1:{port}:127.0.0.1:9")]);
    let scratch = pairing.scratch();
    let mut command = pairing.client_command(&server, &ask);
    if scratch::user() == "root" {
        // A copy of the program, because that user may have no way to where it was built.
        let program = scratch.file("client");
        fs::copy(command.get_program(), &program).unwrap();
        let mut chown = Command::new("chown");
        chown.args(["-R", "nobody"]).arg(scratch.path());
        process::run("chown", chown, scratch.path());
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
        wrapped
            .arg(program)
            .args(command.get_args())
            .env("HOME", scratch.home());
        command = wrapped;
    }
    let (status, _, log) = process::outcome("client", command, scratch.path());
    assert_eq!(status.code(), Some(255), "{log}");
    let refusal = format!("bind [127.0.0.1]:{port}: Permission denied");
    assert!(log.contains(&refusal), "{log}");
    assert!(log.contains("Could not request local forwarding."), "{log}");
}

fn remote_bind_addresses(pairing: &Pairing, gateway_ports: &str, rows: &[Row]) {
    let ask = ServerAsk::config(&[&format!("GatewayPorts {gateway_ports}")]);
    bind_addresses(pairing, &ask, ClientAsk::forwards([]), "-R", rows);
}

/// All rows in one client, each on a port of its own.
fn bind_addresses(
    pairing: &Pairing,
    server: &ServerAsk,
    mut ask: ClientAsk,
    flag: &str,
    rows: &[Row],
) {
    let target = Target::tcp();
    let mut ports = Vec::new();
    for (bind, _) in rows {
        let port = free_port();
        ask = ask.with_args(&[flag, &format!("{bind}{port}:{}", target.address())]);
        ports.push(port);
    }
    let server = pairing.serve(server);
    let mut client: Client = pairing.launch(&server, &ask);
    for ((bind, expected), &port) in rows.iter().zip(&ports) {
        client.wait_for_listener(&at(expected[0], port));
        reach(&format!("{flag} {bind}{port}"), port, expected);
    }
    target.check();
}

/// Panics unless `port` is reachable, all the way to the target, at exactly the `expected` addresses.
fn reach(what: &str, port: u16, expected: &[&str]) {
    let found: Vec<&str> = EVERYWHERE
        .iter()
        .copied()
        .filter(|ip| Visitor::new(at(ip, port)).echo(what.as_bytes()).is_ok())
        .collect();
    assert_eq!(found, expected, "{what}");
}

fn at(ip: &str, port: u16) -> Address {
    Address::at(ip.parse::<IpAddr>().unwrap(), port)
}
