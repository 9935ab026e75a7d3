//! Blocks that apply: `Host`, `Match`, and the second reading with the host's final name.

use super::*;

#[test]
fn host_blocks_match_the_host_as_typed() {
    assert_applies(&[
        ("Host web", true),
        ("Host WEB", false),
        ("Host a web", true),
        ("Host w?b", true),
        ("Host * !web", false),
        ("Host !web *", false),
        ("Host * !other", true),
        ("Host !other", false),
        ("Host web # other", true),
        ("HostName real\nHost real", false),
        ("Host other\nHost web", true),
        ("Host web\nHost other", false),
    ]);
}

/// Asserts for each text whether a line after it applies to the host `web`.
fn assert_applies(table: &[(&str, bool)]) {
    for &(block, expected) in table {
        let got = options(&format!("{block}\n  Port 7\n"));
        assert_eq!(got.port == Some(7), expected, "{block}");
    }
}

#[test]
fn match_blocks_need_every_criterion() {
    assert_applies(&[
        ("Match all", true),
        ("Match !all", false),
        ("Match host web", true),
        ("Match host WEB", true),
        ("Match host=web", true),
        ("Match !host web", false),
        ("Match host a,w*,!x", true),
        ("Match host *,!web", false),
        ("HostName %h.example\nMatch host web.example", true),
        ("HostName %h.example\nMatch originalhost web", true),
        ("HostName %h.example\nMatch host web", false),
        ("Match user eve", true),
        ("User bob\nMatch user bob localuser eve", true),
        ("User bob\nMatch user eve", false),
        ("Match host web user bob", false),
        ("Match host other exec nonsense", false),
        ("Match canonical", false),
        ("Match canonical all", false),
        ("Match !canonical", true),
        ("Match !final", true),
        ("Match final", true),
        ("Match final all", true),
        ("Match final host web", true),
        ("Match final host other", false),
        ("Match localnetwork 192.0.2.0/24", true),
        ("Match localnetwork 10.0.0.0/8,fe80::/10", true),
        ("Match localnetwork 10.0.0.0/8", false),
        ("Match !localnetwork 10.0.0.0/8", true),
        ("Tag work\nMatch tagged work", true),
        ("Tag work\nMatch tagged home,w*", true),
        ("Tag work\nMatch tagged home", false),
        ("Match tagged work", false),
        ("Match tagged \"\"", true),
        ("Match command \"\"", true),
        ("Match command x*", false),
        ("Match sessiontype shell", true),
        ("SessionType none\nMatch sessiontype none", true),
        ("Match version adit_*", true),
        ("Match version OpenSSH_*", false),
    ]);
}

#[test]
fn match_exec_asks_the_command_with_its_tokens_filled_in() {
    assert_applies(&[
        ("Match exec true", true),
        ("Match exec=true", true),
        ("Match !exec true", false),
        ("Match exec false", false),
        ("Match !exec false", true),
        ("Match exec \"is %h web\"", true),
        (
            "HostName %h.example\nMatch exec \"is %h web.example\"",
            true,
        ),
        ("HostName %h.example\nMatch exec \"is %n web\"", true),
        ("Match exec \"is %r eve\"", true),
        (
            "User bob\nMatch exec \"is %r:%p:%u:%i bob:22:eve:1000\"",
            true,
        ),
        ("Match exec \"is %L/%l mine/mine.example.org\"", true),
        (
            "HostKeyAlias a\nProxyJump x,y@jump\nMatch exec \"is %k.%j a.jump\"",
            true,
        ),
        ("Match exec \"is %%%d %%/home/eve\"", true),
    ]);
}

#[test]
fn a_command_runs_only_where_its_block_could_apply() {
    // OpenSSH does not run the command either when an earlier criterion fails.
    for text in [
        "Match host other exec nonsense\nPort 7\n",
        "Match user bob final exec nonsense\nPort 7\n",
    ] {
        assert_eq!(options(text).port, None, "{text}");
    }
    let said = complaints("Match exec nonsense\nPort 7\n");
    assert_eq!(
        said,
        ["/home/eve/.ssh/config: line 1: Bad Match condition: \
             exec \"nonsense\": there is no such command"]
    );
}

#[test]
fn match_lines_that_make_no_sense_are_errors() {
    for line in [
        "Match foo x",
        "Match host",
        "Match all host web",
        "Match host web all",
        "Match # x",
        "Match exec",
        "Match exec \"\"",
        "Match exec nonsense",
        "Match exec \"true %q\"",
        "HostName $(x)\nMatch exec \"is %h x\"",
        "Match localnetwork 10.0.0.1/8",
        "Match localnetwork 10.1",
        "Match localnetwork ::ffff:10.0.0.1",
    ] {
        assert!(complaints(line)[0].contains(": "), "{line}");
    }
}

#[test]
fn final_pass_sees_the_final_name_and_keeps_what_is_set() {
    let got = options(
        "Host web.example\nUser late\nHost web\nHostName %h.Example\nPort 1\n\
         Match final host web.example\nPort 2\nProxyJump gw\n",
    );
    assert_eq!((got.port, got.user.as_deref()), (Some(1), Some("late")));
    assert!(matches!(got.proxy_jump, Some(ProxyJump::Through(_))));
    assert_eq!(got.host_name.as_deref(), Some("web.example"));
    // `!final` asks for one as well, and holds in the first reading only.
    let got = options(
        "Host web.example\nUser late\nHost web\nHostName web.example\nMatch !final\nPort 1\n",
    );
    assert_eq!((got.port, got.user.as_deref()), (Some(1), Some("late")));
    // The lines count once, and so do the warnings.
    let text = "LocalForward 1 a:1\nControlMaster yes\nMatch final\nDynamicForward 2\n";
    let (got, said) = load(text).unwrap();
    assert_eq!((got.forwards.len(), said.len()), (2, 1));
}

#[test]
fn host_names_are_completed_where_that_is_asked_for() {
    let domains = "CanonicalDomains example.com example.org\n";
    let table = [
        ("CanonicalizeHostname yes\n", Some("web.example.org")),
        ("CanonicalizeHostname always\n", Some("web.example.org")),
        ("CanonicalizeHostname no\n", None),
        ("", None),
        ("CanonicalizeHostname yes\nProxyJump gw\n", Some("web")),
        (
            "CanonicalizeHostname always\nProxyJump gw\n",
            Some("web.example.org"),
        ),
        ("CanonicalizeHostname yes\nHostName a.b.c\n", Some("a.b.c")),
        (
            "CanonicalizeHostname yes\nHostName Web.Example.org.\n",
            Some("web.example.org"),
        ),
        (
            "CanonicalizeHostname yes\nHostName unknown\n",
            Some("unknown"),
        ),
        ("CanonicalizeHostname yes\nHostName 0:0::1\n", Some("::1")),
        (
            "CanonicalizeHostname yes\nHostName fe80::1%%eth0\n",
            Some("fe80::1%%eth0"),
        ),
    ];
    for (text, expected) in table {
        let text = format!("{text}{domains}Match canonical\nPort 7\n");
        let got = options(&text);
        assert_eq!(got.host_name.as_deref(), expected, "{text}");
        assert_eq!(got.port == Some(7), expected.is_some(), "{text}");
    }
    let strict =
        format!("CanonicalizeHostname yes\nCanonicalizeFallbackLocal no\nHostName x\n{domains}");
    let error = load(&strict).unwrap_err().to_string();
    assert!(error.contains("cannot resolve host \"x\""), "{error}");
}
