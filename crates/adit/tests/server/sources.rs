//! Addresses whose connections lead to no login: shut out for a while, and told why.

use std::io::Read as _;
use std::net::TcpStream;

use super::*;

#[test]
fn address_whose_logins_fail_is_shut_out_and_told_why() {
    let folder = Folder::new();
    let mut aditd = Aditd::start(&folder, &[]);
    for _ in 0..4 {
        aditd.log_in(&folder, "eve");
    }
    aditd.until("127.0.0.1: shut out for ");
    let why = "too many failed logins from your address, try again in ";
    let output = aditd.log_in(&folder, &LocalAccount::own().unwrap().name);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(why), "{said}");
    let dropped = aditd.until("drop connection #0 from [127.0.0.1]:");
    assert!(
        dropped.ends_with(" penalty: attempted authentication by invalid user"),
        "{dropped}"
    );
    let lines = greeting(&aditd);
    assert!(
        lines.starts_with(&format!("Not allowed at this time: {why}")),
        "{lines}"
    );
}

/// As ssh-audit's test of the rate does, which warns of more than 20 identifications in a second.
#[test]
fn connections_that_lead_to_no_login_are_soon_refused() {
    let folder = Folder::new();
    let aditd = Aditd::start(&folder, &[]);
    let end = Instant::now() + Duration::from_millis(1500);
    let (mut let_in, mut refused) = (0, 0);
    while Instant::now() < end {
        match greeting(&aditd).starts_with("SSH-") {
            true => let_in += 1,
            false => refused += 1,
        }
    }
    assert!((15..=30).contains(&let_in), "{let_in} and {refused}");
    assert!(refused > 0);
}

/// Each has one such line only, and there may be more of them than a disk has room for.
#[tokio::test]
async fn addresses_shut_out_are_named_up_to_a_bound() {
    let folder = Folder::new();
    let mut aditd = Aditd::start(&folder, &["-o", "PerSourcePenalties=noauth:60"]);
    let server = format!("127.0.0.1:{}", aditd.port).parse().unwrap();
    for n in 1..=150 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 1, n], 0).into()).unwrap();
        let stream = socket.connect(server).await.unwrap();
        // Somebody serves it.
        stream.readable().await.unwrap();
    }
    aditd.log_in(&folder, &LocalAccount::own().unwrap().name);
    aditd.until("Accepted publickey for ");
    let lines = aditd.seen.iter();
    let named = lines
        .filter(|line| line.contains(": shut out for "))
        .count();
    assert!((1..=100).contains(&named), "{named}");
}

#[test]
fn penalties_can_be_switched_off() {
    let folder = Folder::new();
    for args in [
        ["-o", "PerSourcePenalties=no"],
        ["-o", "PerSourcePenaltyExemptList=127.0.0.0/8"],
    ] {
        let aditd = Aditd::start(&folder, &args);
        for _ in 0..50 {
            assert!(greeting(&aditd).starts_with("SSH-"));
        }
    }
}

/// The first bytes that the server says.
fn greeting(aditd: &Aditd) -> String {
    let port: u16 = aditd.port.parse().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut bytes = [0; 128];
    let n = stream.read(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes[..n]).into_owned()
}
