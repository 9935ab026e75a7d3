//! `adit demo`: the whole thing on one machine. An aditd in this process with fresh keys, a small web site and an
//! echo, and a real SSH connection over loopback that carries a `-L`, a `-R`, a `-D` and a unix-socket forward.
//!
//! What it prints goes to standard output: it is the result. Nothing of it touches the user's own keys or files.

mod site;
mod visit;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use adit_proto::key::SigningKey;
use adit_tunnel::client::{Client, ClientSettings, Prompts};
use adit_tunnel::config::spec::{BindAddress, Endpoint, Forward, ListenSpec};
use adit_tunnel::config::ssh_config::{ClientOptions, StrictHostKeyChecking};
use adit_tunnel::config::sshd_config::{ListenAddress, ServerOptions};
use adit_tunnel::identity::file::write_new_host_key;
use adit_tunnel::server::{LocalAccount, Server, ServerSettings};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Bytes that the throughput test carries through `-L`.
const BULK: u64 = 1 << 30;

/// Runs the demo: until Ctrl-C, or with `--once` until everything was tried.
pub(crate) fn main() -> ExitCode {
    let once = match std::env::args().nth(2).as_deref() {
        None => Stay::UntilInterrupted,
        Some("--once") => Stay::Once,
        Some(other) => {
            eprintln!("adit demo: unknown option {other}\nhint: adit demo [--once]");
            return ExitCode::from(255);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = runtime
        .map_err(|e| e.to_string())
        .and_then(|runtime| runtime.block_on(run(once)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("adit demo: {message}");
            ExitCode::FAILURE
        }
    }
}

/// What happens once everything was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stay {
    UntilInterrupted,
    Once,
}

/// The four forwards, with the ports they got.
struct Ports {
    site: SocketAddr,
    echo: SocketAddr,
    local: u16,
    remote: u16,
    dynamic: u16,
}

async fn run(stay: Stay) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| format!("cannot make a folder: {e}"))?;
    let site = start(site::web(free().await?));
    let echo = start(site::echo(free().await?));
    let (server, account) = start_server(&folder).await?;
    println!("adit demo: an aditd on {server}, a web site on {site} and a TCP echo on {echo},");
    println!("all in this process. One SSH connection, encrypted, now carries four forwards.\n");
    let mut client = connect(&folder, server, &account).await?;
    let socket = folder.path().join("web.sock");
    let ports = forward(&mut client, site, echo, &socket).await?;
    tokio::spawn(async move { client.run().await });

    explain_and_try(&ports, &socket).await?;
    let speed = throughput(ports.local).await?;
    println!("throughput through -L: {speed:.0} MB/s, both ends of the tunnel on this machine\n");
    if stay == Stay::Once {
        println!("everything worked");
        return Ok(());
    }
    println!("now try it yourself (Ctrl-C ends the demo):");
    println!("  a browser:  http://127.0.0.1:{}/", ports.local);
    println!("  curl http://127.0.0.1:{}/", ports.local);
    println!(
        "  curl -x socks5h://127.0.0.1:{} http://{site}/",
        ports.dynamic
    );
    println!("  curl --unix-socket {} http://demo/", socket.display());
    tokio::signal::ctrl_c().await.map_err(|e| e.to_string())?;
    println!();
    Ok(())
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
    Client::connect(vec![settings], &Prompts::none())
        .await
        .map_err(|e| e.to_string())
}

async fn forward(
    client: &mut Client,
    site: SocketAddr,
    echo: SocketAddr,
    socket: &Path,
) -> Result<Ports, String> {
    let tcp = |port| ListenSpec::Tcp {
        bind: BindAddress::Host("127.0.0.1".into()),
        port,
    };
    let to = |address: SocketAddr| Endpoint::Tcp {
        host: address.ip().to_string(),
        port: address.port(),
    };
    let (local, dynamic) = (unused_port().await?, unused_port().await?);
    let forwards = [
        Forward::Local {
            listen: tcp(local),
            target: to(site),
        },
        Forward::Dynamic {
            listen: tcp(dynamic),
        },
        Forward::Local {
            listen: ListenSpec::Unix(socket.to_owned()),
            target: to(site),
        },
        Forward::Remote {
            listen: tcp(0),
            target: to(echo),
        },
    ];
    let mut remote = None;
    for forward in &forwards {
        let started = client.forward(forward).await.map_err(|e| e.to_string())?;
        remote = started.allocated_port.or(remote);
    }
    Ok(Ports {
        site,
        echo,
        local,
        dynamic,
        remote: remote.ok_or("the server allocated no port")?,
    })
}

/// A port that nobody has now; the moment until it is bound again is short.
async fn unused_port() -> Result<u16, String> {
    let address = free().await?.local_addr().map_err(|e| e.to_string())?;
    Ok(address.port())
}

/// For each forward: what it is, a picture, and a real visit through it.
async fn explain_and_try(ports: &Ports, socket: &Path) -> Result<(), String> {
    let Ports {
        site,
        echo,
        local,
        remote,
        dynamic,
    } = ports;
    println!("-L {local}:{site}   the client listens, the server dials");
    println!("   you ─▶ 127.0.0.1:{local} adit ═══ssh═══▶ aditd ─▶ {site} web site");
    let page = visit::fetch_tcp(*local)
        .await
        .map_err(|e| format!("-L: {e}"))?;
    println!("   fetched {page} bytes\n");

    println!(
        "-D {dynamic}   the client listens and speaks SOCKS, the server dials what it is asked for"
    );
    println!("   you ─▶ 127.0.0.1:{dynamic} adit ═══ssh═══▶ aditd ─▶ anywhere");
    let page = visit::fetch_socks(*dynamic, *site)
        .await
        .map_err(|e| format!("-D: {e}"))?;
    println!("   fetched {page} bytes from {site} through SOCKS5\n");

    println!(
        "-L {}:{site}   the same with a unix socket",
        socket.display()
    );
    println!(
        "   you ─▶ {} adit ═══ssh═══▶ aditd ─▶ {site} web site",
        socket.display()
    );
    let page = visit::fetch_unix(socket)
        .await
        .map_err(|e| format!("unix socket: {e}"))?;
    println!("   fetched {page} bytes\n");

    println!("-R {remote}:{echo}   the server listens, the client dials");
    println!("   {echo} echo ◀─ adit ◀═══ssh═══ aditd 127.0.0.1:{remote} ◀─ others");
    let said = visit::echo(*remote).await.map_err(|e| format!("-R: {e}"))?;
    println!("   the echo answered {said:?}\n");
    Ok(())
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
