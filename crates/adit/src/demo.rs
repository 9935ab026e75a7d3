//! `adit demo`: the whole thing on one machine. An aditd in this process with fresh keys, a small web site and an
//! echo, and a real SSH connection over loopback that carries a `-L`, a `-R`, a `-D` and a unix-socket forward.
//!
//! Its text goes to standard output: it is the result. Nothing of it touches the user's own keys or files.

mod args;
mod page;
mod site;
mod visit;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use adit_proto::key::SigningKey;
use adit_tunnel::client::{Client, ClientSettings, Prompts};
use adit_tunnel::config::spec::{BindAddress, Endpoint, Forward, ListenSpec};
use adit_tunnel::config::ssh_config::{ClientOptions, StrictHostKeyChecking};
use adit_tunnel::config::sshd_config::{ListenAddress, ServerOptions};
use adit_tunnel::identity::file::write_new_host_key;
use adit_tunnel::net::listener::describe;
use adit_tunnel::server::{LocalAccount, Server, ServerSettings};
use adit_tunnel::tunnel::Tunnel;
use args::{Args, HELP, Stay};
use page::Run;
use site::Contents;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::command_line::fail;
use crate::signals::Signals;

/// Name in front of messages.
const PROGRAM: &str = "adit demo";

/// Bytes that the throughput test carries through `-L`.
const BULK: u64 = 1 << 30;

/// Runs the demo: until Ctrl-C, or with `--once` until everything was tried.
pub(crate) fn main() -> ExitCode {
    let stay = match Args::parse(std::env::args_os().skip(2)) {
        Ok(Args::Run(stay)) => stay,
        Ok(Args::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            return fail(PROGRAM, &format!("{message}\nhint: adit demo --help"));
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = runtime.map_err(|e| e.to_string()).and_then(|runtime| {
        let result = runtime.block_on(until_a_signal(stay));
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(PROGRAM, &message),
    }
}

/// Whatever ends the demo, and whenever, its folder is dropped on the way out.
async fn until_a_signal(stay: Stay) -> Result<(), String> {
    // Before there is anything to take away: a signal without its handler would end the process on the spot.
    let mut signals = Signals::with_quit().map_err(|e| format!("cannot wait for signals: {e}"))?;
    let begun = tokio::select! {
        biased;
        _ = signals.any() => Err("ended by a signal before everything was tried".into()),
        begun = run(stay) => begun,
    };
    let (_folder, _tunnel) = begun?;
    if stay == Stay::UntilInterrupted {
        signals.any().await;
        // Behind the ^C that the terminal shows; nobody may be reading any more.
        let _ = say("\n");
    }
    Ok(())
}

/// Prints; a reader who has gone is an error like any other, so that what is to be taken away is.
fn say(text: &str) -> Result<(), String> {
    let mut output = std::io::stdout().lock();
    let written = output.write_all(text.as_bytes());
    written
        .and_then(|()| output.flush())
        .map_err(|e| format!("cannot write to standard output: {}", describe(&e)))
}

/// Starts everything and tries it; gives the folder that everything lies in, and the tunnel.
async fn run(stay: Stay) -> Result<(TempDir, Tunnel), String> {
    let folder = tempfile::tempdir().map_err(|e| format!("cannot make a folder: {e}"))?;
    let (listener, echo) = (free().await?, start(site::echo(free().await?)));
    let site = listener.local_addr().map_err(|e| e.to_string())?;
    let (server, account) = start_server(&folder).await?;
    say(&format!(
        "adit demo: an aditd on {server}, a web site on {site} and a TCP echo on {echo},\n\
         all in this process. One SSH connection, encrypted, now carries four forwards.\n\n"
    ))?;
    let client = connect(&folder, server, &account).await?;
    let (tunnel, _) = Tunnel::over(client);
    let mut run = Run {
        server,
        site,
        echo,
        local: unused_port().await?,
        dynamic: unused_port().await?,
        remote: 0,
        socket: folder.path().join("web.sock"),
    };
    run.remote = forward(&tunnel, &run).await?;
    let page = run.page();
    start(site::web(
        listener,
        Arc::new(Contents {
            page: page.clone(),
            tunnel: tunnel.clone(),
        }),
    ));

    explain_and_try(&run, &page).await?;
    let speed = throughput(run.local).await?;
    say(&format!(
        "throughput through -L: {speed:.0} MB/s, both ends of the tunnel on this machine\n\n"
    ))?;
    match stay {
        Stay::Once => say("everything worked\n")?,
        Stay::UntilInterrupted => say(&invitation(&run))?,
    }
    Ok((folder, tunnel))
}

fn invitation(run: &Run) -> String {
    let Run {
        site,
        local,
        dynamic,
        socket,
        ..
    } = run;
    format!(
        "now try it yourself (Ctrl-C ends the demo):\n  \
         a browser:  http://127.0.0.1:{local}/   with a live picture\n  \
         curl http://127.0.0.1:{local}/\n  \
         curl -x socks5h://127.0.0.1:{dynamic} http://{site}/\n  \
         curl --unix-socket {} http://demo/\n",
        socket.display()
    )
}

async fn free() -> Result<TcpListener, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(|e| format!("cannot listen on loopback: {e}"))
}

fn start(
    (address, serving): (SocketAddr, impl Future<Output = ()> + Send + 'static),
) -> SocketAddr {
    tokio::spawn(serving);
    address
}

/// An aditd with a fresh host key that lets a fresh user key in.
async fn start_server(folder: &TempDir) -> Result<(SocketAddr, LocalAccount), String> {
    let path = |name: &str| folder.path().join(name);
    let new_key = || SigningKey::generate_ed25519().map_err(|e| e.to_string());
    let user_key = new_key()?;
    write_new_host_key(&path("user"), &user_key).map_err(|e| e.to_string())?;
    std::fs::copy(path("user.pub"), path("authorized_keys")).map_err(|e| e.to_string())?;
    let options = ServerOptions {
        listen_addresses: vec![ListenAddress {
            host: "127.0.0.1".into(),
            port: Some(0),
        }],
        authorized_keys_files: Some(vec![path("authorized_keys").display().to_string()]),
        // The folder is ours alone, but lies in /tmp, which is not.
        strict_modes: Some(false),
        ..ServerOptions::default()
    };
    let account = LocalAccount::own()?;
    let settings = ServerSettings::new(options, vec![new_key()?], account.clone());
    let (settings, _) = settings.map_err(|e| e.to_string())?;
    let server = Server::bind(Arc::new(settings))
        .await
        .map_err(|e| e.to_string())?;
    let address = *server
        .local_addrs()
        .first()
        .ok_or("the server has no address")?;
    tokio::spawn(Arc::new(server).run());
    Ok((address, account))
}

async fn connect(
    folder: &TempDir,
    server: SocketAddr,
    account: &LocalAccount,
) -> Result<Client, String> {
    let options = ClientOptions {
        port: Some(server.port()),
        identity_files: vec![folder.path().join("user")],
        identities_only: Some(true),
        user_known_hosts_files: Some(vec![folder.path().join("known_hosts")]),
        global_known_hosts_files: Some(Vec::new()),
        strict_host_key_checking: Some(StrictHostKeyChecking::AcceptNew),
        ..ClientOptions::default()
    };
    let settings = ClientSettings::new("127.0.0.1", &account.name, account.home.clone(), options);
    let connected = Client::connect(vec![settings], &Prompts::none()).await;
    // It has served its turn; what is not there no end of the demo can leave behind, not even a SIGKILL.
    let removed = std::fs::remove_file(folder.path().join("user"));
    removed.map_err(|e| format!("cannot remove the demo's key: {}", describe(&e)))?;
    connected.map_err(|e| e.to_string())
}

/// Starts the four forwards, in the order of the page's table; gives the port of `-R`.
async fn forward(tunnel: &Tunnel, run: &Run) -> Result<u16, String> {
    let tcp = |port| ListenSpec::Tcp {
        bind: BindAddress::Host("127.0.0.1".into()),
        port,
    };
    let to = |address: SocketAddr| Endpoint::Tcp {
        host: address.ip().to_string(),
        port: address.port(),
    };
    let forwards = [
        Forward::Local {
            listen: tcp(run.local),
            target: to(run.site),
        },
        Forward::Dynamic {
            listen: tcp(run.dynamic),
        },
        Forward::Local {
            listen: ListenSpec::Unix(run.socket.clone()),
            target: to(run.site),
        },
        Forward::Remote {
            listen: tcp(0),
            target: to(run.echo),
        },
    ];
    let mut remote = None;
    for forward in &forwards {
        let started = tunnel.forward(forward).await.map_err(|e| e.to_string())?;
        remote = started.allocated_port.or(remote);
    }
    remote.ok_or_else(|| "the server allocated no port".into())
}

/// A port that nobody has now; the moment until it is bound again is short.
async fn unused_port() -> Result<u16, String> {
    let address = free().await?.local_addr().map_err(|e| e.to_string())?;
    Ok(address.port())
}

/// For each forward: what it is, a picture, and a real visit through it.
async fn explain_and_try(run: &Run, expected: &str) -> Result<(), String> {
    let Run {
        site,
        echo,
        local,
        remote,
        dynamic,
        socket,
        server: _,
    } = run;
    say(&format!(
        "-L {local}:{site}   the client listens, the server dials\n   \
         you ─▶ 127.0.0.1:{local} adit ═══ssh═══▶ aditd ─▶ {site} web site\n"
    ))?;
    let page = visit::fetch_tcp(*local, expected).await;
    let page = page.map_err(|e| format!("-L: {e}"))?;
    say(&format!("   fetched {page} bytes\n\n"))?;

    say(&format!(
        "-D {dynamic}   the client listens and speaks SOCKS, the server dials what it is asked for\n   \
         you ─▶ 127.0.0.1:{dynamic} adit ═══ssh═══▶ aditd ─▶ anywhere\n"
    ))?;
    let page = visit::fetch_socks(*dynamic, *site, expected).await;
    let page = page.map_err(|e| format!("-D: {e}"))?;
    say(&format!(
        "   fetched {page} bytes from {site} through SOCKS5\n\n"
    ))?;

    let path = socket.display();
    say(&format!(
        "-L {path}:{site}   the same with a unix socket\n   \
         you ─▶ {path} adit ═══ssh═══▶ aditd ─▶ {site} web site\n"
    ))?;
    let page = visit::fetch_unix(socket, expected).await;
    let page = page.map_err(|e| format!("unix socket: {e}"))?;
    say(&format!("   fetched {page} bytes\n\n"))?;

    say(&format!(
        "-R {remote}:{echo}   the server listens, the client dials\n   \
         {echo} echo ◀─ adit ◀═══ssh═══ aditd 127.0.0.1:{remote} ◀─ others\n"
    ))?;
    let said = visit::echo(*remote).await.map_err(|e| format!("-R: {e}"))?;
    say(&format!("   the echo answered {said:?}\n\n"))
}

/// Megabytes a second of one download through `-L`.
async fn throughput(local: u16) -> Result<f64, String> {
    let begun = Instant::now();
    let bytes = visit::download(local, BULK)
        .await
        .map_err(|e| format!("throughput: {e}"))?;
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    Ok(bytes as f64 / 1e6 / begun.elapsed().as_secs_f64())
}
