//! Many SSH clients in this process, made of adit's library: the same light client before every server, so that
//! the server is what is measured.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use adit_tunnel::client::{Client, ClientSettings, Prompts};
use adit_tunnel::config::Lookups;
use adit_tunnel::config::spec::Forward;
use adit_tunnel::config::ssh_config::{ClientOptions, IdentityAgent, StrictHostKeyChecking};
use adit_tunnel::tunnel::Tunnel;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::failure::{Attempt, Failure, Result};
use crate::workshop::{Server, Workshop};

/// Number of logins that are under way at the same time; servers allow 200.
pub(crate) const AT_ONCE: usize = 16;

/// Clients of one server.
#[derive(Debug)]
pub(crate) struct Crowd {
    runtime: Runtime,
    settings: ClientSettings,
}

/// Clients that are logged in. Dropping it ends their connections.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    tunnels: Vec<Tunnel>,
    crowd: &'a Crowd,
}

impl Crowd {
    pub(crate) fn before(server: &Server, workshop: &Workshop) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .attempt(|| "start a runtime".to_owned())?;
        let options = ClientOptions {
            port: Some(server.port()),
            identity_files: vec![workshop.user_key()],
            identities_only: Some(true),
            identity_agent: Some(IdentityAgent::Disabled),
            user_known_hosts_files: Some(vec![workshop.known_hosts()]),
            global_known_hosts_files: Some(Vec::new()),
            strict_host_key_checking: Some(StrictHostKeyChecking::Yes),
            ..ClientOptions::default()
        };
        let settings =
            ClientSettings::new("127.0.0.1", workshop.user(), PathBuf::from("/"), options);
        Ok(Self { runtime, settings })
    }

    /// Logs in again and again for `time`; how often that succeeded.
    pub(crate) fn log_in_for(&self, time: Duration) -> Result<u32> {
        let (count, end) = (Arc::new(AtomicU32::new(0)), Instant::now() + time);
        let mut tasks = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (settings, count) = (self.settings.clone(), Arc::clone(&count));
            let work = async move {
                while Instant::now() < end {
                    log_in(settings.clone()).await?;
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            };
            tasks.spawn_on(work, self.runtime.handle());
        }
        self.finish::<()>(tasks)?;
        Ok(count.load(Ordering::Relaxed))
    }

    /// Logs in `count` times and stays, with one remote forward to 127.0.0.1:`target` each.
    pub(crate) fn hold(&self, count: usize, target: u16) -> Result<Held<'_>> {
        let spec = format!("127.0.0.1:0:127.0.0.1:{target}");
        let forward = Forward::parse_remote(&spec, &Lookups::none())
            .attempt(|| format!("read the forward {spec}"))?;
        let next = Arc::new(AtomicU32::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (settings, next) = (self.settings.clone(), Arc::clone(&next));
            let forward = forward.clone();
            let work = async move {
                let mut tunnels = Vec::new();
                while (next.fetch_add(1, Ordering::Relaxed) as usize) < count {
                    let (tunnel, _) = Tunnel::over(log_in(settings.clone()).await?);
                    tunnel
                        .forward(&forward)
                        .await
                        .attempt(|| "start a remote forward".to_owned())?;
                    tunnels.push(tunnel);
                }
                Ok(tunnels)
            };
            tasks.spawn_on(work, self.runtime.handle());
        }
        Ok(Held {
            tunnels: self.finish(tasks)?.into_iter().flatten().collect(),
            crowd: self,
        })
    }

    fn finish<T: 'static>(&self, mut tasks: JoinSet<Result<T>>) -> Result<Vec<T>> {
        self.runtime.block_on(async {
            let mut results = Vec::new();
            while let Some(ended) = tasks.join_next().await {
                let result = ended.map_err(|_| Failure::new("a client panicked"))?;
                results.push(result?);
            }
            Ok(results)
        })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Ending a connection is the runtime's work.
        let _inside = self.crowd.runtime.enter();
        self.tunnels.clear();
    }
}

async fn log_in(settings: ClientSettings) -> Result<Client> {
    let port = settings.port;
    Client::connect(vec![settings], &Prompts::none())
        .await
        .attempt(|| format!("log in at 127.0.0.1:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contestant::tests::openssh;
    use crate::load::target::Target;
    use crate::measure::Processes;

    #[test]
    fn a_crowd_is_let_in_by_a_stock_server_and_stays() {
        let workshop = Workshop::open().unwrap();
        let target = Target::start().unwrap();
        let program = openssh().programs().unwrap().server.clone();
        let server = workshop.server(&program, None).unwrap();
        let crowd = Crowd::before(&server, &workshop).unwrap();
        let held = crowd.hold(3, target.port()).unwrap();
        assert_eq!(held.tunnels.len(), 3);
        // sshd makes a process for each client, at least.
        let processes = Processes::new(vec![server.pid()]);
        assert!(processes.pids().len() > 3);
        assert!(crowd.log_in_for(Duration::from_millis(1)).unwrap() >= 1);
    }
}
