//! The client's side: `ssh_config`, for one user who connects to one host.

use std::path::{Path, PathBuf};

use adit_tunnel::config::FileSource;
use adit_tunnel::config::spec::{Endpoint, Forward, ListenSpec};
use adit_tunnel::config::ssh_config::{ClientOptions, ConfigFiles, Context, IdentityAgent};

use super::{MAX_EXPANDED, Outcome, Program, lookups};

const HOME: &str = "/home/eve";

/// Keywords that have one value, and two values for each.
const VALUES: [(&str, &str, &str); 39] = [
    ("HostName", "a", "b"),
    ("User", "a", "b"),
    ("Port", "1", "2"),
    ("AddressFamily", "inet", "inet6"),
    ("BindAddress", "a", "b"),
    ("ConnectTimeout", "1", "2"),
    ("TCPKeepAlive", "yes", "no"),
    ("ProxyJump", "a", "b"),
    ("IdentitiesOnly", "yes", "no"),
    ("IdentityAgent", "none", "/a"),
    ("PreferredAuthentications", "a", "b"),
    ("PubkeyAuthentication", "yes", "no"),
    ("PasswordAuthentication", "yes", "no"),
    ("KbdInteractiveAuthentication", "yes", "no"),
    ("NumberOfPasswordPrompts", "1", "2"),
    ("BatchMode", "yes", "no"),
    ("UserKnownHostsFile", "a", "none"),
    ("GlobalKnownHostsFile", "a", "none"),
    ("StrictHostKeyChecking", "yes", "no"),
    ("HashKnownHosts", "yes", "no"),
    ("HostKeyAlias", "a", "b"),
    ("NoHostAuthenticationForLocalhost", "yes", "no"),
    ("ClearAllForwardings", "yes", "no"),
    ("GatewayPorts", "yes", "no"),
    ("ExitOnForwardFailure", "yes", "no"),
    ("PermitRemoteOpen", "any", "none"),
    ("StreamLocalBindMask", "0", "1"),
    ("StreamLocalBindUnlink", "yes", "no"),
    ("ServerAliveInterval", "1", "2"),
    ("ServerAliveCountMax", "1", "2"),
    ("Compression", "yes", "no"),
    ("RekeyLimit", "1G", "2G 1h"),
    ("Ciphers", "aes128-ctr", "aes256-ctr"),
    ("LogLevel", "INFO", "QUIET"),
    ("ForkAfterAuthentication", "yes", "no"),
    ("StdinNull", "yes", "no"),
    ("SessionType", "none", "default"),
    ("RequestTTY", "yes", "no"),
    ("IgnoreUnknown", "a", "b"),
];

pub(super) struct Client;

fn context(files: &FileSource) -> Context<'_> {
    Context {
        host: "web",
        local_user: "eve",
        local_uid: 1000,
        local_host: "mine.example.org",
        home: Path::new(HOME),
        files,
        lookups: lookups(),
    }
}

impl Program for Client {
    type Options = ClientOptions;
    const ACTIVE: &'static str = "Host *\n";
    const VALUES: &'static [(&'static str, &'static str, &'static str)] = &VALUES;

    fn main_file(&self) -> &'static Path {
        Path::new("/home/eve/.ssh/config")
    }

    fn directory(&self) -> &'static Path {
        Path::new("/home/eve/.ssh")
    }

    fn load(&self, mut options: ClientOptions, files: &FileSource) -> Outcome<ClientOptions> {
        let warnings = options.load(&ConfigFiles::Standard, &context(files))?;
        Ok((options, warnings))
    }

    fn option(&self, text: &str) -> Outcome<ClientOptions> {
        let files = FileSource::Memory(Default::default());
        let mut options = ClientOptions::default();
        let warnings = options.apply_line(text, &context(&files))?;
        Ok((options, warnings))
    }

    fn nothing(&self) -> ClientOptions {
        ClientOptions::default()
    }

    fn inactive(&self) -> Option<&'static str> {
        Some("Host nobody")
    }

    /// A mistake is one in a block that does not apply, too.
    fn always_wrong(&self, options: &ClientOptions) -> Option<&'static str> {
        match options.ignore_unknown {
            Some(_) => Some("Host nobody\nPort 0"),
            None => Some("Host nobody\nNoSuchKeyword yes"),
        }
    }

    fn check_options(&self, options: ClientOptions) {
        assert_ne!(options.port, Some(0));
        super::server::check_offer(&options.connection);
        if options.clear_all_forwardings == Some(true) {
            assert!(options.effective_forwards().is_empty());
        }
        let files = FileSource::Memory(Default::default());
        let Ok(filled) = options.clone().expanded(&context(&files)) else {
            return;
        };
        assert!(filled.host_name.is_some());
        assert_eq!(filled.forwards.len(), options.forwards.len());
        for path in paths(&filled) {
            let len = path.as_os_str().len();
            assert!(len <= MAX_EXPANDED, "a path of {len} bytes");
        }
    }
}

/// Every path that was filled in.
fn paths(options: &ClientOptions) -> Vec<&PathBuf> {
    let mut paths: Vec<&PathBuf> = options.identity_files.iter().collect();
    paths.extend(options.user_known_hosts_files.iter().flatten());
    if let Some(IdentityAgent::Socket(path)) = &options.identity_agent {
        paths.push(path);
    }
    for forward in &options.forwards {
        if let ListenSpec::Unix(path) = forward.listen() {
            paths.push(path);
        }
        if let Forward::Local { target, .. } | Forward::Remote { target, .. } = forward
            && let Endpoint::Unix(path) = target
        {
            paths.push(path);
        }
    }
    paths
}
