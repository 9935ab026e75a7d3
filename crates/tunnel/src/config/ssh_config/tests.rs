//! The client's configuration as a whole: what wins, what is said.

mod blocks;
mod includes;
mod mistakes;
mod values;

use std::path::{Path, PathBuf};

use super::*;
use crate::config::error::{ConfigError, Warning};

/// Debian's `/etc/ssh/ssh_config`, less its comments.
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
/// Fedora's `/etc/ssh/ssh_config.d/50-redhat.conf`, less its comments, and the file of its cryptographic policy.
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
