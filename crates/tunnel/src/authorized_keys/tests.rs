//! Lines of `authorized_keys` and what they allow.

use std::sync::LazyLock;

use super::*;
use crate::policy::{Forwarding, HostPortRule, Permission, PortRule, RuleList};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZK";

static UTC: LazyLock<LocalZone> = LazyLock::new(LocalZone::utc);

/// 2026-11-23 10:45 UTC.
fn clock() -> Clock<'static> {
    let now = UnixTime(1_795_430_700);
    Clock { now, zone: &UTC }
}

fn blob() -> Vec<u8> {
    key::blob(KEY).unwrap()
}

fn ask(text: impl AsRef<[u8]>) -> Lookup {
    lookup(text.as_ref(), &blob(), clock(), "192.0.2.7".parse().ok())
}

/// The options of one line `options KEY`.
fn options(options: &str) -> Result<KeyOptions, Unusable> {
    let mut answer = ask(format!("{options} {KEY} me@home\n"));
    match answer.authorized {
        Some(authorized) => Ok(authorized.options),
        None => Err(answer.skipped.remove(0).reason),
    }
}

fn rule(host: &str, port: PortRule) -> HostPortRule {
    let host = host.to_owned();
    HostPortRule { host, port }
}

#[test]
fn key_without_options_is_found_on_its_line() {
    let text = format!("# comment\n\n{OTHER} other\r\n  \t{KEY} me\r\n");
    let answer = ask(text);
    assert_eq!(answer.skipped, []);
    let authorized = answer.authorized.unwrap();
    assert_eq!(authorized.line, 4);
    assert_eq!(authorized.options, KeyOptions::none());
}

#[test]
fn absent_and_commented_keys_are_not_found() {
    for text in [
        String::new(),
        format!("{OTHER}\n"),
        format!("# {KEY}\n"),
        format!("#{KEY}\n"),
        KEY.replacen("ssh-ed25519", "ssh-rsa", 1),
        KEY.replacen("ssh-ed25519 ", "", 1),
        format!("unfinished=\"{KEY}\n"),
        "ssh-ed25519 !!!\n".to_owned(),
    ] {
        let answer = ask(&text);
        assert_eq!(answer.authorized, None, "{text}");
        assert_eq!(answer.skipped, [], "{text}");
    }
}

#[test]
fn text_that_is_not_utf8_harms_only_options() {
    let mut text = format!("{KEY} caf").into_bytes();
    text.extend(b"\xe9\n");
    assert!(ask(&text).authorized.is_some());

    let mut text = b"command=\"caf\xe9\" ".to_vec();
    text.extend(KEY.as_bytes());
    let reason = &ask(&text).skipped[0].reason;
    assert_eq!(*reason, Unusable::BadOptions(BadOptions::Syntax));
}

#[test]
fn restrict_and_its_relatives_switch_forwarding_in_order() {
    use Forwarding::{Allowed, Disabled};
    for (text, expected) in [
        ("restrict", Disabled),
        ("no-port-forwarding", Disabled),
        ("port-forwarding", Allowed),
        ("restrict,port-forwarding", Allowed),
        ("port-forwarding,restrict", Disabled),
        ("RESTRICT,Port-Forwarding", Allowed),
        ("restrict,pty", Disabled),
    ] {
        let found = options(text).unwrap().rules.port_forwarding;
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn switches_of_a_session_are_set_by_the_last_that_names_them() {
    use Permission::{Granted, Refused};
    for (text, terminal, user_rc) in [
        ("no-pty", Refused, Granted),
        ("no-user-rc", Granted, Refused),
        ("restrict", Refused, Refused),
        ("restrict,pty", Granted, Refused),
        ("restrict,user-rc", Refused, Granted),
        ("pty,user-rc,restrict", Refused, Refused),
        ("no-pty,PTY", Granted, Granted),
    ] {
        let options = options(text).unwrap();
        assert_eq!(options.terminal, terminal, "{text}");
        assert_eq!(options.user_rc, user_rc, "{text}");
    }
}

#[test]
fn options_that_adit_has_no_use_for_change_nothing() {
    for text in [
        "no-pty,pty",
        "agent-forwarding,no-agent-forwarding",
        "X11-forwarding,no-X11-forwarding",
        "no-user-rc,user-rc",
        "no-touch-required,touch-required,no-verify-required",
    ] {
        assert_eq!(options(text), Ok(KeyOptions::none()), "{text}");
    }
}

#[test]
fn permitopen_and_permitlisten_collect_rules() {
    let text = "permitopen=\"db:5432\",permitopen=\"[::1]:*\",PermitOpen=\"*:80\",\
                permitlisten=\"8080\",permitlisten=\"localhost:*\"";
    let rules = options(text).unwrap().rules;
    let open = RuleList::Only(vec![
        rule("db", PortRule::Exactly(5432)),
        rule("::1", PortRule::Any),
        rule("*", PortRule::Exactly(80)),
    ]);
    let listen = RuleList::Only(vec![
        rule("*", PortRule::Exactly(8080)),
        rule("localhost", PortRule::Any),
    ]);
    assert_eq!(rules.permit_open, open);
    assert_eq!(rules.permit_listen, listen);
    assert_eq!(rules.port_forwarding, Forwarding::Allowed);

    let only_listen = options("permitlisten=\"1\"").unwrap().rules;
    assert_eq!(only_listen.permit_open, RuleList::Any);
}

#[test]
fn command_and_environment_are_kept() {
    let text =
        r#"command="echo \"a, b\" \\ c",environment="A=1",environment="A=2",environment="B_1=x=y""#;
    let options = options(text).unwrap();
    assert_eq!(options.command.as_deref(), Some(r#"echo "a, b" \\ c"#));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(options.environment, [pair("A", "1"), pair("B_1", "x=y")]);
    assert_eq!(options.rules, KeyRules::unrestricted());
}

#[test]
fn unknown_and_malformed_options_make_the_line_unusable() {
    for text in [
        "no-such-option",
        "no-restrict",
        "restrict,",
        ",restrict",
        "restrict,,pty",
        "restrict=\"yes\"",
        "pty=yes",
        "command",
        "command=ls",
        "command=\"ls\"x",
        "command=\"a\",command=\"b\"",
        "from=\"192.0.2.7\",from=\"192.0.2.7\"",
        "from=192.0.2.7",
        "from=\"\"",
        "from=\"192.0.2.7,\"",
        "from=\"192.0.2.7/24\"",
        "from=\"192.0.2.0/33\"",
        "from=\"!127.1,*\"",
        "from=\"!0x7f.0.0.1,*\"",
        "from=\"!127.0.0.01,*\"",
        "from=\"10.0.0.256\"",
        "from=\"1.2.3/33\"",
        "from=\"::ffff:127.0.0.1\"",
        "from=\"!fe80::1%eth0,*\"",
        "expiry-time=\"tomorrow\"",
        "expiry-time=\"2026\"",
        "environment=\"A\"",
        "environment=\"A-B=1\"",
        "environment=\"=1\"",
        "permitopen=\"db\"",
        "permitopen=\"8080\"",
        "permitopen=\"db:\"",
        "permitopen=\":80\"",
        "permitopen=\"db:0\"",
        "permitopen=\"db:65536\"",
        "permitopen=\"db:http\"",
        "permitopen=\"db:+80\"",
        "permitopen=\"::1:80\"",
        "permitopen=\"[::1]80\"",
        "permitopen=\"[::1:80\"",
        "permitopen=\"127.1:80\"",
        "permitlisten=\"127.0.0.01:80\"",
        "permitlisten=\"\"",
        "permitlisten=\"localhost:\"",
    ] {
        match options(text) {
            Err(Unusable::BadOptions(_)) => {}
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn options_that_adit_cannot_honour_make_the_line_unusable() {
    for (text, what) in [
        ("cert-authority", Unsupported::Certificates),
        ("cert-authority,principals=\"a\"", Unsupported::Certificates),
        ("principals=\"a\"", Unsupported::Certificates),
        ("tunnel=\"0\"", Unsupported::Tunnel),
        ("verify-required", Unsupported::VerifyRequired),
    ] {
        let reason = Unusable::BadOptions(BadOptions::Unsupported(what));
        assert_eq!(options(text), Err(reason), "{text}");
    }
}

#[test]
fn from_matches_addresses_networks_and_wildcards() {
    for (list, peer, expected) in [
        ("192.0.2.7", "192.0.2.7", true),
        ("192.0.2.7", "192.0.2.8", false),
        ("192.0.2.7", "::ffff:192.0.2.7", true),
        ("192.0.2.0/24", "192.0.2.200", true),
        ("192.0.2.0/24", "192.0.3.1", false),
        ("192.0.2.*", "192.0.2.9", true),
        ("192.0.2.?", "192.0.2.19", false),
        ("*", "2001:db8::1", true),
        ("2001:db8::/32", "2001:db8::1", true),
        ("2001:DB8:*", "2001:db8::1", true),
        ("2001:db8:0:0::1", "2001:db8::1", true),
        ("!0:0:0:0:0:0:0:1,*", "::1", false),
        ("!0000::0001,*", "::1", false),
        ("*,!192.0.2.7", "192.0.2.7", false),
        ("!192.0.2.7,*", "192.0.2.8", true),
        ("192.0.2.0/24,!192.0.2.128/25", "192.0.2.130", false),
        ("!192.0.2.7", "192.0.2.8", false),
        ("host.example.com,*.example.com", "192.0.2.7", false),
        ("host.example.com,192.0.2.7", "192.0.2.7", true),
    ] {
        let text = format!("from=\"{list}\" {KEY}");
        let peer: IpAddr = peer.parse().unwrap();
        let answer = lookup(text.as_bytes(), &blob(), clock(), Some(peer));
        assert_eq!(answer.authorized.is_some(), expected, "{list} {peer}");
    }
}

#[test]
fn unknown_peer_matches_no_from() {
    for list in ["*", "UNKNOWN", "0.0.0.0/0,::/0", "!192.0.2.7"] {
        let text = format!("from=\"{list}\" {KEY}");
        let answer = lookup(text.as_bytes(), &blob(), clock(), None);
        assert_eq!(answer.authorized, None, "{list}");
        assert_eq!(answer.skipped[0].reason, Unusable::NotFrom(None));
    }
    assert!(
        lookup(KEY.as_bytes(), &blob(), clock(), None)
            .authorized
            .is_some()
    );
}

#[test]
fn earliest_expiry_counts() {
    for (text, expected) in [
        ("expiry-time=\"20261124\"", true),
        ("expiry-time=\"20261123\"", false),
        ("expiry-time=\"202611231046Z\"", true),
        ("expiry-time=\"20261123104500Z\"", false),
        ("expiry-time=\"20991231\",expiry-time=\"20200101\"", false),
    ] {
        match options(text) {
            Ok(_) => assert!(expected, "{text}"),
            Err(reason) => assert_eq!((reason, expected), (Unusable::Expired, false), "{text}"),
        }
    }
}

#[test]
fn next_line_with_the_key_is_tried_and_reasons_are_kept() {
    let text = format!(
        "nonsense {KEY}\nexpiry-time=\"20200101\" {KEY}\nnonsense {OTHER}\nfrom=\"10.0.0.0/8\" {KEY}\nrestrict {KEY}\n{KEY}\n"
    );
    let answer = ask(text);
    let lines: Vec<_> = answer.skipped.iter().map(|skipped| skipped.line).collect();
    assert_eq!(lines, [1, 2, 4]);
    assert_eq!(
        answer.skipped[0].reason.to_string(),
        "unknown option nonsense"
    );
    let authorized = answer.authorized.unwrap();
    assert_eq!(authorized.line, 5);
    assert_eq!(
        authorized.options.rules.port_forwarding,
        Forwarding::Disabled
    );
}

#[test]
fn blanks_inside_quotes_do_not_end_the_options() {
    let options = options(r#"command="a b	c \" d",no-pty"#).unwrap();
    assert_eq!(options.command.as_deref(), Some("a b\tc \" d"));
}

#[test]
fn report_of_unusable_lines_is_bounded() {
    let text = format!("nonsense {KEY}\n").repeat(MAX_SKIPPED * 3);
    assert_eq!(ask(text).skipped.len(), MAX_SKIPPED);
}
