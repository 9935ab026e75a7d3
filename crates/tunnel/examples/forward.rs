//! A forward in either direction: `forward USER HOST PORT -L 8080:localhost:80`, or `-R`, or `-D 1080`.

use adit_tunnel::client::{Client, ClientSettings, Prompts};
use adit_tunnel::config::Lookups;
use adit_tunnel::config::spec::Forward;
use adit_tunnel::config::ssh_config::ClientOptions;
use adit_tunnel::tunnel::Tunnel;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [user, host, port, flag, spec] = &words[..] else {
        return Err("usage: forward USER HOST PORT -L|-R|-D SPEC".into());
    };
    let forward = match flag.as_str() {
        "-L" => Forward::parse_local(spec, &Lookups::none())?,
        "-R" => Forward::parse_remote(spec, &Lookups::none())?,
        "-D" => Forward::parse_dynamic(spec, &Lookups::none())?,
        other => return Err(format!("{other} is none of -L, -R and -D").into()),
    };
    let options = ClientOptions {
        port: Some(port.parse()?),
        ..ClientOptions::default()
    };
    // Here, below HOME, are the keys and the known hosts.
    let home = std::env::var("HOME")?.into();
    let settings = ClientSettings::new(host, user, home, options);
    // Nobody answers prompts: the host must be known, and the key without a passphrase or in the agent.
    let client = Client::connect(vec![settings], &Prompts::none()).await?;
    // Nobody reads the news either: they go to the log.
    let (tunnel, _) = Tunnel::over(client);
    let started = tunnel.forward(&forward).await?;
    match started.allocated_port {
        Some(port) => println!("{} is up on port {port}", started.label),
        None => println!("{} is up", started.label),
    }
    println!("{}", tunnel.ended().await);
    Ok(())
}
