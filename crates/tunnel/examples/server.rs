//! A server in a few lines: it admits the user who runs it, on a loopback port of its own choice.

use std::sync::Arc;

use adit_proto::key::SigningKey;
use adit_tunnel::config::sshd_config::{ListenAddress, ServerOptions};
use adit_tunnel::server::{LocalAccount, Server, ServerSettings};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = ServerOptions {
        listen_addresses: vec![ListenAddress {
            host: "127.0.0.1".into(),
            port: Some(0),
        }],
        ..ServerOptions::default()
    };
    let host_key = SigningKey::generate_ed25519()?;
    println!("host key {}", host_key.public_key().fingerprint_sha256());
    let (settings, _) = ServerSettings::new(options, vec![host_key], LocalAccount::own()?)?;
    let server = Server::bind(Arc::new(settings)).await?;
    println!("listening on {:?}", server.local_addrs());
    Arc::new(server).run().await;
    Ok(())
}
