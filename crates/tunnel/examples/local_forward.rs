//! A local forward: `local_forward USER HOST PORT LISTEN_PORT TARGET_HOST TARGET_PORT`.

use adit_tunnel::client::{Client, ClientSettings, Prompts};
use adit_tunnel::config::Lookups;
use adit_tunnel::config::spec::Forward;
use adit_tunnel::config::ssh_config::ClientOptions;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [user, host, port, listen, target, target_port] = &words[..] else {
        return Err(
            "usage: local_forward USER HOST PORT LISTEN_PORT TARGET_HOST TARGET_PORT".into(),
        );
    };
    let options = ClientOptions {
        port: Some(port.parse()?),
        ..ClientOptions::default()
    };
    let home = std::env::var("HOME")?.into();
    let settings = ClientSettings::new(host, user, home, options);
    // Nobody answers prompts here: the host must be known, and the key without a passphrase or in the agent.
    let mut client = Client::connect(vec![settings], &Prompts::none()).await?;
    let spec = format!("{listen}:{target}:{target_port}");
    let started = client
        .forward(&Forward::parse_local(&spec, &Lookups::none())?)
        .await?;
    println!("{} is up", started.label);
    println!("{}", client.run().await);
    Ok(())
}
