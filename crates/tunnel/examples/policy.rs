//! Example: `policy` asks the rules that aditd asks what a key may do, without a socket or a file.

use adit_tunnel::authorized_keys::{Clock, LocalZone, UnixTime, lookup};
use adit_tunnel::policy::{Account, Ask, Grant, ServerRules};

/// A line for somebody who may reach the database until the end of 2029, and nothing else.
const LINE: &str =
    r#"restrict,port-forwarding,permitopen="db:5432",permitlisten="8080",expiry-time="20300101""#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key = adit_proto::key::SigningKey::generate_ed25519()?;
    let public = key.public_key();
    let blob = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, public.blob());
    let file = format!("{LINE} {} {blob} eve@example\n", public.key_type());
    let zone = LocalZone::utc();
    for (year, now) in [
        (2026, UnixTime(1_795_430_700)),
        (2030, UnixTime(1_900_000_000)),
    ] {
        let clock = Clock { now, zone: &zone };
        let found = lookup(file.as_bytes(), public.blob(), clock, None);
        for skipped in &found.skipped {
            println!(
                "{year}: line {} does not count: {}",
                skipped.line, skipped.reason
            );
        }
        let Some(authorized) = found.authorized else {
            continue;
        };
        let rules = ServerRules::openssh_defaults();
        let grant = Grant::new(rules, authorized.options.rules, Account::ORDINARY);
        for ask in [
            Ask::Connect {
                host: "db",
                port: 5432,
            },
            Ask::Connect {
                host: "mail",
                port: 25,
            },
            Ask::Listen {
                host: "localhost",
                port: 8080,
            },
            Ask::Listen {
                host: "localhost",
                port: 80,
            },
        ] {
            match grant.permit(&ask) {
                Ok(()) => println!("{year}: {ask:?}: yes"),
                Err(denied) => println!("{year}: {ask:?}: no, {denied}"),
            }
        }
    }
    Ok(())
}
