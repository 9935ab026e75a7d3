//! Sessions on a terminal beside stock OpenSSH: a person types, resizes, suspends, and leaves by `~.`.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use adit_interop::matrix::Pairing;
use adit_interop::peer::{ClientAsk, Server, ServerAsk};
use adit_interop::terminal::Terminal;
use std::process::Command;

adit_interop::each_pairing! {
    [
        shell_runs_on_a_terminal_that_is_raw_only_meanwhile
        size_of_the_window_is_the_programs
        interrupt_reaches_the_program
        escape_sequences_are_the_clients
        session_stops_and_comes_back
    ]
    openssh_to_openssh: OpenSsh => OpenSsh;
    adit_to_openssh: Adit => OpenSsh;
    openssh_to_aditd: OpenSsh => Adit;
    adit_to_aditd: Adit => Adit;
}

/// A command on a terminal of 40 lines and 132 columns.
fn on_terminal(pairing: &Pairing, server: &Server, words: &[&str], args: &[&str]) -> Terminal {
    let ask = ClientAsk::session(words).with_args(args);
    Terminal::start(&pairing.client_command(server, &ask), 40, 132)
}

fn shell_runs_on_a_terminal_that_is_raw_only_meanwhile(pairing: &Pairing) {
    let server = pairing.serve(&ServerAsk::default());
    let mut terminal = on_terminal(pairing, &server, &["sh"], &["-t"]);
    terminal.await_shown("# ", 1);
    assert!(!terminal.is_cooked());
    terminal.type_keys("tty; echo $TERM $SSH_TTY\r");
    terminal.await_shown("xterm /dev/pts/", 1);
    terminal.type_keys("exit 5\r");
    terminal.await_shown("exit 5", 1);
    assert_eq!(terminal.end(), Some(5));
}

fn size_of_the_window_is_the_programs(pairing: &Pairing) {
    let server = pairing.serve(&ServerAsk::default());
    let command = "trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.1; done";
    let mut terminal = on_terminal(pairing, &server, &[command], &["-t"]);
    terminal.await_shown("40 132", 1);
    terminal.resize(50, 100);
    terminal.await_shown("50 100", 1);
    assert_eq!(terminal.end(), Some(0));
}

fn interrupt_reaches_the_program(pairing: &Pairing) {
    let server = pairing.serve(&ServerAsk::default());
    let command = "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.1; done";
    let mut terminal = on_terminal(pairing, &server, &[command], &["-t"]);
    terminal.await_shown("ready", 1);
    terminal.type_keys("\x03");
    terminal.await_shown("caught", 1);
    assert_eq!(terminal.end(), Some(3));
}

fn escape_sequences_are_the_clients(pairing: &Pairing) {
    let server = pairing.serve(&ServerAsk::default());
    let mut terminal = on_terminal(pairing, &server, &["cat"], &["-t"]);
    terminal.type_keys("here~.\r");
    terminal.await_shown("here~.", 2);
    terminal.type_keys("~?");
    terminal.await_shown("Supported escape sequences:", 1);
    terminal.type_keys("~~ is one\r");
    terminal.await_shown("~ is one", 2);
    terminal.type_keys("~.");
    assert_eq!(terminal.end(), Some(255));
}

/// In a shell with job control, which brings it back.
fn session_stops_and_comes_back(pairing: &Pairing) {
    let server = pairing.serve(&ServerAsk::default());
    let ask = ClientAsk::session(&["cat"]).with_args(&["-t"]);
    let client = pairing.client_command(&server, &ask);
    let mut line = client.get_program().to_string_lossy().into_owned();
    for argument in client.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    let script = pairing
        .scratch()
        .write("client.sh", &format!("exec {line}\n"));
    let mut shell = Command::new("bash");
    shell
        .args(["--norc", "--noprofile", "-i"])
        .env("PS1", "here> ");
    for (name, value) in client.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let mut terminal = Terminal::start(&shell, 40, 132);
    terminal.await_shown("here> ", 1);
    terminal.type_keys(&format!("sh {}\r", script.display()));
    terminal.await_raw();
    terminal.type_keys("before\r");
    terminal.await_shown("before", 2);
    terminal.type_keys("~\x1a");
    terminal.await_shown("Stopped", 1);
    terminal.type_keys("stty size; fg\r");
    terminal.await_shown("40 132", 1);
    terminal.await_raw();
    terminal.type_keys("after\r");
    terminal.await_shown("after", 2);
    terminal.type_keys("\x04");
    terminal.await_shown("here> ", 3);
    terminal.type_keys("exit\r");
    assert_eq!(terminal.end(), Some(0));
}
