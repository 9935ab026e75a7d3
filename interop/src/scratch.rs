//! A directory for one test: keys, known hosts, a home, sockets; gone when the test is over.

use crate::missing::{self, Missing};
use crate::process;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The directory and what every peer finds in it.
pub struct Scratch {
    dir: TempDir,
}

/// The host's key that [`Scratch::add_ecdsa_keys`] adds.
const HOST_ECDSA: &str = "host-ecdsa";

/// Key of the test that a client shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The one in authorized_keys.
    User,
    /// One that nobody has authorised.
    Stranger,
}

impl Scratch {
    /// A fresh directory with a host key, an authorised key and a stranger's key, all Ed25519 in OpenSSH's format.
    ///
    /// # Errors
    ///
    /// When there is no ssh-keygen.
    ///
    /// # Panics
    ///
    /// When the directory cannot be filled.
    pub fn new() -> Result<Self, Missing> {
        let keygen = missing::program("ssh-keygen", "apt-get install openssh-client")?;
        // Short, because a unix socket's path has room for 107 bytes.
        let dir = tempfile::Builder::new()
            .prefix("adit-")
            .tempdir()
            .expect("a temporary directory");
        let scratch = Self { dir };
        // An ordinary user, whom some tests become, must be able to pass through.
        set_mode(scratch.path(), 0o755);
        fs::create_dir_all(scratch.home().join(".ssh")).expect("a home directory");
        for name in ["host", "user", "stranger"] {
            scratch.generate(&keygen, &["-t", "ed25519"], name);
        }
        fs::copy(scratch.file("user.pub"), scratch.authorized_keys()).expect("authorized_keys");
        set_mode(&scratch.authorized_keys(), 0o644);
        set_mode(&scratch.home().join(".ssh"), 0o755);
        Ok(scratch)
    }

    fn generate(&self, keygen: &Path, kind: &[&str], name: &str) {
        let mut command = Command::new(keygen);
        command
            .args(["-q", "-N", "", "-C", name])
            .args(kind)
            .arg("-f")
            .arg(self.file(name));
        process::run("ssh-keygen", command, self.path());
    }

    /// Adds ECDSA keys in PEM, for libraries of the years before Ed25519: another key of the host, one that is authorised
    /// as well, and a stranger's.
    pub(crate) fn add_ecdsa_keys(&self) {
        let kind = ["-t", "ecdsa", "-b", "256", "-m", "PEM"];
        for name in [HOST_ECDSA, "user-ecdsa", "stranger-ecdsa"] {
            self.generate(Path::new("ssh-keygen"), &kind, name);
        }
        let both = ["user.pub", "user-ecdsa.pub"].map(|name| fs::read_to_string(self.file(name)));
        let both: String = both.map(|line| line.expect("a public key")).concat();
        fs::write(self.authorized_keys(), both).expect("authorized_keys");
    }

    /// The server's private keys.
    pub fn host_keys(&self) -> Vec<PathBuf> {
        let keys = [self.host_key(), self.file(HOST_ECDSA)];
        keys.into_iter().filter(|key| key.exists()).collect()
    }

    /// A client's private key among those that [`Scratch::add_ecdsa_keys`] added.
    pub(crate) fn ecdsa_key(&self, which: Key) -> PathBuf {
        self.file(match which {
            Key::User => "user-ecdsa",
            Key::Stranger => "stranger-ecdsa",
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A file in it, which need not exist.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file in it.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {name}: {error}"));
        path
    }

    /// Folder that is `$HOME` for the peers.
    pub fn home(&self) -> PathBuf {
        self.file("home")
    }

    /// The server's private key.
    pub fn host_key(&self) -> PathBuf {
        self.file("host")
    }

    /// A client's private key.
    pub fn key(&self, which: Key) -> PathBuf {
        self.file(match which {
            Key::User => "user",
            Key::Stranger => "stranger",
        })
    }

    /// The server's list of keys it lets in, in the home directory, where Dropbear insists on it.
    pub fn authorized_keys(&self) -> PathBuf {
        self.home().join(".ssh/authorized_keys")
    }

    /// The known_hosts file, which now knows the host key at `127.0.0.1:port`, too.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn known_hosts(&self, port: u16) -> PathBuf {
        self.known_hosts_with(&format!("[127.0.0.1]:{port}"))
    }

    /// The known_hosts file, which now knows the host key under `name`, too.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn known_hosts_with(&self, name: &str) -> PathBuf {
        self.known_hosts_of("host.pub", name)
    }

    /// The known_hosts file, which now knows the public key in the file `public` under `name`, too.
    pub(crate) fn known_hosts_of(&self, public: &str, name: &str) -> PathBuf {
        let key = fs::read_to_string(self.file(public)).expect("the host key was made");
        let fields: Vec<&str> = key.split_whitespace().take(2).collect();
        let path = self.home().join(".ssh/known_hosts");
        let known = fs::read_to_string(&path).unwrap_or_default();
        let line = format!("{name} {}\n", fields.join(" "));
        if !known.contains(&line) {
            fs::write(&path, known + &line).expect("known_hosts");
        }
        path
    }

    /// The host key's fingerprint as `SHA256:…`.
    pub fn host_fingerprint(&self) -> String {
        let mut command = Command::new("ssh-keygen");
        command.arg("-lf").arg(self.file("host.pub"));
        let line = process::run("ssh-keygen", command, self.path());
        line.split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    }
}

/// The name of the user that runs the tests, as whom the clients log in.
pub fn user() -> String {
    let said = Command::new("id")
        .arg("-un")
        .output()
        .expect("id is everywhere");
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

/// Sets a file's permission bits.
///
/// # Panics
///
/// When that fails.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .unwrap_or_else(|error| panic!("cannot change {}: {error}", path.display()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hosts_names_the_port_and_the_key() {
        let scratch = Scratch::new().unwrap();
        let text = fs::read_to_string(scratch.known_hosts(2222)).unwrap();
        assert!(text.starts_with("[127.0.0.1]:2222 ssh-ed25519 "));
        assert!(scratch.host_fingerprint().starts_with("SHA256:"));
    }
}
