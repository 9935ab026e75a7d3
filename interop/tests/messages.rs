//! Exit codes and the words that scripts look for when something goes wrong, against both servers.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use adit_interop::forward::{Address, Forward};
use adit_interop::matrix::Pairing;
use adit_interop::missing::Missing;
use adit_interop::need;
use adit_interop::peer::{Adit, ClientAsk, Peer, ServerAsk, Wording};
use adit_interop::ports::free_port;
use adit_interop::process::{self, Process};
use adit_interop::scratch::Key;
use adit_interop::traffic::{Target, Visitor};
use adit_interop::wait::{self, Pending};
use std::net::TcpListener;
use std::process::Command;

adit_interop::each_pairing! {
    [
        a_stranger_is_denied
        an_agent_with_too_many_keys_is_named
        an_unknown_host_key_ends_the_connection
        a_busy_local_port_ends_the_client
        a_busy_remote_port_ends_the_client
        a_busy_remote_port_is_a_warning_when_failure_is_allowed
        a_refused_target_is_named
        a_prohibited_target_is_named
        forwarding_that_the_server_does_not_allow
        sigterm_ends_with_0_and_sighup_with_255
        a_sighup_that_was_ignored_stays_so
        a_lost_server_ends_with_255
    ]
    adit_to_aditd: Adit => Adit;
    adit_to_openssh: Adit => OpenSsh;
}

fn a_stranger_is_denied(pairing: &Pairing) {
    let server = pairing.serve(&ServerAsk::default());
    let mut ask = ClientAsk::forwards([]);
    ask.key = Key::Stranger;
    fails(
        pairing.launch(&server, &ask).end(),
        &["127.0.0.1: Permission denied (publickey"],
    );
}

fn an_agent_with_too_many_keys_is_named(pairing: &Pairing) {
    let scratch = pairing.scratch();
    let socket = scratch.file("agent");
    let mut command = Command::new("ssh-agent");
    command.arg("-D").arg("-a").arg(&socket);
    let _agent = Process::start("agent", command, scratch.path()).unwrap();
    let there = wait::until("the agent", || match socket.exists() {
        true => Ok(()),
        false => Err(Pending::NotYet("no socket".into())),
    });
    there.unwrap();
    for name in ["k1", "k2", "k3", "k4", "k5"] {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
        keygen.arg(scratch.file(name));
        process::run("ssh-keygen", keygen, scratch.path());
        let mut add = Command::new("ssh-add");
        add.arg("-q").arg(scratch.file(name));
        add.env("SSH_AUTH_SOCK", &socket);
        process::run("ssh-add", add, scratch.path());
    }
    let server = pairing.serve(&ServerAsk::config(&["MaxAuthTries 3"]));
    let agent = format!("IdentityAgent={}", socket.display());
    let ask = ClientAsk::args(&["-o", &agent, "-o", "IdentitiesOnly=no"]);
    let ended = pairing.launch(&server, &ask).end();
    let words = match Adit.wording() {
        Wording::OpenSsh => ["Too many authentication failures"; 2],
        Wording::Adit => ["(after 3 keys of the agent)", "-o IdentitiesOnly=yes"],
    };
    fails(ended, &words);
}

fn an_unknown_host_key_ends_the_connection(pairing: &Pairing) {
    let server = pairing.serve(&ServerAsk::default());
    let ask = ClientAsk::args(&["-o", "UserKnownHostsFile=/dev/null"]);
    fails(
        pairing.launch(&server, &ask).end(),
        &["Host key verification failed."],
    );
}

fn a_busy_local_port_ends_the_client(pairing: &Pairing) {
    let server = pairing.serve(&ServerAsk::default());
    let busy = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let _held = TcpListener::bind(busy).unwrap();
    let forward = Forward::local(Address::Tcp(busy), Address::loopback(9));
    fails(
        pairing
            .launch(&server, &ClientAsk::forwards([forward]))
            .end(),
        &[
            &format!("bind [127.0.0.1]:{}: Address already in use", busy.port()),
            "Could not request local forwarding.",
        ],
    );
}

fn a_busy_remote_port_ends_the_client(pairing: &Pairing) {
    let server = pairing.serve(&ServerAsk::default());
    let (_held, forward) = busy_remote();
    let said = format!(
        "Error: remote port forwarding failed for listen port {}",
        forward.listen().port()
    );
    fails(
        pairing
            .launch(&server, &ClientAsk::forwards([forward]))
            .end(),
        &[&said],
    );
}

fn a_busy_remote_port_is_a_warning_when_failure_is_allowed(pairing: &Pairing) {
    let target = Target::tcp();
    let server = pairing.serve(&ServerAsk::default());
    let (_held, busy) = busy_remote();
    let said = format!(
        "Warning: remote port forwarding failed for listen port {}",
        busy.listen().port()
    );
    let good = Forward::local(Address::loopback(free_port()), target.address().clone());
    let visitor = Visitor::new(good.listen().clone());
    let ask = ClientAsk::forwards([busy, good]).with_args(&["-o", "ExitOnForwardFailure=no"]);
    let mut client = pairing.launch(&server, &ask);
    client
        .process
        .wait_for_errors(&said, |log| log.contains(&said).then_some(()))
        .unwrap();
    visitor.echo(b"the other forward works").unwrap();
}

fn a_refused_target_is_named(pairing: &Pairing) {
    let closed = free_port();
    let expected = |port: u16| match Adit.wording() {
        Wording::OpenSsh => "open failed: connect failed: Connection refused".to_owned(),
        Wording::Adit => format!("forward -L {port} → 127.0.0.1:{closed}: "),
    };
    stays_up_and_says(pairing, &ServerAsk::default(), closed, expected);
}

fn a_prohibited_target_is_named(pairing: &Pairing) {
    let closed = free_port();
    let expected = |port: u16| match Adit.wording() {
        Wording::OpenSsh => "open failed: administratively prohibited".to_owned(),
        Wording::Adit => format!("forward -L {port} → 127.0.0.1:{closed}: "),
    };
    stays_up_and_says(
        pairing,
        &ServerAsk::config(&["PermitOpen 127.0.0.1:1"]),
        closed,
        expected,
    );
}

fn forwarding_that_the_server_does_not_allow(pairing: &Pairing) {
    let port = free_port();
    let forward = Forward::remote(Address::loopback(port), Address::loopback(9));
    for line in [
        "AllowTcpForwarding local",
        "DisableForwarding yes",
        "PermitListen none",
    ] {
        let server = pairing.serve(&ServerAsk::config(&[line]));
        fails(
            pairing
                .launch(&server, &ClientAsk::forwards([forward.clone()]))
                .end(),
            &[&format!(
                "Error: remote port forwarding failed for listen port {port}"
            )],
        );
    }
}

fn sigterm_ends_with_0_and_sighup_with_255(pairing: &Pairing) {
    let server = pairing.serve(&ServerAsk::default());
    for (name, code) in [("TERM", 0), ("HUP", 255), ("INT", 255)] {
        let forward = Forward::local(Address::loopback(free_port()), Address::loopback(9));
        let client = pairing.connect(&server, &ClientAsk::forwards([forward]));
        client.process.signal(name);
        let (ended, log) = client.end();
        assert_eq!(ended, Some(code), "SIG{name}: {log}");
    }
}

fn a_sighup_that_was_ignored_stays_so(pairing: &Pairing) {
    let target = Target::tcp();
    let server = pairing.serve(&ServerAsk::default());
    let forward = Forward::local(Address::loopback(free_port()), target.address().clone());
    let visitor = Visitor::new(forward.listen().clone());
    let command = pairing.client_command(&server, &ClientAsk::forwards([forward]));
    let command = process::through_env("--ignore-signal=HUP", &command);
    let mut client = Process::start("client", command, pairing.scratch().path()).unwrap();
    wait::until("the forward", || {
        visitor.echo(b"up").map_err(Pending::NotYet)
    })
    .unwrap();
    client.signal("HUP");
    visitor.echo(b"still up").unwrap();
    client.signal("TERM");
    assert_eq!(client.wait_for_end().unwrap().code(), Some(0));
}

fn a_lost_server_ends_with_255(pairing: &Pairing) {
    let server = pairing.serve(&ServerAsk::default());
    let forward = Forward::local(Address::loopback(free_port()), Address::loopback(9));
    let client = pairing.connect(&server, &ClientAsk::forwards([forward]));
    server.process.kill();
    let (code, log) = client.end();
    assert_eq!(code, Some(255), "{log}");
    // Which of them it is depends on what was under way when the connection went.
    let said = [
        "Connection to 127.0.0.1 closed by remote host.",
        "Read from remote host 127.0.0.1: Connection reset by peer",
        "send disconnect: Broken pipe",
    ];
    assert!(said.iter().any(|words| log.contains(words)), "{log}");
}

#[test]
fn a_specification_that_cannot_be_read_is_shown() {
    for (flag, value, kind) in [
        ("-L", "nonsense", "local"),
        ("-L", "1:2:3:4:5", "local"),
        ("-L", "8080/host/80", "local"),
        ("-R", "a:b:c:d:e", "remote"),
        ("-D", "a:b:c", "dynamic"),
    ] {
        let said = format!("Bad {kind} forwarding specification '{value}'");
        fails(need!(plain(&["-N", flag, value, "127.0.0.1"])), &[&said]);
    }
}

#[test]
fn a_server_that_is_not_there_is_shown() {
    let port = free_port().to_string();
    let said = format!("connect to host 127.0.0.1 port {port}: Connection refused");
    fails(
        need!(plain(&["-N", "-F", "none", "-p", &port, "127.0.0.1"])),
        &[&said],
    );
}

#[test]
fn background_needs_something_to_do() {
    let said = "Cannot fork into background without a command to execute.";
    fails(need!(plain(&["-F", "none", "-f", "127.0.0.1"])), &[said]);
}

#[test]
fn an_unknown_option_is_shown() {
    fails(
        need!(plain(&[
            "-N",
            "-F",
            "none",
            "-o",
            "NoSuchThing=1",
            "127.0.0.1"
        ])),
        &["Bad configuration option: nosuchthing"],
    );
}

#[test]
fn the_version_goes_to_standard_error() {
    let (code, log) = need!(plain(&["-V"]));
    assert_eq!(code, Some(0));
    assert!(!log.is_empty());
}

/// The client's exit code and standard error for a command line that makes no connection.
fn plain(args: &[&str]) -> Result<(Option<i32>, String), Missing> {
    Adit.find()?;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new(Adit.client_program());
    command.env("HOME", dir.path()).args(args);
    let (status, output, errors) = process::outcome("adit", command, dir.path());
    assert_eq!(output, "", "nothing of this belongs on standard output");
    Ok((status.code(), errors))
}

/// Panics unless the client ended with 255 and said every one of `words`.
fn fails((code, log): (Option<i32>, String), words: &[&str]) {
    assert_eq!(code, Some(255), "{log}");
    for word in words {
        assert!(log.contains(word), "{word:?} is not in: {log}");
    }
}

/// A connection to a target that cannot be had is closed and explained, and the client goes on.
fn stays_up_and_says(
    pairing: &Pairing,
    ask: &ServerAsk,
    closed: u16,
    expected: impl Fn(u16) -> String,
) {
    let server = pairing.serve(ask);
    let port = free_port();
    let mut client = pairing.launch(
        &server,
        &ClientAsk::args(&["-L", &format!("{port}:127.0.0.1:{closed}")]),
    );
    let listen = Address::loopback(port);
    client.wait_for_listener(&listen);
    assert!(Visitor::new(listen.clone()).echo(b"anybody?").is_err());
    let said = expected(port);
    client
        .process
        .wait_for_errors(&said, |log| log.contains(&said).then_some(()))
        .unwrap();
    client.wait_for_listener(&listen);
}

/// A `-R` for a port that somebody holds, for both families.
fn busy_remote() -> ([TcpListener; 2], Forward) {
    let port = free_port();
    let held = ["127.0.0.1", "::1"].map(|ip| TcpListener::bind((ip, port)).unwrap());
    (
        held,
        Forward::remote(Address::loopback(port), Address::loopback(9)),
    )
}
