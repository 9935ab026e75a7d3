//! Shells, commands and subsystems beside stock OpenSSH: every pairing does what the table says, and the table is
//! OpenSSH's.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use adit_interop::forward::{Address, Forward};
use adit_interop::matrix::Pairing;
use adit_interop::peer::{ClientAsk, Server, ServerAsk};
use adit_interop::ports::free_port;
use adit_interop::session::{self, Input, Outcome};
use adit_interop::traffic::{Conn, Target};
use adit_interop::wait::{self, Pending};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;

adit_interop::each_pairing! {
    [
        commands_have_output_errors_and_an_exit_code
        megabytes_pass_in_and_out_of_a_command
        input_that_ends_leaves_the_output_open
        output_that_nobody_reads_ends_the_command
        variables_are_set_as_sshd_sets_them
        forced_command_runs_instead_of_any_other
        subsystem_is_a_command_by_another_name
        standard_streams_are_one_connection
        forwards_live_beside_a_command_and_outlive_it_while_they_are_used
    ]
    openssh_to_openssh: OpenSsh => OpenSsh;
    adit_to_openssh: Adit => OpenSsh;
    openssh_to_aditd: OpenSsh => Adit;
    adit_to_aditd: Adit => Adit;
}

/// A server with these lines of sshd_config. Its log is no part of what a session says.
fn serve(pairing: &Pairing, config: &[&str]) -> Server {
    let mut lines = vec!["LogLevel ERROR"];
    lines.extend(config);
    pairing.serve(&ServerAsk::config(&lines))
}

fn run(pairing: &Pairing, server: &Server, ask: &ClientAsk, input: Input<'_>) -> Outcome {
    session::run(&pairing.client_command(server, ask), input)
}

/// A command, its input, and what becomes of it.
struct Row {
    words: &'static [&'static str],
    input: &'static [u8],
    output: &'static str,
    errors: &'static str,
    code: i32,
}

const fn row(
    words: &'static [&'static str],
    input: &'static [u8],
    output: &'static str,
    errors: &'static str,
    code: i32,
) -> Row {
    Row {
        words,
        input,
        output,
        errors,
        code,
    }
}

const COMMANDS: [Row; 14] = [
    row(&["true"], b"", "", "", 0),
    row(&["false"], b"", "", "", 1),
    row(&["exit 42"], b"", "", "", 42),
    row(&["echo", "a b", "  c"], b"", "a b c\n", "", 0),
    row(&["echo 'a  b'"], b"", "a  b\n", "", 0),
    row(
        &["echo out; echo err >&2; exit 3"],
        b"",
        "out\n",
        "err\n",
        3,
    ),
    row(&["cat"], b"in and out", "in and out", "", 0),
    row(&["wc -c"], b"", "0\n", "", 0),
    row(&["-T", "cat"], b"x", "x", "", 0),
    row(&["cat >&2"], b"to errors", "", "to errors", 0),
    row(
        &["cat /dev/stdin >/dev/stderr"],
        b"by name",
        "",
        "by name",
        0,
    ),
    // Ended by a signal: the client says 255.
    row(&["kill -TERM $$"], b"", "", "", 255),
    row(&["exec sh -c 'kill -KILL $$'"], b"", "", "", 255),
    // A shell without a terminal reads its commands.
    row(&[], b"echo from a shell; exit 7\n", "from a shell\n", "", 7),
];

fn commands_have_output_errors_and_an_exit_code(pairing: &Pairing) {
    let server = serve(pairing, &[]);
    let mut wrong = Vec::new();
    for row in &COMMANDS {
        let mut ask = ClientAsk::session(row.words).with_args(&["-T"]);
        if let [flag, rest @ ..] = row.words
            && *flag == "-T"
        {
            ask = ClientAsk::session(rest).with_args(&["-T"]);
        }
        let got = run(pairing, &server, &ask, Input::Bytes(row.input));
        let expected = Outcome {
            code: Some(row.code),
            output: row.output.into(),
            errors: row.errors.into(),
        };
        if got != expected {
            wrong.push(format!("{:?}: {got:?} instead of {expected:?}", row.words));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn megabytes_pass_in_and_out_of_a_command(pairing: &Pairing) {
    let server = serve(pairing, &[]);
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|n| (n / 7) as u8).collect();
    let echoed = run(
        pairing,
        &server,
        &ClientAsk::session(&["cat"]),
        Input::Bytes(&bytes),
    );
    assert_eq!(echoed.code, Some(0), "{}", echoed.errors);
    assert!(
        echoed.output == bytes,
        "{} bytes came back",
        echoed.output.len()
    );
}

fn input_that_ends_leaves_the_output_open(pairing: &Pairing) {
    let server = serve(pairing, &[]);
    let command = "cat >/dev/null; sleep 0.2; echo late";
    let got = run(
        pairing,
        &server,
        &ClientAsk::session(&[command]),
        Input::Bytes(b"x"),
    );
    assert_eq!((got.code, got.output.as_slice()), (Some(0), &b"late\n"[..]));
    let null = ClientAsk::session(&["cat; echo done"]).with_args(&["-n"]);
    let got = run(pairing, &server, &null, Input::Open);
    assert_eq!((got.code, got.output.as_slice()), (Some(0), &b"done\n"[..]));
}

/// The program ends while its input goes on, and while much of it waits.
fn output_that_nobody_reads_ends_the_command(pairing: &Pairing) {
    let server = serve(pairing, &[]);
    let much = vec![b'y'; 5_000_000];
    for (command, output) in [("head -c 5", &b"yyyyy"[..]), ("exit 0", b"")] {
        let ask = ClientAsk::session(&[command]);
        let got = run(pairing, &server, &ask, Input::Bytes(&much));
        assert_eq!(
            (got.code, got.output.as_slice()),
            (Some(0), output),
            "{command}"
        );
        let got = run(pairing, &server, &ask_after_output(), Input::Open);
        assert_eq!(got.code, Some(0), "{}", got.errors);
    }
}

/// A command that ends although its input stays open.
fn ask_after_output() -> ClientAsk {
    ClientAsk::session(&["echo done"])
}

fn variables_are_set_as_sshd_sets_them(pairing: &Pairing) {
    let server = serve(
        pairing,
        &["AcceptEnv LANG LC_* HIDDEN", "SetEnv FROM_SERVER=yes"],
    );
    let mut ask = ClientAsk::session(&["env"]);
    ask.config = ["SendEnv LC_SENT HIDDEN NOT_SET", "SetEnv LANG=chosen"]
        .map(str::to_owned)
        .to_vec();
    let mut command = pairing.client_command(&server, &ask);
    command
        .env("LC_SENT", "1")
        .env("HIDDEN", "2")
        .env("LD_X", "3");
    let got = session::run(&command, Input::Bytes(b""));
    let text = String::from_utf8(got.output).unwrap();
    let value = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(&format!("{name}=")))?;
        Some(line.split_once('=')?.1.to_owned())
    };
    for (name, expected) in [
        ("LC_SENT", Some("1")),
        ("HIDDEN", Some("2")),
        ("LANG", Some("chosen")),
        ("LD_X", None),
        ("FROM_SERVER", Some("yes")),
        ("NOT_SET", None),
        ("SSH_TTY", None),
        ("SSH_ORIGINAL_COMMAND", None),
    ] {
        assert_eq!(value(name).as_deref(), expected, "{name} in {text}");
    }
    for name in ["USER", "LOGNAME", "HOME", "SHELL", "PATH", "MAIL"] {
        assert!(
            value(name).is_some_and(|v| !v.is_empty()),
            "{name} in {text}"
        );
    }
    let connection = value("SSH_CONNECTION").unwrap();
    let ends: Vec<&str> = connection.split(' ').collect();
    let ours = server.port.to_string();
    assert!(
        matches!(ends[..], ["127.0.0.1", _, "127.0.0.1", port] if port == ours),
        "{connection}"
    );
    let client = format!("127.0.0.1 {} {ours}", ends[1]);
    assert_eq!(value("SSH_CLIENT"), Some(client));
}

fn forced_command_runs_instead_of_any_other(pairing: &Pairing) {
    let server = serve(
        pairing,
        &["ForceCommand echo \"instead of: $SSH_ORIGINAL_COMMAND\""],
    );
    for (words, output) in [
        (&["rm -rf /nothing"][..], "instead of: rm -rf /nothing\n"),
        (&[], "instead of: \n"),
    ] {
        let ask = ClientAsk::session(words).with_args(&["-T"]);
        let got = run(pairing, &server, &ask, Input::Bytes(b"exit 9\n"));
        assert_eq!(String::from_utf8(got.output).unwrap(), output);
        assert_eq!(got.code, Some(0), "{}", got.errors);
    }
}

fn subsystem_is_a_command_by_another_name(pairing: &Pairing) {
    let server = serve(pairing, &["Subsystem upper tr a-z A-Z"]);
    let ask = ClientAsk::session(&["upper"]).with_args(&["-s"]);
    let got = run(pairing, &server, &ask, Input::Bytes(b"shout"));
    assert_eq!((got.code, got.output.as_slice()), (Some(0), &b"SHOUT"[..]));
    let ask = ClientAsk::session(&["missing"]).with_args(&["-s"]);
    let got = run(pairing, &server, &ask, Input::Bytes(b""));
    assert_eq!(got.code, Some(255));
    assert!(
        got.errors.contains("subsystem request failed"),
        "{}",
        got.errors
    );
}

/// `-W`: what ProxyCommand uses.
fn standard_streams_are_one_connection(pairing: &Pairing) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut connection, _) = listener.accept()?;
        let mut bytes = Vec::new();
        connection.read_to_end(&mut bytes)?;
        connection.write_all(&bytes)
    });
    let server = serve(pairing, &[]);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 3) as u8).collect();
    let ask = ClientAsk::session(&[]).with_args(&["-W", &to]);
    let got = run(pairing, &server, &ask, Input::Bytes(&bytes));
    assert_eq!(got.code, Some(0), "{}", got.errors);
    assert!(got.output == bytes, "{} bytes came back", got.output.len());
    let nobody = ClientAsk::session(&[]).with_args(&["-W", "127.0.0.1:1"]);
    let got = run(pairing, &server, &nobody, Input::Bytes(b""));
    assert_eq!(got.code, Some(255), "{}", got.errors);
}

fn forwards_live_beside_a_command_and_outlive_it_while_they_are_used(pairing: &Pairing) {
    let target = Target::tcp();
    let server = serve(pairing, &[]);
    let forward = Forward::local(Address::loopback(free_port()), target.address().clone());
    let listen = forward.listen().clone();
    let mut ask = ClientAsk::session(&["cat; echo over"]);
    ask.forwards = vec![forward];
    let mut command = pairing.client_command(&server, &ask);
    let mut client = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let connect = || Conn::connect(&listen).map_err(|e| Pending::NotYet(e.to_string()));
    let visitor = wait::until("the forward listens", connect).unwrap();
    drop(client.stdin.take());
    let mut said = String::new();
    client
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "over\n");
    assert!(client.try_wait().unwrap().is_none(), "a connection is open");
    drop(visitor);
    assert_eq!(client.wait().unwrap().code(), Some(0));
}
