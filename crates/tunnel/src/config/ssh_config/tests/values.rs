//! Values: their types, the forwards, and the tokens that are filled in at the end.

use super::*;
use crate::config::spec::Forward;
use crate::config::values::RekeyLimitOption;
use crate::policy::{PortRule, RuleList};
use std::time::Duration;

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
    let rekey = RekeyLimitOption {
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
    assert_eq!(got.session.session_type, Some(SessionType::Nothing));
    assert_eq!(got.session.request_tty, Some(RequestTty::Force));
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
