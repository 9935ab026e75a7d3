//! Peers that close a channel without EOF (RFC 4254, section 5.3): whatever they sent before arrives, however slowly it
//! is read, and then the end of the stream rather than a reset. OpenSSH does the same with each of them.

use adit_interop::forward::{Address, Forward};
use adit_interop::matrix::Pairing;
use adit_interop::peer::{ClientAsk, Ending, ServerAsk};
use adit_interop::ports::free_port;
use adit_interop::traffic::{MIB, Target, Visitor};

/// From a single byte to more than any window of ours.
const SIZES: [u64; 5] = [1, 20, 100_000, 1_000_000, 3 * MIB];

adit_interop::each_pairing! {
    [local local_from_a_unix_socket dynamic remote remote_to_a_unix_socket]
    adit_to_go: Adit => Go;
    adit_to_ssh2: Adit => Ssh2;
    adit_to_asyncssh: Adit => Asyncssh;
}

adit_interop::each_pairing! {
    [local_to_a_slow_target local_to_a_slow_unix_socket remote_to_a_slow_visitor]
    go_to_aditd: Go => Adit;
    ssh2_to_aditd: Ssh2 => Adit;
    asyncssh_to_aditd: Asyncssh => Adit;
}

adit_interop::each_pairing! {
    [local_to_a_slow_target]
    jsch_to_aditd: Jsch => Adit;
}

fn local(pairing: &Pairing) {
    let target = Target::tcp();
    let listen = Address::loopback(free_port());
    sips(
        pairing,
        &Forward::local(listen.clone(), target.address().clone()),
        &Visitor::new(listen),
    );
    target.check();
}

fn local_from_a_unix_socket(pairing: &Pairing) {
    let target = Target::tcp();
    let listen = Address::unix(&pairing.scratch().file("near"));
    sips(
        pairing,
        &Forward::local(listen.clone(), target.address().clone()),
        &Visitor::new(listen),
    );
    target.check();
}

fn dynamic(pairing: &Pairing) {
    let target = Target::tcp();
    let listen = Address::loopback(free_port());
    let visitor = Visitor::through_socks(listen.clone(), target.address());
    sips(pairing, &Forward::dynamic(listen), &visitor);
    target.check();
}

fn remote(pairing: &Pairing) {
    pours(pairing, &Target::narrow(), Forward::remote);
}

fn remote_to_a_unix_socket(pairing: &Pairing) {
    let target = Target::unix(&pairing.scratch().file("near"));
    pours(pairing, &target, Forward::remote);
}

fn local_to_a_slow_target(pairing: &Pairing) {
    pours(pairing, &Target::narrow(), Forward::local);
}

fn local_to_a_slow_unix_socket(pairing: &Pairing) {
    let target = Target::unix(&pairing.scratch().file("far"));
    pours(pairing, &target, Forward::local);
}

fn remote_to_a_slow_visitor(pairing: &Pairing) {
    let target = Target::tcp();
    let listen = Address::loopback(free_port());
    sips(
        pairing,
        &Forward::remote(listen.clone(), target.address().clone()),
        &Visitor::new(listen),
    );
    target.check();
}

/// The target sends and ends, the peer that is under no test closes the channel, and the visitor reads slowly.
fn sips(pairing: &Pairing, forward: &Forward, visitor: &Visitor) {
    through(pairing, forward, || {
        visitor.sip(&SIZES).unwrap_or_else(|lost| panic!("{lost}"));
    });
}

/// The visitor sends and ends, the peer that is under no test closes the channel, and the target reads slowly.
fn pours(pairing: &Pairing, target: &Target, kind: fn(Address, Address) -> Forward) {
    let listen = Address::loopback(free_port());
    let forward = kind(listen.clone(), target.address().clone());
    through(pairing, &forward, || {
        Visitor::new(listen.clone())
            .pour(&SIZES)
            .unwrap_or_else(|lost| panic!("{lost}"));
        target.wait_for_sips(SIZES.len());
    });
}

/// Brings the forward up between two peers of whom one closes channels alone, and visits it.
fn through(pairing: &Pairing, forward: &Forward, visit: impl FnOnce()) {
    let server_ask = ServerAsk {
        ending: Ending::CloseAlone,
        ..ServerAsk::default()
    };
    let server = pairing.serve(&server_ask);
    let mut ask = ClientAsk::forwards([forward.clone()]);
    ask.ending = Ending::CloseAlone;
    let _client = pairing.connect(&server, &ask);
    visit();
}
