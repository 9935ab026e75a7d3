//! Old and small peers: without strict key exchange, without elliptic curves, with no more than they must have. They are
//! served with what is safe all the same, or refused with the reason.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use adit_interop::forward::{Address, Forward};
use adit_interop::matrix::Pairing;
use adit_interop::missing;
use adit_interop::need;
use adit_interop::peer::{
    Adit, Asyncssh, Client, ClientAsk, OpenSsh, Paramiko, Rekey, ServerAsk, accepts,
};
use adit_interop::ports::free_port;
use adit_interop::process::{self, Process};
use adit_interop::scratch::{self, Key, Scratch};
use adit_interop::traffic::{MIB, Target, Visitor};
use adit_interop::wait::{self, Pending};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

adit_interop::matrix! {
    adit_to_asyncssh_2_13: Adit => AsyncsshOld [login local remote bulk];
    asyncssh_2_13_to_aditd: AsyncsshOld => Adit [login local remote bulk];
}

/// Ruby's net-ssh 7.0 prefers encrypt-then-MAC beside CTR, and has no GCM.
#[test]
fn net_ssh_is_served_with_a_plain_mac() {
    let ruby = need!(missing::program("ruby", "apt-get install ruby-net-ssh"));
    let pairing = need!(Pairing::new(&Adit, &Adit));
    let server = pairing.serve(&ServerAsk::default());
    let script = r#"
        require "net/ssh"
        port, key, user = ARGV
        options = { port: port.to_i, keys: [key], config: false, non_interactive: true, verify_host_key: :never }
        Net::SSH.start("127.0.0.1", user, **options) do |session|
          algorithms = session.transport.algorithms
          puts algorithms.encryption_client, algorithms.hmac_client
        end
    "#;
    let scratch = pairing.scratch();
    let mut command = Command::new(ruby);
    command
        .args(["-e", script, &server.port.to_string()])
        .arg(scratch.key(Key::User))
        .arg(scratch::user());
    let said = process::run("net-ssh", command, scratch.path());
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].ends_with("-ctr"), "{said}");
    assert!(!lines[1].contains("etm"), "{said}");
}

/// tinysshd has chacha20-poly1305 alone.
#[test]
fn tinysshd_is_refused_with_the_reason_unless_the_setting_allows_it() {
    let scratch = need!(Scratch::new());
    let port = need!(tinysshd(&scratch));
    let (code, log) = to_tinysshd(&scratch, port, &[]);
    assert_eq!(code, Some(255), "{log}");
    for words in [
        "the peer lacks strict key exchange, without which chacha20-poly1305@openssh.com is open to CVE-2023-48795",
        "the peer would have to offer aes256-gcm@openssh.com, or aes256-ctr with hmac-sha2-256",
        "the setting AllowTerrapin yes takes the risk",
    ] {
        assert!(log.contains(words), "{words:?} is not in: {log}");
    }
    // The right key is not known to it: the login comes after the key exchange that is looked at here.
    let (_, log) = to_tinysshd(&scratch, port, &["-o", "AllowTerrapin=yes"]);
    for words in [
        "AllowTerrapin: the peer (SSH-2.0-tinyssh_",
        "somebody on the way can remove messages",
        "Permission denied (publickey)",
    ] {
        assert!(log.contains(words), "{words:?} is not in: {log}");
    }
}

fn to_tinysshd(scratch: &Scratch, port: u16, args: &[&str]) -> (Option<i32>, String) {
    let mut ask = ClientAsk::args(args);
    ask.config = vec!["LogLevel VERBOSE".into()];
    ask.key = Key::Stranger;
    let known = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"];
    let ask = ask.with_args(&known.map(|option| ["-o", option]).concat());
    Client::launch(&Adit, scratch, port, &ask).end()
}

/// Serves every connection to a port with a tinysshd of its own, as inetd does, until the test's process ends.
fn tinysshd(scratch: &Scratch) -> Result<u16, missing::Missing> {
    let remedy = "apt-get install tinysshd";
    let program = missing::program("tinysshd", remedy)?;
    let keys: PathBuf = scratch.file("tinyssh");
    let mut make = Command::new(missing::program("tinysshd-makekey", remedy)?);
    make.arg(&keys);
    process::run("tinysshd-makekey", make, scratch.path());
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let socket = OwnedFd::from(stream.unwrap());
            let input = socket.try_clone().unwrap();
            let _ = Command::new(&program)
                .arg(&keys)
                .stdin(input)
                .stdout(socket)
                .stderr(Stdio::null())
                .status();
        }
    });
    Ok(port)
}

/// OpenSSH has every method of Diffie-Hellman in both roles; it stands for servers that have nothing else.
#[test]
fn diffie_hellman_is_there_for_servers_that_have_nothing_else() {
    let pairing = need!(Pairing::new(&Adit, &OpenSsh));
    for method in [
        "diffie-hellman-group14-sha256",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group18-sha512",
        "diffie-hellman-group-exchange-sha256",
    ] {
        let server = ServerAsk::config(&[&format!("KexAlgorithms {method}")]);
        carries_data(&pairing, &server, &[], &format!("kex: algorithm: {method}"));
    }
}

#[test]
fn diffie_hellman_is_served_where_the_configuration_names_it() {
    let pairing = need!(Pairing::new(&OpenSsh, &Adit));
    for method in [
        "diffie-hellman-group14-sha256",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group18-sha512",
    ] {
        let client = [format!("KexAlgorithms={method}")];
        let refused = pairing.serve(&ServerAsk::default());
        let ask = ClientAsk::args(&["-o", &client[0]]);
        let (code, log) = pairing.launch(&refused, &ask).end();
        assert_eq!(code, Some(255), "{log}");
        let server = ServerAsk::config(&[&format!("KexAlgorithms +{method}")]);
        let agreed = format!("kex: algorithm: {method}");
        carries_data(&pairing, &server, &["-o", &client[0]], &agreed);
    }
}

#[test]
fn hmac_sha1_is_there_for_servers_that_have_nothing_else() {
    let pairing = need!(Pairing::new(&Adit, &OpenSsh));
    let server = ServerAsk::config(&["Ciphers aes128-ctr", "MACs hmac-sha1"]);
    carries_data(&pairing, &server, &[], "MAC: hmac-sha1");
}

/// Logs in, changes keys on the way, and carries a few MiB.
fn carries_data(pairing: &Pairing, server: &ServerAsk, args: &[&str], agreed: &str) {
    let target = Target::tcp();
    let server = pairing.serve(&ServerAsk {
        rekey: Rekey::EveryMib,
        ..server.clone()
    });
    let forward = Forward::local(Address::loopback(free_port()), target.address().clone());
    let visitor = Visitor::new(forward.listen().clone());
    let client = pairing.connect(&server, &ClientAsk::forwards([forward]).with_args(args));
    visitor.exchange(4 * MIB).unwrap();
    let log = client.process.errors();
    assert!(log.contains(agreed), "{agreed} is not in: {log}");
    target.check();
}

/// A server of asyncssh, from the environment that `./check` makes.
const COMPRESSING: &str = r#"
import asyncio, asyncssh, sys
port, host_key, keys, compression = sys.argv[1:]
class Server(asyncssh.SSHServer):
    def connection_requested(self, *where):
        return True
async def main():
    server = await asyncssh.listen("127.0.0.1", int(port), server_factory=Server, server_host_keys=[host_key],
                                   authorized_client_keys=keys, compression_algs=[compression])
    await server.wait_closed()
asyncio.run(main())
"#;

#[test]
fn server_that_has_nothing_but_zlib_is_served() {
    let pairing = need!(Pairing::new(&Adit, &Asyncssh));
    let scratch = pairing.scratch();
    for compression in ["zlib", "zlib@openssh.com"] {
        let port = free_port();
        let mut command = Command::new(missing::target_dir().join("interop-venv/bin/python"));
        command.args(["-c", COMPRESSING, &port.to_string()]);
        command
            .arg(scratch.host_key())
            .arg(scratch.authorized_keys());
        command.arg(compression);
        let _server = Process::start("compressing", command, scratch.path()).unwrap();
        wait_for(port);
        let target = Target::tcp();
        let forward = Forward::local(Address::loopback(free_port()), target.address().clone());
        let visitor = Visitor::new(forward.listen().clone());
        let client = Client::start(&Adit, scratch, port, &ClientAsk::forwards([forward]));
        visitor.exchange(MIB).unwrap();
        let log = client.process.errors();
        assert!(
            log.contains(&format!("compression: {compression}\n")),
            "{log}"
        );
        target.check();
    }
}

/// A server of paramiko that names no method in its refusals, and takes the right key or nothing.
const NAMES_NO_METHOD: &str = r#"
import paramiko, socket, sys
port, host_key, verdict = sys.argv[1:]
class Server(paramiko.ServerInterface):
    def get_allowed_auths(self, username):
        return ""
    def check_auth_publickey(self, username, key):
        return paramiko.AUTH_SUCCESSFUL if verdict == "takes" else paramiko.AUTH_FAILED
listener = socket.create_server(("127.0.0.1", int(port)))
connections = []
while True:
    transport = paramiko.Transport(listener.accept()[0])
    transport.add_server_key(paramiko.Ed25519Key(filename=host_key))
    connections.append(transport)
    try:
        transport.start_server(server=Server())
    except (paramiko.SSHException, EOFError):
        pass
"#;

#[test]
fn server_that_names_no_method_is_tried_with_our_own_list() {
    let pairing = need!(Pairing::new(&Adit, &Paramiko));
    let scratch = pairing.scratch();
    for verdict in ["takes", "refuses"] {
        let port = free_port();
        let mut command = Command::new(missing::target_dir().join("interop-venv/bin/python"));
        command.args(["-c", NAMES_NO_METHOD, &port.to_string()]);
        command.arg(scratch.host_key()).arg(verdict);
        let _server = Process::start("unnamed", command, scratch.path()).unwrap();
        wait_for(port);
        let mut client = Client::launch(&Adit, scratch, port, &ClientAsk::args(&[]));
        if verdict == "takes" {
            let found = client.process.wait_for_errors("the login", |log| {
                log.contains("Authenticated to").then_some(())
            });
            found.unwrap();
            continue;
        }
        let (code, log) = client.end();
        assert_eq!(code, Some(255), "{log}");
        let said = "Permission denied (publickey,keyboard-interactive,password).";
        assert!(log.contains(said), "{log}");
    }
}

fn wait_for(port: u16) {
    let address = Address::loopback(port);
    let listening = wait::until("a listener", || {
        accepts(&address).map_err(|error| Pending::NotYet(error.to_string()))
    });
    listening.unwrap();
}
