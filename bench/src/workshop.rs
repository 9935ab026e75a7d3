//! Keys, configuration and a place for files; servers and clients that are started with them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Attempt, Failure, Result};
use crate::load::echo::echo_connection;
use crate::process::Running;

/// Time that a process may take until it does its task.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// Pause between two tries of a process that is coming up.
const POLL: Duration = Duration::from_micros(500);

/// Keys and a place for files, shared by all tunnels of a run.
#[derive(Debug)]
pub(crate) struct Workshop {
    dir: tempfile::TempDir,
    user: String,
    next: AtomicU32,
}

/// A running SSH server.
#[derive(Debug)]
pub(crate) struct Server {
    running: Running,
    port: u16,
}

impl Workshop {
    /// Makes keys in a temporary directory.
    pub(crate) fn open() -> Result<Self> {
        let dir = tempfile::tempdir().attempt(|| "make a temporary directory".to_owned())?;
        for key in ["host_key", "user_key"] {
            let output = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "adit-bench", "-f"])
                .arg(dir.path().join(key))
                .output()
                .attempt(|| "start ssh-keygen".to_owned())?;
            if !output.status.success() {
                let words = String::from_utf8_lossy(&output.stderr);
                return Err(Failure::new(format!("cannot make {key}: {words}")));
            }
        }
        let read = |name: &str| {
            fs::read_to_string(dir.path().join(name)).attempt(|| format!("read {name}"))
        };
        let write = |name: &str, text: String| {
            fs::write(dir.path().join(name), text).attempt(|| format!("write {name}"))
        };
        write("authorized_keys", read("user_key.pub")?)?;
        write("known_hosts", format!("* {}", read("host_key.pub")?))?;
        let user = nix::unistd::User::from_uid(nix::unistd::getuid())
            .attempt(|| "look up who we are".to_owned())?
            .ok_or_else(|| Failure::new("cannot look up who we are: no such user"))?;
        make_separation_directory()?;
        Ok(Self {
            dir,
            user: user.name,
            next: AtomicU32::new(0),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file name that no other caller gets.
    pub(crate) fn fresh(&self, name: &str) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        self.path(&format!("{name}.{number}"))
    }

    /// The account to log in to.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// The key that opens it.
    pub(crate) fn user_key(&self) -> PathBuf {
        self.path("user_key")
    }

    /// Knows the host key of every server here.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.path("known_hosts")
    }

    fn server_config(&self, port: u16, cipher: Option<&str>) -> String {
        let mut config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\n\
             PidFile none\nStrictModes no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nMaxStartups 200\n",
            self.path("host_key").display(),
            self.path("authorized_keys").display(),
        );
        if let Some(cipher) = cipher {
            config.push_str(&format!("Ciphers {cipher}\n"));
        }
        config
    }

    /// Starts a server and waits until it accepts connections.
    pub(crate) fn server(&self, program: &Path, cipher: Option<&str>) -> Result<Server> {
        let port = free_port()?;
        let config = self.fresh("sshd_config");
        fs::write(&config, self.server_config(port, cipher))
            .attempt(|| format!("write {}", config.display()))?;
        let mut command = Command::new(program);
        command.args(["-D", "-e", "-f"]).arg(&config);
        let mut running = Running::start(command, &self.fresh("server.log"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait_until_ready(&mut running, || {
            std::net::TcpStream::connect(address).attempt(|| format!("connect to {address}"))
        })?;
        Ok(Server { running, port })
    }

    /// A client's command line, but for its forwards.
    pub(crate) fn client(&self, program: &Path, port: u16, cipher: Option<&str>) -> Command {
        let mut command = Command::new(program);
        command.args(["-F", "none", "-N", "-p", &port.to_string()]);
        command.arg("-i").arg(self.user_key());
        let options = [
            format!("UserKnownHostsFile={}", self.known_hosts().display()),
            "StrictHostKeyChecking=yes".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "BatchMode=yes".to_owned(),
            "ExitOnForwardFailure=yes".to_owned(),
        ];
        let cipher = cipher.map(|cipher| format!("Ciphers={cipher}"));
        for option in options.into_iter().chain(cipher) {
            command.args(["-o", &option]);
        }
        command.arg(format!("{}@127.0.0.1", self.user));
        command
    }

    /// Starts a client of the server at `door` with a local forward to the far end at `target`, and waits for the first
    /// byte through it.
    pub(crate) fn login(&self, program: &Path, door: u16, target: u16) -> Result<Running> {
        let port = free_port()?;
        let mut command = self.client(program, door, None);
        command.args(["-L", &forward_spec(port, target)]);
        let mut running = Running::start(command, &self.fresh("client.log"))?;
        let entry = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait_until_ready(&mut running, || echo_connection(entry))?;
        Ok(running)
    }
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .attempt(|| "find a free port on 127.0.0.1".to_owned())
}

/// Text that follows `-L` or `-R`.
pub(crate) fn forward_spec(port: u16, target: u16) -> String {
    format!("127.0.0.1:{port}:127.0.0.1:{target}")
}

/// Tries `ready` until it succeeds; an error once the process has ended, or takes too long.
pub(crate) fn wait_until_ready<T>(
    running: &mut Running,
    mut ready: impl FnMut() -> Result<T>,
) -> Result<()> {
    let end = Instant::now() + READY_WITHIN;
    loop {
        running.must_run()?;
        let Err(failure) = ready() else {
            return Ok(());
        };
        if Instant::now() >= end {
            let words = running.last_words();
            return Err(Failure::new(format!(
                "not ready within {READY_WITHIN:?}: {failure}: {words}"
            )));
        }
        thread::sleep(POLL);
    }
}

/// Debian's sshd does not start as root without this directory, which its service file makes.
fn make_separation_directory() -> Result<()> {
    let dir = Path::new("/run/sshd");
    if !nix::unistd::getuid().is_root() || dir.is_dir() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().mode(0o755).create(dir);
    made.attempt(|| format!("make {}", dir.display()))
}
