//! Unix sockets beside a stock sshd: the table of switches and key options, asked of both servers by a stock ssh.
//!
//! Both must answer as the table says, so that neither the table nor aditd can drift from OpenSSH.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use adit_interop::forward::{Address, Forward};
use adit_interop::matrix::Pairing;
use adit_interop::peer::{ClientAsk, ServerAsk};
use adit_interop::traffic::{Target, Visitor};
use std::fs;

adit_interop::each_pairing! {
    [unix_sockets_need_both_switches_for_their_direction]
    openssh_to_openssh: OpenSsh => OpenSsh;
    openssh_to_aditd: OpenSsh => Adit;
}

/// A configuration, the options before the key, and whether a connection and a listener pass.
struct Row {
    config: &'static str,
    key: &'static str,
    passes: [bool; 2],
}

const fn row(config: &'static str, key: &'static str, passes: [bool; 2]) -> Row {
    Row {
        config,
        key,
        passes,
    }
}

/// `AllowTcpForwarding`, `AllowStreamLocalForwarding`: all sixteen pairs; then what keys say, and `DisableForwarding`.
const TABLE: [Row; 29] = [
    row("yes yes", "", [true, true]),
    row("yes no", "", [false, false]),
    row("yes local", "", [true, false]),
    row("yes remote", "", [false, true]),
    row("no yes", "", [false, false]),
    row("no no", "", [false, false]),
    row("no local", "", [false, false]),
    row("no remote", "", [false, false]),
    row("local yes", "", [true, false]),
    row("local no", "", [false, false]),
    row("local local", "", [true, false]),
    row("local remote", "", [false, false]),
    row("remote yes", "", [false, true]),
    row("remote no", "", [false, false]),
    row("remote local", "", [false, false]),
    row("remote remote", "", [false, true]),
    row("yes yes", "restrict", [false, false]),
    row("yes yes", "no-port-forwarding", [false, false]),
    row("yes yes", "restrict,port-forwarding", [true, true]),
    row("yes yes", r#"permitopen="db:1""#, [false, true]),
    row("yes yes", r#"permitopen="*:*""#, [true, true]),
    row("yes yes", r#"permitlisten="1""#, [true, true]),
    row("local yes", "restrict,port-forwarding", [true, false]),
    row("local yes", r#"permitopen="*:*""#, [true, false]),
    row("remote yes", r#"permitlisten="1""#, [false, true]),
    row("no yes", r#"permitlisten="1""#, [false, false]),
    row("no yes", r#"permitopen="*:*""#, [false, false]),
    row("yes yes DisableForwarding", "", [false, false]),
    row(
        "yes yes DisableForwarding",
        "restrict,port-forwarding",
        [false, false],
    ),
];

fn unix_sockets_need_both_switches_for_their_direction(pairing: &Pairing) {
    let mut wrong = Vec::new();
    for (number, row) in TABLE.iter().enumerate() {
        let answers = row.answers(pairing, number);
        if answers != row.passes {
            wrong.push(format!("{} {}: {answers:?}", row.config, row.key));
        }
    }
    let server = pairing.server_name();
    assert!(
        wrong.is_empty(),
        "{server} differs from the table: {wrong:#?}"
    );
}

impl Row {
    fn config(&self) -> Vec<String> {
        let mut words = self.config.split(' ');
        let mut lines = Vec::new();
        for keyword in ["AllowTcpForwarding", "AllowStreamLocalForwarding"] {
            lines.push(format!("{keyword} {}", words.next().unwrap()));
        }
        lines.extend(words.map(|switch| format!("{switch} yes")));
        lines
    }

    /// Asks the server of `pairing` for both directions.
    fn answers(&self, pairing: &Pairing<'_>, number: usize) -> [bool; 2] {
        let scratch = pairing.scratch();
        let key = fs::read_to_string(scratch.file("user.pub")).unwrap();
        let line = format!("{} {key}", self.key);
        let keys = scratch.write(&format!("keys.{number}"), line.trim_start());
        let mut config = self.config();
        config.push(format!("AuthorizedKeysFile {}", keys.display()));
        let config: Vec<&str> = config.iter().map(String::as_str).collect();
        let server = pairing.serve(&ServerAsk::config(&config));

        let target = Target::unix(&scratch.file(&format!("t{number}")));
        let socket = |name: &str| Address::unix(&scratch.file(&format!("{name}{number}")));
        let forwards = [
            Forward::local(socket("l"), target.address().clone()),
            Forward::remote(socket("r"), target.address().clone()),
        ];
        let ask =
            ClientAsk::forwards(forwards.clone()).with_args(&["-o", "ExitOnForwardFailure=no"]);
        let mut client = pairing.launch(&server, &ask);
        let listens = client
            .process
            .wait_for_errors("an answer to -R", |log| {
                let passed = log.contains("remote forward success");
                let refused = log.contains("remote port forwarding failed");
                (passed || refused).then_some(passed)
            })
            .unwrap();
        let visit = |forward: &Forward| Visitor::new(forward.listen().clone()).echo(b"hello");
        let [local, remote] = &forwards;
        if listens {
            visit(remote).unwrap();
        }
        [visit(local).is_ok(), listens]
    }
}
