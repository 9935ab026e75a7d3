//! A folder with keys, a server in this process, and a way to run a program to its end and write down what it said.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adit_proto::key::SigningKey;
use adit_tunnel::config::Lookups;
use adit_tunnel::config::sshd_config::{ListenAddress, ServerOptions};
use adit_tunnel::identity::file::write_new_host_key;
use adit_tunnel::server::{LocalAccount, Server, ServerSettings};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::runtime::Runtime;

/// Longer than any of these calls takes; one that goes on is a failure that shows itself.
const LIMIT: Duration = Duration::from_secs(60);
/// A fingerprint's length behind `SHA256:`.
const FINGERPRINT: usize = 43;

/// Program to run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Program {
    Adit,
    Aditd,
}

/// Destination of a program's standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errors {
    Pipe,
    Terminal,
}

pub(crate) struct Stand {
    dir: TempDir,
    runtime: Runtime,
    server: SocketAddr,
    account: LocalAccount,
    /// A port that nobody listens on.
    pub(crate) closed: u16,
    busy: OnceLock<TcpListener>,
    through: Vec<String>,
    /// Destination of what programs write from here on.
    pub(crate) errors_to: Errors,
}

impl Stand {
    /// Keys, known_hosts of three kinds, and a server that admits `user`.
    pub(crate) fn new() -> Self {
        Self::with(ServerOptions::default())
    }

    /// The same with one line of sshd_config.
    pub(crate) fn with_rules(line: &str) -> Self {
        let mut options = ServerOptions::default();
        options.apply_line(line, &Lookups::none()).unwrap();
        Self::with(options)
    }

    fn with(options: ServerOptions) -> Self {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        let host = SigningKey::generate_ed25519().unwrap();
        write_new_host_key(&path("host"), &host).unwrap();
        for name in ["user", "stranger", "other-host"] {
            let key = SigningKey::generate_ed25519().unwrap();
            write_new_host_key(&path(name), &key).unwrap();
        }
        let runtime = Runtime::new().unwrap();
        let account = LocalAccount::own().unwrap();
        let options = ServerOptions {
            listen_addresses: vec![ListenAddress {
                host: "127.0.0.1".into(),
                port: Some(0),
            }],
            authorized_keys_files: Some(vec![path("user.pub").display().to_string()]),
            strict_modes: Some(false),
            ..options
        };
        let settings = ServerSettings::new(options, vec![host], account.clone());
        let server = Server::bind(Arc::new(settings.unwrap().0));
        let server = runtime.block_on(server).unwrap();
        let address = server.local_addrs()[0];
        runtime.spawn(Arc::new(server).run());
        for (file, key) in [("known_hosts", "host"), ("changed_hosts", "other-host")] {
            let key = fs::read_to_string(path(&format!("{key}.pub"))).unwrap();
            fs::write(path(file), format!("[127.0.0.1]:{} {key}", address.port())).unwrap();
        }
        fs::write(path("no_hosts"), "").unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            closed: closed.local_addr().unwrap().port(),
            dir,
            runtime,
            server: address,
            account,
            busy: OnceLock::new(),
            through: Vec::new(),
            errors_to: Errors::Pipe,
        }
    }

    /// From here on, programs run without root's rights.
    pub(crate) fn without_privileges(mut self) -> Self {
        if !self.account.is_root() {
            return self;
        }
        let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
        let own = |path: &Path| std::os::unix::fs::chown(path, Some(nobody.uid.as_raw()), None);
        own(self.dir.path()).unwrap();
        for program in [Program::Adit, Program::Aditd] {
            // A copy, because that user may have no way to where it was built.
            fs::copy(built(program), self.dir.path().join(name(program))).unwrap();
        }
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            own(&entry.unwrap().path()).unwrap();
        }
        fs::set_permissions(self.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let words = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"];
        self.through = words.map(str::to_owned).to_vec();
        self
    }

    /// A file in the folder, as an argument.
    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Writes a file; its path, as an argument.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The server's port.
    pub(crate) fn server_port(&self) -> u16 {
        self.server.port()
    }

    /// A port that somebody listens on as long as this stands.
    pub(crate) fn busy_port(&self) -> u16 {
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = self.busy.get_or_init(bind);
        listener.local_addr().unwrap().port()
    }

    /// Runs adit against the server with a key and a known_hosts of the folder, and compares.
    pub(crate) fn check_login(&self, golden: &str, key: &str, known_hosts: &str, args: &[&str]) {
        let known = format!("UserKnownHostsFile={}", self.path(known_hosts));
        let (port, key) = (self.server.port().to_string(), self.path(key));
        let destination = format!("{}@127.0.0.1", self.account.name);
        let mut all = vec!["-N", "-F", "none", "-p", &port, "-i", &key, "-o", &known];
        all.extend(["-o", "GlobalKnownHostsFile=none", &destination]);
        all.extend(args);
        self.check(golden, Program::Adit, &all);
    }

    /// Runs a program to its end and compares all that it said.
    pub(crate) fn check(&self, golden: &str, program: Program, args: &[&str]) {
        // In a session of its own, no program can ask at the terminal that the tests run on.
        let mut command = Command::new("setsid");
        match self.through.as_slice() {
            [] => command.arg(built(program)),
            words => command
                .arg("setpriv")
                .args(words)
                .arg(self.dir.path().join(name(program))),
        };
        command
            .args(args)
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("TZ")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = self.runtime.block_on(async {
            let running = async {
                match self.errors_to {
                    Errors::Pipe => command.output().await,
                    Errors::Terminal => on_a_terminal(command).await,
                }
            };
            tokio::time::timeout(LIMIT, running).await
        });
        let output = output.unwrap_or_else(|_| panic!("{golden}: it goes on and on"));
        let said = transcript(name(program), args, &output.unwrap());
        super::compare(golden, &self.named(&said));
    }

    /// The text with names in place of what differs from run to run.
    fn named(&self, text: &str) -> String {
        let mut text = text
            .replace(&self.dir.path().display().to_string(), "DIR")
            .replace(&format!("{}@", self.account.name), "USER@")
            .replace(
                &format!("adit {}\n", env!("CARGO_PKG_VERSION")),
                "adit VERSION\n",
            )
            .replace(
                &format!("aditd {}\n", env!("CARGO_PKG_VERSION")),
                "aditd VERSION\n",
            )
            .replace(&self.server.port().to_string(), "SERVER")
            .replace(&self.closed.to_string(), "CLOSED");
        if let Some(listener) = self.busy.get() {
            let port = listener.local_addr().unwrap().port();
            text = text.replace(&port.to_string(), "BUSY");
        }
        let mut pieces = text.split("SHA256:");
        let first = pieces.next().unwrap_or_default().to_owned();
        pieces.fold(first, |text, piece| {
            text + "SHA256:FINGERPRINT" + piece.get(FINGERPRINT..).unwrap_or_default()
        })
    }
}

/// Runs it with a terminal for its standard error.
async fn on_a_terminal(mut command: Command) -> io::Result<Output> {
    let terminal = nix::pty::openpty(None, None)?;
    command.stderr(terminal.slave);
    let reading = tokio::task::spawn_blocking(move || {
        let mut said = Vec::new();
        // A terminal whose last user has gone ends with an error.
        let _ = File::from(terminal.master).read_to_end(&mut said);
        String::from_utf8_lossy(&said).replace("\r\n", "\n")
    });
    let running = command.stdout(Stdio::piped()).spawn()?;
    // It holds the program's end of the terminal.
    drop(command);
    let mut output = running.wait_with_output().await?;
    output.stderr = reading.await.unwrap().into_bytes();
    Ok(output)
}

fn name(program: Program) -> &'static str {
    match program {
        Program::Adit => "adit",
        Program::Aditd => "aditd",
    }
}

fn built(program: Program) -> PathBuf {
    PathBuf::from(match program {
        Program::Adit => env!("CARGO_BIN_EXE_adit"),
        Program::Aditd => env!("CARGO_BIN_EXE_aditd"),
    })
}

/// Transcript: the text that a person at a terminal would see, and the exit code.
fn transcript(program: &str, args: &[&str], output: &Output) -> String {
    let code = output.status.code();
    let code = code.map_or("none: a signal ended it".to_owned(), |code| {
        code.to_string()
    });
    let line = [&[program], args].concat().join(" ");
    let mut text = format!("$ {line}\n# exit code {code}\n");
    for (stream, bytes) in [("output", &output.stdout), ("error", &output.stderr)] {
        if !bytes.is_empty() {
            text += &format!("# standard {stream}\n{}", String::from_utf8_lossy(bytes));
        }
    }
    text
}
