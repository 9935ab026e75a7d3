//! Mistakes, keywords that are unknown or not supported, and bytes that are no configuration at all.

use super::*;

#[test]
fn what_restricts_or_routes_and_is_not_supported_is_an_error() {
    for (line, says) in [
        ("ProxyCommand nc %h %p", "use ProxyJump"),
        ("ProxyUseFdpass yes", "use ProxyJump"),
        ("BindInterface eth0", "use BindAddress"),
        ("CanonicalizePermittedCNAMEs *:*", "say none"),
        ("KnownHostsCommand /x", "allow more"),
        ("RevokedHostKeys /x", "allow more"),
        ("CheckHostIP yes", "allow more"),
        ("RequiredRSASize 3072", "allow more"),
        ("ChannelTimeout direct-tcpip=5m", "allow more"),
        ("ChannelTimeout session=1m *=5m", "allow more"),
        ("RefuseConnection no", "allow more"),
    ] {
        let said = complaints(&format!("{line}\n"));
        assert!(said[0].contains(says), "{said:?}");
        assert!(
            said[0].starts_with("/home/eve/.ssh/config: line 1: "),
            "{said:?}"
        );
        // Where it would not count, it is none.
        options(&format!("Host other\n{line}\n"));
    }
    for line in [
        "ProxyUseFdpass no",
        "CanonicalizePermittedCNAMEs none",
        "KnownHostsCommand none",
        "CheckHostIP no",
        "RequiredRSASize 2048",
        "ChannelTimeout none",
        "ChannelTimeout session:shell=5m direct-tcpip=0",
        "CASignatureAlgorithms ssh-ed25519",
    ] {
        options(&format!("{line}\n"));
    }
}

#[test]
fn every_mistake_is_reported_with_its_file_and_line() {
    let text = "Foo bar\nPort\nPort abc\nCiphers nope\nPort 22 33\nHost a\n Bar x\nLocalForward 8080:host:80\nUser \"a\nRekeyLimit 5\nCompression maybe\nServerAliveInterval 3q\nStreamLocalBindMask 999\nRemoteForward a:b:c:d:e\n";
    let error = load(text).unwrap_err().to_string();
    let f = "/home/eve/.ssh/config: line";
    let expected = [
        format!("{f} 1: Bad configuration option: foo"),
        format!("{f} 2: no argument after keyword \"Port\""),
        format!("{f} 3: bad value \"abc\" for Port: expected a port from 1 to 65535"),
        format!("{f} 4: unknown cipher algorithm 'nope'"),
        format!("{f} 5: keyword Port extra arguments at end of line: \"33\""),
        format!("{f} 7: Bad configuration option: bar"),
        format!(
            "{f} 8: bad value \"8080:host:80\" for LocalForward: expected a listener and a target, two words"
        ),
        format!("{f} 9: invalid quotes"),
        format!(
            "{f} 10: bad value \"5\" for RekeyLimit: expected default, or a size such as 512M, at least 16"
        ),
        format!("{f} 11: bad value \"maybe\" for Compression: expected yes or no"),
        format!(
            "{f} 12: bad value \"3q\" for ServerAliveInterval: expected a time such as 90, 1m30s or 2h"
        ),
        format!(
            "{f} 13: bad value \"999\" for StreamLocalBindMask: expected an octal mask such as 0177"
        ),
        format!("{f} 14: Bad remote forwarding specification 'a:b:c:d:e': more than four fields"),
        "/home/eve/.ssh/config: terminating, 13 bad configuration options".to_owned(),
    ];
    assert_eq!(error.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn mistakes_are_counted_beyond_what_is_kept() {
    let error = load(&"Foo 1\n".repeat(1000)).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 101);
    assert!(error.ends_with("terminating, 1000 bad configuration options"));
}

#[test]
fn unknown_keywords_may_be_ignored_on_request() {
    let got = complaints("IgnoreUnknown Foo*,Bar\nfoox 1\nbar 2\nbaz 3\n");
    assert_eq!(
        got,
        ["/home/eve/.ssh/config: line 4: Bad configuration option: baz"]
    );
    assert_eq!(complaints("Foo 1\nIgnoreUnknown Foo\n").len(), 1);
}

#[test]
fn unsupported_keywords_warn_only_where_they_would_count() {
    let said = warnings(
        "ControlMaster auto\nHost other\n ControlPath x\n UseRsh yes\n ProxyCommand it's\n",
    );
    assert_eq!(
        said,
        ["/home/eve/.ssh/config: line 1: ControlMaster is not supported and is passed over"]
    );
    assert_eq!(
        warnings("ForwardAgent no\nControlMaster \"no\" # x\nForwardX11 yes\n"),
        [""; 0]
    );
    assert!(warnings("UseRsh yes\n")[0].ends_with("UseRsh is deprecated and is passed over"));
}

#[test]
fn what_protects_and_is_not_supported_is_an_error() {
    assert!(complaints("RevokedHostKeys /x\n")[0].contains("would allow more than the file says"));
    assert_eq!(options("RevokedHostKeys none\n"), ClientOptions::default());
    assert_eq!(
        options("Host other\nRevokedHostKeys /x\n"),
        ClientOptions::default()
    );
}

#[test]
fn lists_that_accumulate_have_a_bound() {
    let lines = |count: usize| {
        (0..count)
            .map(|n| format!("IdentityFile k{n}\n"))
            .collect::<String>()
    };
    assert_eq!(options(&lines(100)).identity_files.len(), 100);
    let said = complaints(&lines(101));
    assert_eq!(
        said,
        ["/home/eve/.ssh/config: line 101: too many entries of IdentityFile"]
    );
}

/// Bytes that no editor would write: whatever comes, an answer comes, and soon.
#[test]
fn no_bytes_make_it_panic() {
    let words: &[&[u8]] = &[
        b"Host ",
        b"Match ",
        b"Include ",
        b"LocalForward ",
        b"\"",
        b"'",
        b"\\",
        b"#",
        b"=",
        b"!",
        b"*",
        b",",
        b":",
        b"[",
        b"]",
        b"/",
        b"%",
        b"${",
        b"}",
        b"~",
        b"\n",
        b"\xff",
        b"\0",
        b" ",
        b"RekeyLimit ",
        b"PermitRemoteOpen ",
        b"ProxyJump ",
        b"Ciphers ",
        b"\xc3\xa9",
        b"all",
        b"host",
        b"9",
        b"-",
        b"^",
    ];
    let mut state = 1_u64;
    for _ in 0..2000 {
        let mut text = Vec::new();
        for _ in 0..40 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text.extend_from_slice(words[(state >> 33) as usize % words.len()]);
        }
        let source = FileSource::memory([("/home/eve/.ssh/config", text)]);
        with_context(&source, |context| {
            let mut options = ClientOptions::default();
            if options.load(&ConfigFiles::Standard, context).is_ok() {
                let _ = options.expanded(context);
            }
        });
    }
}
