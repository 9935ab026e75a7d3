//! The permission matrix, as tables.

use super::*;

fn list(entries: &[(&str, u16)]) -> RuleList {
    let rule = |&(host, port): &(&str, u16)| HostPortRule {
        host: host.to_owned(),
        // 0 stands for `*` in these tables.
        port: match port {
            0 => PortRule::Any,
            port => PortRule::Exactly(port),
        },
    };
    RuleList::Only(entries.iter().map(rule).collect())
}

fn grant(change: impl FnOnce(&mut ServerRules, &mut KeyRules)) -> Grant {
    let mut server = ServerRules::openssh_defaults();
    let mut key = KeyRules::unrestricted();
    change(&mut server, &mut key);
    Grant::new(server, key, Account::ORDINARY)
}

fn connect(host: &str, port: u16) -> Ask<'_> {
    Ask::Connect { host, port }
}

fn listen(host: &str, port: u16) -> Ask<'_> {
    Ask::Listen { host, port }
}

fn dial<'a>(host: &'a str, addr: &str) -> Ask<'a> {
    let addr = addr.parse().unwrap();
    Ask::Dial { host, addr }
}

const UNIX: Ask<'static> = Ask::ConnectUnix { path: "/run/db" };
const LISTEN_UNIX: Ask<'static> = Ask::ListenUnix { path: "/tmp/s" };

/// True for each of connect, dial, connect-unix, listen, listen-unix that passes.
fn passes(grant: &Grant) -> [bool; 5] {
    let dial = dial("db", "192.0.2.1:5432");
    let asks = [
        connect("db", 5432),
        dial,
        UNIX,
        listen("localhost", 8080),
        LISTEN_UNIX,
    ];
    asks.map(|ask| grant.permit(&ask).is_ok())
}

#[test]
fn switches_open_and_close_directions() {
    use AllowForwarding::{Local, No, Remote, Yes};
    let table = [
        (Yes, Yes, [true, true, true, true, true]),
        (No, Yes, [false; 5]),
        (Yes, No, [true, true, false, true, false]),
        (Local, Local, [true, true, true, false, false]),
        (Remote, Remote, [false, false, false, true, true]),
        (Local, Remote, [true, true, false, false, false]),
        (No, No, [false; 5]),
    ];
    for (tcp, stream_local, expected) in table {
        let grant = grant(|server, _| {
            server.allow_tcp = tcp;
            server.allow_stream_local = stream_local;
        });
        assert_eq!(passes(&grant), expected, "{tcp:?} {stream_local:?}");
    }
}

/// Keys by what stands before them in `authorized_keys`, and whether each still lets through a
/// connection to a unix socket and a listener on one.
fn key_options() -> [(&'static str, [bool; 2]); 7] {
    [
        ("", [true, true]),
        ("restrict", [false, false]),
        ("no-port-forwarding", [false, false]),
        ("restrict,port-forwarding", [true, true]),
        (r#"permitopen="db:1""#, [false, true]),
        (r#"permitopen="*:*""#, [true, true]),
        (r#"permitlisten="1""#, [true, true]),
    ]
}

fn key_rules(options: &str) -> KeyRules {
    match options {
        "restrict" | "no-port-forwarding" => KeyRules {
            port_forwarding: Forwarding::Disabled,
            ..KeyRules::unrestricted()
        },
        r#"permitopen="db:1""# => KeyRules {
            permit_open: list(&[("db", 1)]),
            ..KeyRules::unrestricted()
        },
        r#"permitopen="*:*""# => KeyRules {
            permit_open: list(&[("*", 0)]),
            ..KeyRules::unrestricted()
        },
        r#"permitlisten="1""# => KeyRules {
            permit_listen: list(&[("*", 1)]),
            ..KeyRules::unrestricted()
        },
        _ => KeyRules::unrestricted(),
    }
}

/// The table that `interop/tests/unix_sockets.rs` holds against a stock sshd.
#[test]
fn unix_sockets_need_both_switches_for_their_direction() {
    use AllowForwarding::{Local, No, Remote, Yes};
    // AllowTcpForwarding, AllowStreamLocalForwarding, a connection, a listener.
    let switches = [
        (Yes, Yes, [true, true]),
        (Yes, No, [false, false]),
        (Yes, Local, [true, false]),
        (Yes, Remote, [false, true]),
        (No, Yes, [false, false]),
        (No, No, [false, false]),
        (No, Local, [false, false]),
        (No, Remote, [false, false]),
        (Local, Yes, [true, false]),
        (Local, No, [false, false]),
        (Local, Local, [true, false]),
        (Local, Remote, [false, false]),
        (Remote, Yes, [false, true]),
        (Remote, No, [false, false]),
        (Remote, Local, [false, false]),
        (Remote, Remote, [false, true]),
    ];
    for (tcp, stream_local, by_switches) in switches {
        for (options, by_key) in key_options() {
            for forwarding in [Forwarding::Allowed, Forwarding::Disabled] {
                let mut server = ServerRules::openssh_defaults();
                server.allow_tcp = tcp;
                server.allow_stream_local = stream_local;
                server.disable_forwarding = forwarding;
                let grant = Grant::new(server, key_rules(options), Account::ORDINARY);
                let answers = [UNIX, LISTEN_UNIX].map(|ask| grant.permit(&ask).is_ok());
                let on = forwarding == Forwarding::Allowed;
                let expected = [0, 1].map(|i| on && by_switches[i] && by_key[i]);
                let row = format!("{tcp:?} {stream_local:?} {options} {forwarding:?}");
                assert_eq!(answers, expected, "{row}");
            }
        }
    }
}

#[test]
fn disabled_forwarding_refuses_everything_on_either_side() {
    let by_server = grant(|server, _| server.disable_forwarding = Forwarding::Disabled);
    assert_eq!(passes(&by_server), [false; 5]);
    let denied = by_server.permit(&UNIX);
    assert_eq!(denied, Err(Denied::ForwardingDisabled));

    let by_key = grant(|_, key| key.port_forwarding = Forwarding::Disabled);
    assert_eq!(passes(&by_key), [false; 5]);
    let denied = by_key.permit(&LISTEN_UNIX);
    assert_eq!(denied, Err(Denied::KeyForbidsForwarding));
}

#[test]
fn open_lists_compare_addresses_and_names() {
    let table: &[(RuleList, &str, u16, bool)] = &[
        (RuleList::Any, "x", 1, true),
        (RuleList::None, "x", 1, false),
        (list(&[]), "x", 1, false),
        (list(&[("db", 5432)]), "db", 5432, true),
        (list(&[("db", 5432)]), "db", 5433, false),
        (list(&[("db", 5432)]), "DB", 5432, false),
        (list(&[("db", 5432)]), "db.", 5432, false),
        (list(&[("localhost", 80)]), "127.0.0.1", 80, false),
        (list(&[("db*", 80)]), "db1", 80, false),
        (list(&[("db", 0)]), "db", 9, true),
        (list(&[("*", 80)]), "anything", 80, true),
        (list(&[("*", 80)]), "anything", 81, false),
        (list(&[("*", 0)]), "anything", 81, true),
        (list(&[("a", 1), ("::1", 2)]), "::1", 2, true),
        (list(&[("::1", 2)]), "0:0:0:0:0:0:0:1", 2, true),
        (list(&[("2001:DB8::A", 2)]), "2001:db8:0::a", 2, true),
        (list(&[("127.0.0.1", 2)]), "127.1", 2, false),
        (list(&[("127.0.0.1", 2)]), "::ffff:127.0.0.1", 2, false),
    ];
    for (list, host, port, expected) in table {
        let by_server = grant(|server, _| server.permit_open = list.clone());
        let by_key = grant(|_, key| key.permit_open = list.clone());
        let ask = connect(host, *port);
        for grant in [by_server, by_key] {
            assert_eq!(
                grant.permit(&ask).is_ok(),
                *expected,
                "{list:?} {host}:{port}"
            );
        }
    }
}

#[test]
fn both_open_lists_must_match() {
    let grant = grant(|server, key| {
        server.permit_open = list(&[("a", 1), ("b", 1)]);
        key.permit_open = list(&[("b", 1), ("c", 1)]);
    });
    assert_eq!(grant.permit(&connect("b", 1)), Ok(()));
    let owner = |host| match grant.permit(&connect(host, 1)) {
        Err(Denied::OpenNotListed { list, .. }) => list,
        other => panic!("{other:?}"),
    };
    assert_eq!(owner("a"), ListOwner::Key);
    assert_eq!(owner("c"), ListOwner::Server);
}

#[test]
fn open_lists_block_unix_targets_unless_they_hold_star_star() {
    for (list, expected) in [
        (RuleList::Any, true),
        (RuleList::None, false),
        (list(&[("db", 1)]), false),
        (list(&[("*", 80)]), false),
        (list(&[("db", 0)]), false),
        (list(&[("db", 1), ("*", 0)]), true),
    ] {
        let by_server = grant(|server, _| server.permit_open = list.clone());
        let by_key = grant(|_, key| key.permit_open = list.clone());
        for grant in [by_server, by_key] {
            assert_eq!(grant.permit(&UNIX).is_ok(), expected, "{list:?}");
            assert_eq!(grant.permit(&LISTEN_UNIX), Ok(()), "{list:?}");
        }
    }
}

#[test]
fn listen_lists_are_addresses_or_patterns_on_the_string_the_client_sent() {
    let table: &[(RuleList, &str, u16, bool)] = &[
        (RuleList::Any, "", 8080, true),
        (RuleList::None, "", 8080, false),
        (list(&[("*", 8080)]), "", 8080, true),
        (list(&[("*", 8080)]), "localhost", 8081, false),
        (list(&[("localhost", 8080)]), "localhost", 8080, true),
        (list(&[("localhost", 8080)]), "LocalHost", 8080, true),
        (list(&[("localhost", 8080)]), "127.0.0.1", 8080, false),
        (list(&[("localhost", 8080)]), "", 8080, false),
        (list(&[("10.0.0.?", 8080)]), "10.0.0.7", 8080, true),
        (list(&[("10.0.0.?", 8080)]), "10.0.0.77", 8080, false),
        (list(&[("::1", 8080)]), "0:0::1", 8080, true),
        (list(&[("127.0.0.1", 8080)]), "127.0.0.01", 8080, false),
        (list(&[("localhost", 0)]), "localhost", 0, true),
        (list(&[("localhost", 8080)]), "localhost", 0, false),
    ];
    for (list, host, port, expected) in table {
        let by_server = grant(|server, _| server.permit_listen = list.clone());
        let by_key = grant(|_, key| key.permit_listen = list.clone());
        let ask = listen(host, *port);
        for grant in [by_server, by_key] {
            assert_eq!(
                grant.permit(&ask).is_ok(),
                *expected,
                "{list:?} {host}:{port}"
            );
            assert_eq!(grant.permit(&LISTEN_UNIX), Ok(()), "{list:?}");
            assert_eq!(grant.permit(&connect("x", 1)), Ok(()), "{list:?}");
        }
    }
}

#[test]
fn privileged_ports_need_root() {
    let rules = || (ServerRules::openssh_defaults(), KeyRules::unrestricted());
    let low = Account::Ordinary {
        first_unprivileged_port: 80,
    };
    for (account, port, expected) in [
        (Account::ORDINARY, 0, true),
        (Account::ORDINARY, 1, false),
        (Account::ORDINARY, 1023, false),
        (Account::ORDINARY, 1024, true),
        (low, 79, false),
        (low, 80, true),
        (Account::Root, 1, true),
    ] {
        let (server, key) = rules();
        let grant = Grant::new(server, key, account);
        let answer = grant.permit(&listen("localhost", port));
        assert_eq!(answer.is_ok(), expected, "{account:?} {port}");
    }
}

#[test]
fn dialled_addresses_follow_the_list() {
    let names = list(&[("db", 80), ("localhost", 80), ("app.localhost", 80)]);
    let with_literal = list(&[("db", 80), ("127.0.0.1", 80), ("169.254.169.254", 81)]);
    let star = list(&[("*", 80)]);
    let any = RuleList::Any;
    let table: &[(&RuleList, &str, &str, bool)] = &[
        (&names, "db", "10.0.0.1:80", true),
        (&names, "db", "[2001:db8::1]:80", true),
        (&names, "db", "10.0.0.1:81", false),
        (&names, "web", "10.0.0.1:80", false),
        (&names, "db", "127.0.0.1:80", false),
        (&names, "db", "127.0.0.53:80", false),
        (&names, "db", "127.0.1.1:80", true),
        (&names, "db", "[::1]:80", false),
        (&names, "db", "[::ffff:127.0.0.1]:80", false),
        (&names, "db", "0.0.0.0:80", false),
        (&names, "db", "[::]:80", false),
        (&names, "db", "224.0.0.1:80", false),
        (&names, "db", "255.255.255.255:80", false),
        (&names, "db", "169.254.169.254:80", false),
        (&names, "db", "[fd00:ec2::254]:80", false),
        (&names, "localhost", "127.0.0.1:80", true),
        (&names, "localhost", "[::1]:80", true),
        (&names, "localhost", "0.0.0.0:80", false),
        (&names, "app.localhost", "127.0.0.1:80", true),
        (&with_literal, "db", "127.0.0.1:80", true),
        (&with_literal, "db", "169.254.169.254:80", false),
        (&with_literal, "db", "[::1]:80", false),
        (&with_literal, "127.0.0.1", "127.0.0.1:80", true),
        (&with_literal, "127.0.0.1", "10.0.0.1:80", false),
        (&star, "db", "127.0.0.1:80", true),
        (&any, "db", "0.0.0.0:80", true),
        (&any, "db", "127.0.0.1:80", true),
        (&any, "::ffff:10.0.0.1", "10.0.0.1:80", true),
        (&any, "fe80::1%eth0", "[fe80::1]:80", true),
        (&any, "10.0.0.1", "10.0.0.2:80", false),
    ];
    for &(list, host, addr, expected) in table {
        let by_server = grant(|server, _| server.permit_open = list.clone());
        let by_key = grant(|_, key| key.permit_open = list.clone());
        for grant in [by_server, by_key] {
            let answer = grant.permit(&dial(host, addr));
            assert_eq!(answer.is_ok(), expected, "{list:?} {host} {addr}");
        }
    }
}

#[test]
fn refusals_name_the_rule_and_escape_what_the_peer_sent() {
    let grant = grant(|server, key| {
        server.permit_open = list(&[("db", 1)]);
        key.permit_listen = RuleList::None;
    });
    let text = |ask: Ask<'_>| grant.permit(&ask).unwrap_err().to_string();
    assert_eq!(
        text(connect("ev\nil", 1)),
        "the server's PermitOpen does not list ev\\u{a}il:1"
    );
    assert_eq!(
        text(connect("::1", 1)),
        "the server's PermitOpen does not list [::1]:1"
    );
    assert_eq!(
        text(listen("", 8080)),
        "the key's permitlisten does not list :8080"
    );
    assert_eq!(
        text(UNIX),
        "the server's PermitOpen is set, so that unix sockets like /run/db are refused"
    );
    assert_eq!(
        text(dial("db", "127.0.0.1:1")),
        "db resolved to 127.0.0.1, the server itself, \
         which the server's PermitOpen does not list by itself"
    );
}
