//! Who is measured, as data, and the tunnels that they make.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Attempt, Failure, Result};
use crate::link::{Link, LinkKind};
use crate::load::{Target, echo_connection};
use crate::measure::Processes;
use crate::process::Running;

/// How long a tunnel may take until it carries its first byte.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// How often a tunnel that is coming up is tried.
const POLL: Duration = Duration::from_millis(2);

/// A port found free may be taken before its user binds it; then all is tried anew.
const START_ATTEMPTS: u32 = 3;

/// One of those that are compared.
#[derive(Debug, Clone)]
pub(crate) struct Contestant {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// How a contestant makes a tunnel.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A client and a server with OpenSSH's arguments and keywords.
    Ssh { client: PathBuf, server: PathBuf },
    /// Two plain relays in a row.
    Relays,
}

/// What a tunnel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forward {
    Local,
    Remote,
    Dynamic,
}

/// How a tunnel shall be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) forward: Forward,
    /// The `Ciphers` of both ends; nothing leaves them to their defaults.
    pub(crate) cipher: Option<&'static str>,
    /// What lies between client and server; nothing for the loopback interface alone.
    pub(crate) link: Option<LinkKind>,
}

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

/// A tunnel that carries bytes. Dropping it ends its processes, the client's first.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// Where applications connect. Through a dynamic forward, in SOCKS.
    pub(crate) entry: SocketAddr,
    clients: Vec<Running>,
    link: Option<Link>,
    server: Option<Server>,
}

impl Contestant {
    /// Checks that there is something to run.
    pub(crate) fn check(&self) -> Result<()> {
        let Kind::Ssh { client, server } = &self.kind else {
            return Ok(());
        };
        for program in [client, server] {
            if !program.is_file() {
                return Err(Failure::new(format!(
                    "cannot run {}: there is no {}",
                    self.name,
                    program.display()
                )));
            }
        }
        Ok(())
    }

    /// What the client calls itself.
    pub(crate) fn version(&self) -> String {
        let Kind::Ssh { client, .. } = &self.kind else {
            return "two relays of this bench".to_owned();
        };
        let Ok(output) = Command::new(client).arg("-V").output() else {
            return "unknown".to_owned();
        };
        // OpenSSH prints its version on the error stream.
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        text.lines().next().unwrap_or("unknown").trim().to_owned()
    }
}

impl Setup {
    /// A local forward with the ends' own choice of cipher.
    pub(crate) const LOCAL: Self = Self {
        forward: Forward::Local,
        cipher: None,
        link: None,
    };
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
    fn fresh(&self, name: &str) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        self.path(&format!("{name}.{number}"))
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
        command.arg("-i").arg(self.path("user_key"));
        let known_hosts = self.path("known_hosts");
        let options = [
            format!("UserKnownHostsFile={}", known_hosts.display()),
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

    /// Starts a client with a local forward to `target`, and waits for the first byte through it.
    pub(crate) fn login(
        &self,
        program: &Path,
        server: &Server,
        target: &Target,
    ) -> Result<Running> {
        let port = free_port()?;
        let mut command = self.client(program, server.port, None);
        command.args(["-L", &forward_spec(port, target.port())]);
        let mut running = Running::start(command, &self.fresh("client.log"))?;
        let entry = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait_until_ready(&mut running, || echo_connection(entry))?;
        Ok(running)
    }

    /// Makes a tunnel to `target` and waits until it carries bytes.
    pub(crate) fn tunnel(
        &self,
        contestant: &Contestant,
        setup: Setup,
        target: &Target,
    ) -> Result<Tunnel> {
        let start = || match &contestant.kind {
            Kind::Ssh { client, server } => {
                let server = self.server(server, setup.cipher)?;
                self.ssh_tunnel(client, server, setup, target)
            }
            Kind::Relays => self.relay_tunnel(setup, target),
        };
        let mut attempt = 1;
        loop {
            match start() {
                Err(_) if attempt < START_ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn ssh_tunnel(
        &self,
        program: &Path,
        server: Server,
        setup: Setup,
        target: &Target,
    ) -> Result<Tunnel> {
        let port = free_port()?;
        let entry = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port));
        let link = setup
            .link
            .map(|kind| Link::start(address, kind))
            .transpose()?;
        let door = link.as_ref().map_or(address, Link::address).port();
        let mut command = self.client(program, door, setup.cipher);
        match setup.forward {
            Forward::Local => command.args(["-L", &forward_spec(port, target.port())]),
            Forward::Remote => command.args(["-R", &forward_spec(port, target.port())]),
            Forward::Dynamic => command.args(["-D", &format!("127.0.0.1:{port}")]),
        };
        let mut client = Running::start(command, &self.fresh("client.log"))?;
        wait_until_ready(&mut client, || match setup.forward {
            Forward::Dynamic => crate::rows::connects::socks_echo(entry, target.port()),
            Forward::Local | Forward::Remote => echo_connection(entry).map(drop),
        })?;
        Ok(Tunnel {
            entry,
            clients: vec![client],
            link,
            server: Some(server),
        })
    }

    /// The relay beside the target, then the link if there is one, then the relay at the entry.
    fn relay_tunnel(&self, setup: Setup, target: &Target) -> Result<Tunnel> {
        let (far, far_address) = self.relay(target.port())?;
        let link = setup
            .link
            .map(|kind| Link::start(far_address, kind))
            .transpose()?;
        let door = link.as_ref().map_or(far_address, Link::address).port();
        let (near, entry) = self.relay(door)?;
        let mut clients = vec![far, near];
        for relay in &mut clients {
            wait_until_ready(relay, || echo_connection(entry))?;
        }
        Ok(Tunnel {
            entry,
            clients,
            link,
            server: None,
        })
    }

    fn relay(&self, target: u16) -> Result<(Running, SocketAddr)> {
        let own = std::env::current_exe().attempt(|| "find this program".to_owned())?;
        let port = free_port()?;
        let mut command = Command::new(own);
        command.args(["relay", &port.to_string(), &target.to_string()]);
        let relay = Running::start(command, &self.fresh("relay.log"))?;
        Ok((relay, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }
}

impl Tunnel {
    /// The processes of both ends.
    pub(crate) fn processes(&self) -> Processes {
        let servers = self.server.iter().map(Server::pid);
        Processes::new(
            self.clients
                .iter()
                .map(Running::pid)
                .chain(servers)
                .collect(),
        )
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.clients.clear();
        self.link = None;
        self.server = None;
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .attempt(|| "find a free port on 127.0.0.1".to_owned())
}

fn forward_spec(port: u16, target: u16) -> String {
    format!("127.0.0.1:{port}:127.0.0.1:{target}")
}

fn wait_until_ready<T>(running: &mut Running, mut ready: impl FnMut() -> Result<T>) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Flow, Way, rate};

    /// Stock OpenSSH, which is on every machine that runs the bench.
    fn openssh() -> Contestant {
        Contestant {
            name: "OpenSSH".to_owned(),
            kind: Kind::Ssh {
                client: "/usr/bin/ssh".into(),
                server: "/usr/sbin/sshd".into(),
            },
        }
    }

    #[test]
    fn every_forward_carries_bytes_and_costs_time() {
        let workshop = Workshop::open().unwrap();
        let target = Target::start().unwrap();
        for forward in [Forward::Local, Forward::Remote, Forward::Dynamic] {
            let setup = Setup {
                forward,
                ..Setup::LOCAL
            };
            let tunnel = workshop.tunnel(&openssh(), setup, &target).unwrap();
            if forward == Forward::Dynamic {
                continue;
            }
            let flows = [Flow::start(tunnel.entry, &target, Way::Send).unwrap()];
            let time = Duration::from_millis(200);
            let rate = rate(&flows, &tunnel.processes(), time, time).unwrap();
            assert!(rate.megabytes_per_second > 1.0, "{forward:?}: {rate:?}");
            assert!(rate.cpu_per_gigabyte > 0.0, "{forward:?}: {rate:?}");
        }
    }

    #[test]
    fn what_went_wrong_is_told_with_the_words_of_the_process() {
        let workshop = Workshop::open().unwrap();
        let target = Target::start().unwrap();
        let setup = Setup {
            cipher: Some("rot13"),
            ..Setup::LOCAL
        };
        let failure = workshop.tunnel(&openssh(), setup, &target).unwrap_err();
        assert!(failure.to_string().contains("rot13"), "{failure}");
    }
}
