//! The client's configuration as a whole: what wins, what is said.

mod blocks;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::config::error::{ConfigError, Warning};
use crate::config::spec::Forward;
use crate::config::values::RekeyLimit;
use crate::policy::{PortRule, RuleList};

/// What Debian ships in `/etc/ssh/ssh_config`, less its comments.
const DEBIAN: &str = "Include /etc/ssh/ssh_config.d/*.conf\n\nHost *\n#   Port 22\n    SendEnv LANG LC_*\n    HashKnownHosts yes\n    GSSAPIAuthentication yes\n";

fn with_context<T>(files: &FileSource, run: impl FnOnce(&Context<'_>) -> T) -> T {
    let variable = |name: &str| (name == "DIR").then(|| "/dir".to_owned());
    run(&Context {
        host: "web",
        local_user: "eve",
        local_uid: 1000,
        local_host: "mine.example.org",
        home: Path::new("/home/eve"),
        files,
        lookups: Lookups {
            variable: &variable,
            exec: &exec,
            resolves: &|name| name == "web.example.org.",
            local_addresses: &|| vec!["192.0.2.9".parse().unwrap(), "fe80::1".parse().unwrap()],
            ..Lookups::none()
        },
    })
}

/// A machine that knows three commands: `true`, `false`, and `is HOST HOST`.
fn exec(command: &str) -> Result<bool, String> {
    match command.split(' ').collect::<Vec<_>>().as_slice() {
        ["true"] => Ok(true),
        ["false"] => Ok(false),
        ["is", one, other] => Ok(one == other),
        _ => Err("there is no such command".to_owned()),
    }
}

fn load_files(files: &[(&str, &str)]) -> Result<(ClientOptions, Vec<Warning>), ConfigError> {
    let source = FileSource::memory(files.iter().map(|&(path, text)| (path, text)));
    with_context(&source, |context| {
        let mut options = ClientOptions::default();
        let warnings = options.load(&ConfigFiles::Standard, context)?;
        Ok((options, warnings))
    })
}

fn load(text: &str) -> Result<(ClientOptions, Vec<Warning>), ConfigError> {
    load_files(&[("/home/eve/.ssh/config", text)])
}

fn options(text: &str) -> ClientOptions {
    let (options, warnings) = load(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(warnings, [], "{text}");
    options
}

fn complaints(text: &str) -> Vec<String> {
    match load(text) {
        Err(ConfigError::BadLines { lines, .. }) => lines.iter().map(ToString::to_string).collect(),
        other => panic!("{text}: {other:?}"),
    }
}

fn warnings(text: &str) -> Vec<String> {
    load(text)
        .unwrap()
        .1
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_first_value_wins_and_lists_accumulate() {
    let got = options(
        "Port 1\nport 2\nIdentityFile a\nIdentityFile b\nIdentityFile a\nUserKnownHostsFile x y\nUserKnownHostsFile z\n",
    );
    assert_eq!(got.port, Some(1));
    assert_eq!(got.identity_files, [Path::new("a"), Path::new("b")]);
    assert_eq!(
        got.user_known_hosts_files,
        Some(vec![PathBuf::from("x"), PathBuf::from("y")])
    );
}

#[test]
fn the_command_line_comes_before_the_users_file_and_that_before_the_systems() {
    let source = FileSource::memory([
        ("/home/eve/.ssh/config", "Port 2\nUser b\n"),
        ("/etc/ssh/ssh_config", "Port 3\nUser c\nCompression yes\n"),
    ]);
    with_context(&source, |context| {
        let mut options = ClientOptions::default();
        options.apply_line("Port=1", context).unwrap();
        options.load(&ConfigFiles::Standard, context).unwrap();
        assert_eq!(
            (options.port, options.user.as_deref(), options.compression),
            (Some(1), Some("b"), Some(true))
        );
    });
}

#[test]
fn one_file_replaces_both_and_must_exist() {
    let source = FileSource::memory([("/f", "Port 5\n"), ("/etc/ssh/ssh_config", "User c\n")]);
    with_context(&source, |context| {
        let mut options = ClientOptions::default();
        options
            .load(&ConfigFiles::Only("/f".into()), context)
            .unwrap();
        assert_eq!((options.port, options.user), (Some(5), None));
        let mut options = ClientOptions::default();
        let error = options
            .load(&ConfigFiles::Only("/g".into()), context)
            .unwrap_err();
        assert!(error.to_string().contains("/g"), "{error}");
        options.load(&ConfigFiles::Nothing, context).unwrap();
        assert_eq!(options, ClientOptions::default());
    });
}

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

/// What Fedora ships in `/etc/ssh/ssh_config.d/50-redhat.conf`, less its comments, and the file of its
/// cryptographic policy.
#[test]
fn fedoras_files_are_read_without_a_word() {
    let redhat = "Match final all\n\tInclude /etc/crypto-policies/back-ends/openssh.config\n\
                  \tGSSAPIAuthentication yes\n\tForwardX11Trusted yes\n";
    let policy = "Ciphers aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr,aes128-gcm@openssh.com,aes128-ctr\n\
                  MACs hmac-sha2-256-etm@openssh.com,hmac-sha1-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256,hmac-sha1\n\
                  GSSAPIKexAlgorithms gss-curve25519-sha256-,gss-nistp256-sha256-\n\
                  KexAlgorithms mlkem768x25519-sha256,curve25519-sha256,curve25519-sha256@libssh.org,diffie-hellman-group14-sha256\n\
                  PubkeyAcceptedAlgorithms ecdsa-sha2-nistp256,ssh-ed25519,sk-ssh-ed25519@openssh.com,rsa-sha2-256,rsa-sha2-512-cert-v01@openssh.com\n\
                  CASignatureAlgorithms ecdsa-sha2-nistp256,ssh-ed25519,rsa-sha2-256\nRequiredRSASize 2048\n";
    let (got, said) = load_files(&[
        (
            "/etc/ssh/ssh_config",
            "Include /etc/ssh/ssh_config.d/*.conf\n",
        ),
        ("/etc/ssh/ssh_config.d/50-redhat.conf", redhat),
        ("/etc/crypto-policies/back-ends/openssh.config", policy),
    ])
    .unwrap();
    assert_eq!(said, []);
    let ciphers = got.connection.ciphers.unwrap().to_string();
    assert!(ciphers.starts_with("aes256-gcm@openssh.com"), "{ciphers}");
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
fn proxy_command_and_proxy_jump_the_first_wins() {
    assert!(complaints("ProxyCommand ssh -W %h:%p gw\n")[0].contains("use ProxyJump"));
    let got = options("ProxyJump a@b:1,ssh://c\nProxyCommand nc it's\n");
    let Some(ProxyJump::Through(hops)) = got.proxy_jump else {
        panic!("{:?}", got.proxy_jump)
    };
    assert_eq!(
        hops.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["a@b:1", "c"]
    );
    let got = options("ProxyCommand none\nProxyJump a\n");
    assert_eq!(got.proxy_jump, Some(ProxyJump::Direct));
    assert!(complaints("ProxyJump a,,b\n")[0].contains("bad value \"a,,b\""));
}

#[test]
fn forwards_of_all_kinds_are_read_once_each() {
    let got = options(
        "LocalForward 8080 db:80\nLocalForward 8080 db:80\nLocalForward [::1]:81 [::2]:82\nLocalForward /a ${DIR}/b\nRemoteForward 0 h:1\nRemoteForward 1080\nRemoteForward /r h:2\nDynamicForward *:1081\n",
    );
    let printed: Vec<String> = got.forwards.iter().map(Forward::to_string).collect();
    let expected = [
        "-L 8080:db:80",
        "-L [::1]:81:[::2]:82",
        "-L /a:/dir/b",
        "-R 0:h:1",
        "-R 1080",
        "-R /r:h:2",
        "-D *:1081",
    ];
    assert_eq!(printed, expected);
    assert_eq!(got.effective_forwards().len(), 7);
    let cleared = options("DynamicForward 1080\nClearAllForwardings yes\n");
    assert!(cleared.effective_forwards().is_empty());
}

#[test]
fn keyword_of_our_own_allows_what_is_open_to_terrapin() {
    let allows = |text| options(text).connection.allow_terrapin;
    assert_eq!(allows("AllowTerrapin yes\n"), Some(true));
    assert_eq!(allows("AllowTerrapin no\nAllowTerrapin yes\n"), Some(false));
    assert_eq!(allows(""), None);
}

#[test]
fn typed_values_arrive_typed() {
    let got = options(
        "ConnectTimeout 1m\nServerAliveInterval none\nRekeyLimit 1G 1h\nPermitRemoteOpen a:1 [::1]:*\nStreamLocalBindMask 0007\nStrictHostKeyChecking off\nIdentityAgent $MY_SOCK\nSessionType none\nRequestTTY force\nPubkeyAuthentication host-bound\nUserKnownHostsFile none\nCiphers +aes128-cbc\nPreferredAuthentications publickey,password\n",
    );
    assert_eq!(got.connect_timeout, Some(Duration::from_secs(60)));
    assert_eq!(got.server_alive_interval, Some(Duration::ZERO));
    let rekey = RekeyLimit {
        bytes: Some(1 << 30),
        interval: Some(Duration::from_secs(3600)),
    };
    assert_eq!(got.connection.rekey_limit, Some(rekey));
    let Some(RuleList::Only(rules)) = got.permit_remote_open else {
        panic!("no rules")
    };
    assert_eq!(
        (rules[1].host.as_str(), rules[1].port),
        ("::1", PortRule::Any)
    );
    assert_eq!(got.connection.stream_local_bind_mask, Some(0o007));
    assert_eq!(
        got.strict_host_key_checking,
        Some(StrictHostKeyChecking::No)
    );
    assert_eq!(
        got.identity_agent,
        Some(IdentityAgent::Variable("MY_SOCK".into()))
    );
    assert_eq!(got.session_type, Some(SessionType::Nothing));
    assert_eq!(got.request_tty, Some(RequestTty::Force));
    assert_eq!(
        got.pubkey_authentication,
        Some(PubkeyAuthentication::HostBound)
    );
    assert_eq!(got.user_known_hosts_files, Some(vec![]));
    assert_eq!(got.connection.ciphers.unwrap().to_string(), "+aes128-cbc");
    assert_eq!(
        got.preferred_authentications.unwrap(),
        ["publickey", "password"]
    );
    assert!(complaints("UserKnownHostsFile a none\n")[0].contains("none alone"));
    assert!(complaints("PermitRemoteOpen any a:1\n")[0].contains("extra arguments"));
}

#[test]
fn tokens_are_filled_in_once_everything_is_read() {
    let source = FileSource::memory([(
        "/home/eve/.ssh/config",
        "\
        IdentityFile ~/.ssh/%h-%n-%p-%r-%u-%i-%L-%l-%%\nIdentityFile ${DIR}/%k\nIdentityFile %d/x\nIdentityFile %C\n\
        UserKnownHostsFile ~/.ssh/known.%k\nLocalForward /run/%p h:1\nIdentityAgent ~/agent\n\
        HostName %h.example\nPort 2222\nUser bob\nHostKeyAlias alias\n",
    )]);
    with_context(&source, |context| {
        let mut options = ClientOptions::default();
        options.load(&ConfigFiles::Standard, context).unwrap();
        let got = options.expanded(context).unwrap();
        assert_eq!(got.host_name.as_deref(), Some("web.example"));
        let files: Vec<&str> = got
            .identity_files
            .iter()
            .map(|path| path.to_str().unwrap())
            .collect();
        let first = "/home/eve/.ssh/web.example-web-2222-bob-eve-1000-mine-mine.example.org-%";
        // As `ssh -G` has it: a hash of %l%h%p%r%j.
        let hash = "47445963c0e0af152b6612d84e209802ef2d55aa";
        assert_eq!(files, [first, "/dir/alias", "/home/eve/x", hash]);
        assert_eq!(
            got.user_known_hosts_files,
            Some(vec!["/home/eve/.ssh/known.alias".into()])
        );
        assert_eq!(got.forwards[0].to_string(), "-L /run/2222:h:1");
        assert_eq!(
            got.identity_agent,
            Some(IdentityAgent::Socket("/home/eve/agent".into()))
        );
    });
}

#[test]
fn a_token_that_is_not_known_is_an_error_that_names_it() {
    let source = FileSource::memory([("/x", "")]);
    with_context(&source, |context| {
        for (line, token) in [
            ("IdentityFile %q", "%q"),
            ("HostName %p", "%p"),
            ("IdentityFile ${NO}", "${NO}"),
        ] {
            let mut options = ClientOptions::default();
            options.apply_line(line, context).unwrap();
            let error = options.expanded(context).unwrap_err().to_string();
            assert!(error.contains(token), "{error}");
        }
    });
}

#[test]
fn a_path_is_bounded_as_a_whole_and_not_between_its_variables() {
    let source = FileSource::memory([("/x", "")]);
    with_context(&source, |context| {
        // Either half alone comes to 54 KB.
        let half = "%d".repeat(6000) + "${DIR}";
        for (path, fits) in [(half.clone(), true), (half.repeat(2), false)] {
            let mut options = ClientOptions::default();
            let line = format!("IdentityFile {path}");
            options.apply_line(&line, context).unwrap();
            assert_eq!(options.expanded(context).is_ok(), fits);
        }
    });
}

#[test]
fn options_of_the_command_line_take_every_spelling() {
    let source = FileSource::memory([("/x", "")]);
    with_context(&source, |context| {
        for text in ["Port=7", "port 7", "Port = 7", " PORT\t7 "] {
            let mut options = ClientOptions::default();
            assert_eq!(options.apply_line(text, context), Ok(vec![]), "{text}");
            assert_eq!(options.port, Some(7), "{text}");
        }
        let table = [
            (
                "Foo=1",
                "command-line: line 0: Bad configuration option: foo",
            ),
            (
                "Include=/x",
                "command-line: line 0: Include directive not supported as a command-line option",
            ),
            (
                "Host=x",
                "command-line: line 0: Host directive not supported as a command-line option",
            ),
            (
                "Match all",
                "command-line: line 0: Match directive not supported as a command-line option",
            ),
            ("", "command-line: line 0: no argument after keyword \"-o\""),
        ];
        for (text, expected) in table {
            let error = ClientOptions::default()
                .apply_line(text, context)
                .unwrap_err();
            assert_eq!(error.to_string().lines().next(), Some(expected));
        }
    });
}

#[test]
fn includes_are_relative_in_order_and_keep_their_blocks_to_themselves() {
    let (got, _) = load_files(&[
        (
            "/home/eve/.ssh/config",
            "Include conf.d/*.conf ~/more\nUser last\n",
        ),
        ("/home/eve/.ssh/conf.d/b.conf", "Port 2\nCompression yes\n"),
        ("/home/eve/.ssh/conf.d/a.conf", "Port 1\nHost other\n"),
        ("/home/eve/more", "HostName more\n"),
        ("/etc/ssh/ssh_config", "Include sys\n"),
        ("/etc/ssh/sys", "BindAddress ::1\n"),
    ])
    .unwrap();
    assert_eq!((got.port, got.compression), (Some(1), Some(true)));
    assert_eq!(
        (got.user.as_deref(), got.host_name.as_deref()),
        (Some("last"), Some("more"))
    );
    assert_eq!(got.bind_address.as_deref(), Some("::1"));
}

#[test]
fn an_include_in_a_block_that_does_not_match_is_read_only_for_its_mistakes() {
    let included = "Host *\nPort 7\nMatch all\nPort 8\nControlMaster yes\nMatch exec x\n";
    let (got, said) = load_files(&[
        ("/home/eve/.ssh/config", "Host other\nInclude inc\n"),
        ("/home/eve/.ssh/inc", included),
    ])
    .unwrap();
    assert_eq!((got.port, said), (None, vec![]));
    let error = load_files(&[
        ("/home/eve/.ssh/config", "Host other\nInclude inc\n"),
        ("/home/eve/.ssh/inc", "\nFoo 1\n"),
    ])
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/home/eve/.ssh/inc: line 2: Bad configuration option: foo")
    );
}

#[test]
fn a_file_that_includes_itself_fails_and_ends() {
    for text in ["Include config\n", "Include config config config\n"] {
        let error = load(text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/home/eve/.ssh/config: line 1: too many recursive configuration includes"
        );
    }
}

#[test]
fn includes_that_multiply_fail_and_end() {
    // Ten levels of ten: 10^10 files if each were read.
    let mut files = vec![(
        "/home/eve/.ssh/config".to_owned(),
        "Include l0-*\n".to_owned(),
    )];
    for level in 0..10 {
        for n in 0..10 {
            let next = format!("Include l{}-*\n", level + 1);
            files.push((format!("/home/eve/.ssh/l{level}-{n}"), next));
        }
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(p, t)| (p.as_str(), t.as_str()))
        .collect();
    let error = load_files(&files).unwrap_err();
    assert!(matches!(error, ConfigError::TooMuch(_)), "{error}");
}

#[test]
fn a_configuration_has_a_bound_of_files_and_one_of_bytes() {
    let load_many = |count: usize, text: &str| {
        let mut files = vec![("/home/eve/.ssh/config".to_owned(), "Include e-*\n")];
        files.extend((0..count).map(|n| (format!("/home/eve/.ssh/e-{n}"), text)));
        let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), *t)).collect();
        load_files(&files).map(drop)
    };
    assert_eq!(load_many(4095, ""), Ok(()));
    assert!(matches!(load_many(4096, ""), Err(ConfigError::TooMuch(_))));
    let comment = format!("#{}", "x".repeat(1024 * 1024 - 1));
    assert_eq!(load_many(7, &comment), Ok(()));
    assert!(matches!(
        load_many(8, &comment),
        Err(ConfigError::TooMuch(_))
    ));
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

#[test]
fn sixteen_levels_of_include_are_read_and_seventeen_are_not() {
    let chain = |levels: usize| {
        let mut files = vec![("/home/eve/.ssh/config".to_owned(), "Include 1\n".to_owned())];
        files.extend((1..levels).map(|n| {
            (
                format!("/home/eve/.ssh/{n}"),
                format!("Include {}\n", n + 1),
            )
        }));
        files.push((format!("/home/eve/.ssh/{levels}"), "Port 7\n".to_owned()));
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(p, t)| (p.as_str(), t.as_str()))
            .collect();
        load_files(&files).map(|(options, _)| options.port)
    };
    assert_eq!(chain(16), Ok(Some(7)));
    assert!(matches!(chain(17), Err(ConfigError::TooDeep(_))));
}

#[test]
fn the_systems_file_may_not_speak_of_home() {
    let error = load_files(&[("/etc/ssh/ssh_config", "Include ~/x\n")])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("/etc/ssh/ssh_config: line 1: bad include path ~/x: "),
        "{error}"
    );
}

#[test]
fn a_users_file_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".ssh/config");
    std::fs::create_dir(home.path().join(".ssh")).unwrap();
    std::fs::write(&path, "Port 7\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    with_context(&FileSource::disk(), |context| {
        let context = Context {
            home: home.path(),
            ..*context
        };
        let error = ClientOptions::default()
            .load(&ConfigFiles::Standard, &context)
            .unwrap_err();
        assert_eq!(error, ConfigError::BadOwner(path.clone()));
        // A file named on the command line is the user's own business.
        let mut options = ClientOptions::default();
        options
            .load(&ConfigFiles::Only(path.clone()), &context)
            .unwrap();
        assert_eq!(options.port, Some(7));
        // What it includes is not.
        let outer = home.path().join("outer");
        std::fs::write(&outer, "Include config\n").unwrap();
        let error = ClientOptions::default().load(&ConfigFiles::Only(outer), &context);
        assert_eq!(error.unwrap_err(), ConfigError::BadOwner(path.clone()));
    });
}

#[test]
fn debians_file_is_read_without_a_word() {
    let (got, said) = load_files(&[("/etc/ssh/ssh_config", DEBIAN)]).unwrap();
    assert_eq!((got.hash_known_hosts, said), (Some(true), vec![]));
}

#[test]
fn this_machines_file_is_read() {
    let system = Path::new("/etc/ssh/ssh_config");
    if !system.exists() {
        return;
    }
    with_context(&FileSource::disk(), |context| {
        let loaded = ClientOptions::default().load(&ConfigFiles::Only(system.into()), context);
        assert!(loaded.is_ok(), "{loaded:?}");
    });
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
