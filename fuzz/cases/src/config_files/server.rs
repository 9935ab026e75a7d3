//! The server's side: `sshd_config`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use adit_proto::transport::algorithms::Compression;
use adit_tunnel::config::FileSource;
use adit_tunnel::config::connection::ConnectionOptions;
use adit_tunnel::config::expand::ExpandError;
use adit_tunnel::config::sshd_config::ServerOptions;

use super::{MAX_EXPANDED, Outcome, Program, lookups};

const MAIN: &str = "/etc/ssh/sshd_config";

/// Keywords that have one value, and two values for each.
const VALUES: [(&str, &str, &str); 30] = [
    ("AddressFamily", "inet", "inet6"),
    ("TCPKeepAlive", "yes", "no"),
    ("PidFile", "none", "/a"),
    ("LogLevel", "INFO", "QUIET"),
    ("MaxStartups", "1", "2"),
    ("PerSourceMaxStartups", "1", "none"),
    ("PerSourceNetBlockSize", "24:64", "32"),
    ("PerSourcePenalties", "no", "yes"),
    ("PerSourcePenaltyExemptList", "10.0.0.0/8", "none"),
    ("AuthorizedKeysFile", "a", "none"),
    ("StrictModes", "yes", "no"),
    ("LoginGraceTime", "1", "2"),
    ("MaxAuthTries", "1", "2"),
    ("PubkeyAuthentication", "yes", "no"),
    ("PermitRootLogin", "no", "yes"),
    ("AllowTcpForwarding", "no", "yes"),
    ("AllowStreamLocalForwarding", "no", "yes"),
    ("DisableForwarding", "yes", "no"),
    ("GatewayPorts", "no", "yes"),
    ("PermitOpen", "none", "any"),
    ("PermitListen", "none", "any"),
    ("StreamLocalBindMask", "0", "1"),
    ("StreamLocalBindUnlink", "yes", "no"),
    ("ClientAliveInterval", "1", "2"),
    ("ClientAliveCountMax", "1", "2"),
    ("Compression", "yes", "no"),
    ("RekeyLimit", "1G", "2G 1h"),
    ("Ciphers", "aes128-ctr", "aes256-ctr"),
    ("MACs", "hmac-sha2-256", "hmac-sha2-512"),
    ("HostKeyAlgorithms", "ssh-ed25519", "rsa-sha2-512"),
];

pub(super) struct Server;

impl Program for Server {
    type Options = ServerOptions;
    const ACTIVE: &'static str = "";
    const VALUES: &'static [(&'static str, &'static str, &'static str)] = &VALUES;

    fn main_file(&self) -> &'static Path {
        Path::new(MAIN)
    }

    fn directory(&self) -> &'static Path {
        Path::new("/etc/ssh")
    }

    fn load(&self, mut options: ServerOptions, files: &FileSource) -> Outcome<ServerOptions> {
        let warnings = options.load(Path::new(MAIN), files, &lookups())?;
        Ok((options, warnings))
    }

    fn option(&self, text: &str) -> Outcome<ServerOptions> {
        let mut options = ServerOptions::default();
        let warnings = options.apply_line(text, &lookups())?;
        Ok((options, warnings))
    }

    fn nothing(&self) -> ServerOptions {
        ServerOptions::default()
    }

    fn inactive(&self) -> Option<&'static str> {
        None
    }

    /// Line that restricts and cannot be enforced: never passed over.
    fn always_wrong(&self, _: &ServerOptions) -> Option<&'static str> {
        Some("AllowGroups wheel")
    }

    fn check_options(&self, options: ServerOptions) {
        check_offer(&options.connection);
        let listen = options.listen_on();
        assert!(!listen.is_empty() && listen.iter().all(|(_, port)| *port != 0));
        if let Some(startups) = options.max_startups {
            assert!(startups.full > 0 && startups.start <= startups.full);
            assert!((1..=100).contains(&startups.rate));
        }
        assert!(
            options
                .connection
                .stream_local_bind_mask
                .is_none_or(|mask| mask <= 0o777)
        );
        match options
            .key_files()
            .paths("eve", 1000, Path::new("/home/eve"))
        {
            Ok(paths) => {
                assert!(paths.iter().all(|path| path.is_absolute()));
                let len = |path: &std::path::PathBuf| path.as_os_str().len();
                assert!(paths.iter().all(|path| len(path) <= MAX_EXPANDED));
            }
            Err(error) => assert!(
                matches!(error, ExpandError::TooLong(_)),
                "{error} at a login"
            ),
        }
        check_users(&options);
    }
}

/// A user who is denied stays out; an IPv4 peer is one peer, however the socket writes it.
fn check_users(options: &ServerOptions) {
    let address = Ipv4Addr::new(10, 1, 2, 3);
    let rules = options.user_rules();
    for user in ["eve", "root"] {
        let admitted = rules.admit(user, Some(address.into()));
        let mapped = IpAddr::from(address.to_ipv6_mapped());
        assert_eq!(rules.admit(user, Some(mapped)), admitted, "{user}");
        let denied = |from| options.deny_users.iter().any(|p| p.matches(user, from));
        assert!(
            !admitted || !denied(Some(address.into())),
            "{user} is denied"
        );
        assert!(
            !rules.admit(user, None) || !denied(None),
            "{user} is denied"
        );
    }
}

/// Asserts that an offer is never empty, and names each thing once.
pub(super) fn check_offer(options: &ConnectionOptions) {
    fn once<T>(names: &[T], text: impl Fn(&T) -> &'static str) {
        let set: BTreeSet<_> = names.iter().map(text).collect();
        assert!(set.len() == names.len() && !names.is_empty());
    }
    let Ok(offer) = options.offer(Compression::Off) else {
        return;
    };
    once(&offer.algorithms.ciphers, |cipher| cipher.as_str());
    once(&offer.algorithms.macs, |mac| mac.as_str());
    once(&offer.algorithms.kex, |kex| kex.as_str());
    once(&offer.algorithms.host_key, |key| key.as_str());
}
