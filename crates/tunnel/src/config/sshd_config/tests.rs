//! The server's configuration as a whole.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::config::error::{ConfigError, Warning};
use crate::config::{FileSource, Lookups};
use crate::policy::{AllowForwarding, GatewayPorts, HostPortRule, PortRule, RuleList};

/// Debian's `/etc/ssh/sshd_config`, less its comments.
const DEBIAN: &str = "Include /etc/ssh/sshd_config.d/*.conf\n#Port 22\nKbdInteractiveAuthentication no\nUsePAM yes\nX11Forwarding yes\nPrintMotd no\nAcceptEnv LANG LC_*\nSubsystem\tsftp\t/usr/lib/openssh/sftp-server\n";

const MAIN: &str = "/etc/ssh/sshd_config";

fn load_files(files: &[(&str, &str)]) -> Result<(ServerOptions, Vec<Warning>), ConfigError> {
    let source = FileSource::memory(files.iter().map(|&(path, text)| (path, text)));
    let mut options = ServerOptions::default();
    let warnings = options.load(Path::new(MAIN), &source, &Lookups::none())?;
    Ok((options, warnings))
}

fn load(text: &str) -> Result<(ServerOptions, Vec<Warning>), ConfigError> {
    load_files(&[(MAIN, text)])
}

fn options(text: &str) -> ServerOptions {
    let (options, warnings) = load(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(warnings, [], "{text}");
    options
}

fn complaint(text: &str) -> String {
    load(text)
        .expect_err(text)
        .to_string()
        .lines()
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn forwarding_is_read_into_the_terms_of_policy() {
    let got = options(
        "AllowTcpForwarding remote\nAllowStreamLocalForwarding local\nGatewayPorts clientspecified\nPermitOpen db:5432 [::1]:*\nPermitOpen any\nPermitListen 8080 localhost:*\nDisableForwarding no\nStreamLocalBindMask 0117\nStreamLocalBindUnlink yes\n",
    );
    assert_eq!(got.allow_tcp_forwarding, Some(AllowForwarding::Remote));
    assert_eq!(
        got.allow_stream_local_forwarding,
        Some(AllowForwarding::Local)
    );
    assert_eq!(got.gateway_ports, Some(GatewayPorts::ClientSpecified));
    let rule = |host: &str, port| HostPortRule {
        host: host.into(),
        port,
    };
    let opens = vec![
        rule("db", PortRule::Exactly(5432)),
        rule("::1", PortRule::Any),
    ];
    assert_eq!(got.permit_open, Some(RuleList::Only(opens)));
    let listens = vec![
        rule("*", PortRule::Exactly(8080)),
        rule("localhost", PortRule::Any),
    ];
    assert_eq!(got.permit_listen, Some(RuleList::Only(listens)));
    assert_eq!(
        (
            got.connection.stream_local_bind_mask,
            got.connection.stream_local_bind_unlink
        ),
        (Some(0o117), Some(true))
    );
    assert_eq!(
        options("PermitOpen none\n").permit_open,
        Some(RuleList::None)
    );
    assert_eq!(
        options("AllowTcpForwarding all\n").allow_tcp_forwarding,
        Some(AllowForwarding::Yes)
    );
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
        "Port 22\nPort 2222\nPort 22\nHostKey /k1\nHostKey /k2\nMaxStartups 10:30:60\nLoginGraceTime 2m\nMaxAuthTries 3\nClientAliveInterval 30\nClientAliveCountMax 0\nStrictModes no\nPidFile none\nCompression delayed\nRekeyLimit 16\nPasswordAuthentication no\nPermitRootLogin no\n",
    );
    assert_eq!(got.ports, [22, 2222]);
    assert_eq!(got.host_keys, [Path::new("/k1"), Path::new("/k2")]);
    assert_eq!(
        got.max_startups,
        Some(MaxStartups {
            start: 10,
            rate: 30,
            full: 60
        })
    );
    assert_eq!(got.login_grace_time, Some(Duration::from_secs(120)));
    assert_eq!(
        (got.max_auth_tries, got.client_alive_count_max),
        (Some(3), Some(0))
    );
    assert_eq!(got.client_alive_interval, Some(Duration::from_secs(30)));
    assert_eq!(
        (got.strict_modes, got.compression),
        (Some(false), Some(true))
    );
    assert_eq!(got.pid_file, Some(PidFile::Nowhere));
    assert_eq!(got.connection.rekey_limit.unwrap().bytes, Some(16));
    assert_eq!(got.permit_root_login, Some(PermitRootLogin::No));
    assert_eq!(
        options("MaxStartups 5\n").max_startups,
        Some(MaxStartups {
            start: 5,
            rate: 100,
            full: 5
        })
    );
}

#[test]
fn listen_addresses_without_a_port_take_every_port_wherever_the_lines_stand() {
    type Sockets<'a> = &'a [(Option<&'a str>, u16)];
    let table: &[(&str, Sockets<'_>)] = &[
        ("", &[(None, 22)]),
        ("Port 1\nPort 2\n", &[(None, 1), (None, 2)]),
        (
            "ListenAddress ::1\nPort 1\nPort 2\n",
            &[(Some("::1"), 1), (Some("::1"), 2)],
        ),
        (
            "Port 1\nListenAddress 127.0.0.1:9\n",
            &[(Some("127.0.0.1"), 9)],
        ),
        (
            "ListenAddress [::1]:9\nListenAddress ::\nListenAddress h\n",
            &[(Some("::1"), 9), (Some("::"), 22), (Some("h"), 22)],
        ),
    ];
    for (text, expected) in table {
        assert_eq!(options(text).listen_on(), *expected, "{text}");
    }
}

#[test]
fn users_are_denied_before_they_are_allowed() {
    let got = options("AllowUsers eve bob@10.0.0.0/8\nAllowUsers root\nDenyUsers root@*\n");
    let rules = got.user_rules();
    let from = |text: &str| text.parse::<IpAddr>().ok();
    let table = [
        ("eve", "11.0.0.1", true),
        ("bob", "10.0.0.1", true),
        ("bob", "11.0.0.1", false),
        ("root", "10.0.0.1", false),
        ("mallory", "10.0.0.1", false),
    ];
    for (user, address, expected) in table {
        assert_eq!(
            rules.admit(user, from(address)),
            expected,
            "{user}@{address}"
        );
    }
    assert!(UserRules::default().admit("anyone", None));
}

#[test]
fn key_files_start_from_home_and_fill_in_tokens() {
    let home = Path::new("/home/eve");
    let paths = |text: &str| options(text).key_files().paths("eve", 7, home).unwrap();
    let default = [
        PathBuf::from("/home/eve/.ssh/authorized_keys"),
        "/home/eve/.ssh/authorized_keys2".into(),
    ];
    assert_eq!(paths(""), default);
    assert_eq!(
        paths("AuthorizedKeysFile .k /etc/keys/%u-%U %h/x%%\n"),
        [
            PathBuf::from("/home/eve/.k"),
            "/etc/keys/eve-7".into(),
            "/home/eve/x%".into()
        ]
    );
    assert_eq!(paths("AuthorizedKeysFile none\n"), Vec::<PathBuf>::new());
    assert!(complaint("AuthorizedKeysFile %x\n").contains("line 1: cannot expand '%x'"));
    assert!(complaint("AuthorizedKeysFile a none\n").contains("none alone"));
}

#[test]
fn what_restricts_and_cannot_be_enforced_is_an_error() {
    for keyword in [
        "AllowGroups wheel",
        "DenyGroups x",
        "AuthenticationMethods publickey,password",
        "ChrootDirectory /x",
        "RevokedKeys /x",
        "AuthorizedKeysCommand /x",
        "PubkeyAuthOptions verify-required",
        "RequiredRSASize 3072",
        "UseDNS yes",
        "RefuseConnection yes",
    ] {
        let said = complaint(&format!("\n{keyword}\n"));
        assert!(said.starts_with("/etc/ssh/sshd_config: line 2: "), "{said}");
        assert!(
            said.ends_with("ignoring it would allow more than the file says"),
            "{said}"
        );
    }
    for keyword in [
        "UseDNS no # x",
        "AuthenticationMethods any",
        "RevokedKeys \"none\"",
    ] {
        assert_eq!(
            options(&format!("{keyword}\n")),
            ServerOptions::default(),
            "{keyword}"
        );
    }
    assert!(complaint("PermitRootLogin sometimes\n").contains("bad value"));
}

#[test]
fn match_all_is_taken_and_any_other_match_is_an_error() {
    assert_eq!(options("Match all\nPort 7\n").ports, [7]);
    for line in [
        "Match User eve",
        "Match Address 10.0.0.0/8\n",
        "Match !all",
        "Match exec x",
        "Match Foo",
    ] {
        let said = complaint(&format!("{line}\n  AllowTcpForwarding no\n"));
        assert!(
            said.contains("line 1: Bad Match condition: Match is not supported yet"),
            "{said}"
        );
    }
    assert!(complaint("Match all User eve\n").contains("extra arguments"));
}

#[test]
fn mistakes_name_file_and_line() {
    let table = [
        ("Foo 1", "Bad configuration option: foo"),
        ("Host *", "Bad configuration option: host"),
        (
            "Port x",
            "bad value \"x\" for Port: expected a port from 1 to 65535",
        ),
        (
            "PermitOpen a:0",
            "bad value \"a:0\" for PermitOpen: expected host:port, with * for any",
        ),
        (
            "PermitOpen a",
            "bad value \"a\" for PermitOpen: expected host:port, with * for any",
        ),
        (
            "PermitListen 0",
            "bad value \"0\" for PermitListen: expected [host:]port, with * for any",
        ),
        (
            "PermitOpen any a:1",
            "keyword PermitOpen extra arguments at end of line: \"a:1\"",
        ),
        (
            "MaxStartups 5:101:6",
            "bad value \"5:101:6\" for MaxStartups: expected start:rate:full, such as 10:30:100",
        ),
        (
            "MaxStartups 10:30:5",
            "bad value \"10:30:5\" for MaxStartups: expected start:rate:full, such as 10:30:100",
        ),
        (
            "ListenAddress h rdomain x",
            "keyword ListenAddress extra arguments at end of line: \"rdomain\"",
        ),
        (
            "ListenAddress h:0",
            "bad value \"h:0\" for ListenAddress: expected a port from 1 to 65535",
        ),
        (
            "LoginGraceTime none",
            "bad value \"none\" for LoginGraceTime: expected a time such as 90, 1m30s or 2h",
        ),
        (
            "GatewayPorts maybe",
            "bad value \"maybe\" for GatewayPorts: expected no, yes or clientspecified",
        ),
        ("MACs hmac-sha2-256,nope", "unknown MAC algorithm 'nope'"),
    ];
    for (line, expected) in table {
        assert_eq!(
            complaint(&format!("# x\n{line}\n")),
            format!("{MAIN}: line 2: {expected}"),
            "{line}"
        );
    }
}

#[test]
fn users_from_a_network_that_is_none_are_a_mistake() {
    let said = complaint("AllowUsers a@10.0.0.1/8\n");
    assert!(said.contains("bad value \"a@10.0.0.1/8\" for AllowUsers"));
}

#[test]
fn mistakes_are_counted_in_the_last_line() {
    let all = load("Foo 1\nPort 22\nBar 2\n").unwrap_err().to_string();
    assert!(
        all.ends_with("/etc/ssh/sshd_config: terminating, 2 bad configuration options"),
        "{all}"
    );
}

#[test]
fn what_only_looks_like_an_address_is_a_mistake() {
    let table = [
        (
            "PermitOpen 127.0.0.01:80",
            "bad value \"127.0.0.01:80\" for PermitOpen: expected a host that does not merely look like an address",
        ),
        (
            "DenyUsers root@127.0.0.01",
            "bad value \"root@127.0.0.01\" for DenyUsers: \
             expected an address in its usual writing, without a scope, or a pattern",
        ),
        (
            "DenyUsers root@::ffff:10.0.0.1",
            "bad value \"root@::ffff:10.0.0.1\" for DenyUsers: expected an IPv4 address without ::ffff: in front",
        ),
    ];
    for (line, expected) in table {
        let said = complaint(&format!("# x\n{line}\n"));
        assert_eq!(said, format!("{MAIN}: line 2: {expected}"), "{line}");
    }
}

#[test]
fn passwords_are_told_to_be_missing() {
    let (_, said) = load("PasswordAuthentication yes\n").unwrap();
    let said: Vec<String> = said.iter().map(ToString::to_string).collect();
    let line = |n, word| format!("{MAIN}: line {n}: {word} is not supported and is passed over");
    assert_eq!(said, [line(1, "PasswordAuthentication")]);
}

#[test]
fn includes_are_read_where_they_stand() {
    let (got, _) = load_files(&[
        (
            MAIN,
            "Include sshd_config.d/*.conf\nMaxAuthTries 6\nGatewayPorts yes\n",
        ),
        ("/etc/ssh/sshd_config.d/10.conf", "MaxAuthTries 2\nPort 7\n"),
        ("/etc/ssh/sshd_config.d/20.conf", "MaxAuthTries 3\n"),
    ])
    .unwrap();
    assert_eq!(
        (got.max_auth_tries, got.gateway_ports),
        (Some(2), Some(GatewayPorts::Yes))
    );
    assert_eq!(got.ports, [7]);
    let error = load_files(&[(MAIN, "Include sshd_config sshd_config\n")]).unwrap_err();
    assert!(matches!(error, ConfigError::TooDeep(_)), "{error}");
    let error = load_files(&[(MAIN, "Include x\n"), ("/etc/ssh/x", "Foo 1\n")]).unwrap_err();
    assert!(
        error.to_string().starts_with("/etc/ssh/x: line 1: "),
        "{error}"
    );
}

#[test]
fn a_file_that_is_missing_is_an_error() {
    let error = load_files(&[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read configuration file /etc/ssh/sshd_config: No such file or directory"
    );
}

#[test]
fn options_of_the_command_line_come_first() {
    let source = FileSource::memory([(MAIN, "MaxAuthTries 6\n")]);
    let mut options = ServerOptions::default();
    options
        .apply_line("MaxAuthTries=1", &Lookups::none())
        .unwrap();
    options
        .load(Path::new(MAIN), &source, &Lookups::none())
        .unwrap();
    assert_eq!(options.max_auth_tries, Some(1));
    for text in ["Match=all", "Include /x", "Foo=1", "AllowGroups=x"] {
        let error = options
            .apply_line(text, &Lookups::none())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("command-line: line 0: "), "{error}");
    }
}

#[test]
fn debians_file_is_read_without_a_word() {
    let (mut got, said) = load(DEBIAN).unwrap();
    let session = std::mem::take(&mut got.session);
    assert_eq!((got, said), (ServerOptions::default(), vec![]));
    assert_eq!(session.accept_env, ["LANG", "LC_*"]);
    assert!(session.subsystem("sftp").is_some());
}

/// Fedora's `/etc/ssh/sshd_config` and `sshd_config.d`, less their comments, and the file of its cryptographic policy.
#[test]
fn fedoras_files_are_read_without_a_word() {
    let redhat = "Include /etc/crypto-policies/back-ends/opensshserver.config\nSyslogFacility AUTHPRIV\n\
                  ChallengeResponseAuthentication no\nGSSAPIAuthentication yes\nGSSAPICleanupCredentials no\n\
                  UsePAM yes\nX11Forwarding yes\nPrintMotd no\nAcceptEnv LANG LC_CTYPE LC_NUMERIC\nAcceptEnv XMODIFIERS\n";
    let policy = "Ciphers aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr\n\
                  MACs hmac-sha2-256-etm@openssh.com,hmac-sha1-etm@openssh.com,hmac-sha2-256\n\
                  GSSAPIKeyExchange no\nGSSAPIKexAlgorithms gss-curve25519-sha256-\n\
                  KexAlgorithms mlkem768x25519-sha256,curve25519-sha256,diffie-hellman-group14-sha256\n\
                  HostKeyAlgorithms ecdsa-sha2-nistp256,ssh-ed25519,rsa-sha2-256\n\
                  PubkeyAcceptedAlgorithms ecdsa-sha2-nistp256,ssh-ed25519,rsa-sha2-256\n\
                  CASignatureAlgorithms ecdsa-sha2-nistp256,ssh-ed25519\nRequiredRSASize 2048\n";
    let main = "Include /etc/ssh/sshd_config.d/*.conf\nAuthorizedKeysFile .ssh/authorized_keys\n\
                Subsystem sftp /usr/libexec/openssh/sftp-server\n";
    let (got, said) = load_files(&[
        (MAIN, main),
        ("/etc/ssh/sshd_config.d/50-redhat.conf", redhat),
        (
            "/etc/crypto-policies/back-ends/opensshserver.config",
            policy,
        ),
    ])
    .unwrap();
    assert_eq!(said, []);
    assert!(got.connection.ciphers.is_some());
}

#[test]
fn what_restricts_and_is_not_supported_is_an_error_that_names_file_and_line() {
    for line in [
        "AllowGroups wheel",
        "DenyGroups x",
        "AuthenticationMethods publickey,password",
        "ChrootDirectory /x",
        "RevokedKeys /x",
        "PubkeyAuthOptions verify-required",
        "RequiredRSASize 3072",
        "ChannelTimeout *=5m",
        "ChannelTimeout session=1m direct-tcpip=5m",
        "UnusedConnectionTimeout 5m",
        "UseDNS yes",
        "RDomain x",
    ] {
        let said = complaint(&format!("Port 22\n{line}\n"));
        let expected = format!("{MAIN}: line 2: ");
        assert!(
            said.starts_with(&expected) && said.contains("allow more"),
            "{said}"
        );
    }
    options("UnusedConnectionTimeout none\nChannelTimeout session=5m\nRequiredRSASize 1024\n");
}

#[test]
fn this_machines_file_is_read() {
    let system = Path::new(MAIN);
    // Another machine's administrator may use what is refused here; only Debian's own file is known.
    let stock = std::fs::read_to_string(system).is_ok_and(|text| !text.contains("\nMatch "));
    if stock {
        let loaded = ServerOptions::default().load(system, &FileSource::disk(), &Lookups::none());
        assert!(loaded.is_ok(), "{loaded:?}");
    }
}

#[test]
fn penalties_of_sources_are_read_as_openssh_reads_them() {
    let lines = "PerSourcePenalties authfail:10 min:30s overflow:deny-all\n\
        PerSourcePenalties authfail:20 crash:0.5 max-sources4:7\n";
    let got = options(lines).per_source_penalties;
    let seconds = |n| Some(Duration::from_secs(n));
    let expected = PenaltyOptions {
        enabled: Some(true),
        auth_fail: seconds(10),
        min: seconds(30),
        overflow: Some(Overflow::DenyAll),
        crash: Some(Duration::from_millis(500)),
        max_sources4: Some(7),
        ..PenaltyOptions::default()
    };
    assert_eq!(got, expected);
    let off = options("PerSourcePenalties no\n").per_source_penalties;
    assert_eq!(off.enabled, Some(false));
    for wrong in [
        "PerSourcePenalties",
        "PerSourcePenalties no authfail:1",
        "PerSourcePenalties sometimes",
        "PerSourcePenalties authfail:soon",
        "PerSourcePenalties overflow:maybe",
        "PerSourcePenaltyExemptList 192.0.2.0/33",
        "PerSourcePenaltyExemptList 192.0.2.1/24",
        "PerSourceNetBlockSize 33",
        "PerSourceMaxStartups few",
    ] {
        let mut options = ServerOptions::default();
        assert!(
            options.apply_line(wrong, &Lookups::none()).is_err(),
            "{wrong}"
        );
    }
}
