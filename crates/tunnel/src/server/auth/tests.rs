//! A login whose client is the test.

use std::sync::Arc;

use adit_proto::key::SigningKey;
use adit_proto::message::userauth::Method;
use tokio::time::timeout;

use super::*;
use crate::config::sshd_config::ServerOptions;
use crate::forward::descriptors::Pool;
use crate::net::login::ClientLoginEvent;
use crate::net::pair::{Pair, ends};
use crate::net::{ClientLogin, Ended};
use crate::server::LocalAccount;
use crate::server::gate::Gate;

fn commons() -> Commons {
    Commons {
        descriptors: Pool::new(1000),
        readers: Arc::default(),
    }
}

/// All that a client called `user` hears at a server of that account, and how it ends: it sends these requests behind
/// the core's own `none`.
async fn exchange(account: &str, requests: &[Method<'_>]) -> (Vec<String>, Ended) {
    let home = tempfile::tempdir().unwrap();
    let account = LocalAccount {
        name: account.into(),
        home: home.path().into(),
        ..LocalAccount::own().unwrap()
    };
    let options = ServerOptions {
        max_auth_tries: Some(3),
        ..ServerOptions::default()
    };
    let (settings, _) = ServerSettings::new(options, Vec::new(), account).unwrap();
    let (mut client, mut server) = ends();
    let (commons, settings) = (commons(), Arc::new(settings));
    let visit = Gate::default().enter(None, &settings, std::time::Instant::now());
    let mut visit = visit.unwrap();
    let judging = authenticate(&mut server, &settings, &commons, &mut visit);
    let hearing = async {
        let mut heard = Vec::new();
        let mut requests = requests.iter();
        while let Some(event) = client.next().await {
            match event {
                ClientLoginEvent::HostKey(_) => client.accept_host_key(),
                ClientLoginEvent::KeysChanged => {}
                event => heard.push(format!("{event:?}")),
            }
            let is_answer = heard.last().is_some_and(|event| event.contains("Failure"));
            if is_answer && let Some(request) = requests.next() {
                client.authenticate(request.clone()).unwrap();
            }
        }
        heard
    };
    let (login, heard) = tokio::join!(judging, hearing);
    assert!(login.is_err());
    (heard, client.why_ended())
}

#[tokio::test]
async fn account_that_there_is_and_one_that_there_is_not_hear_the_same() {
    let key = SigningKey::generate_ed25519().unwrap();
    let query = Method::PublicKey {
        algorithm: "ssh-ed25519",
        key: key.public_key().blob(),
        signature: None,
    };
    let signed = Method::PublicKey {
        algorithm: "ssh-ed25519",
        key: key.public_key().blob(),
        signature: Some(b"no signature"),
    };
    let requests = [query, signed, Method::Password(b"guess")];
    let known = exchange("user", &requests).await;
    assert_eq!(known, exchange("another", &requests).await);
    assert_eq!(known.0.len(), 3, "{known:?}");
}

#[tokio::test]
async fn none_is_an_attempt_unless_it_comes_first() {
    let (heard, ended) = exchange("user", &[const { Method::None }; 9]).await;
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(ended.to_string().contains("Too many"), "{ended}");
}

#[tokio::test]
async fn refusal_leaves_at_a_time_that_does_not_tell_how_long_the_work_took() {
    let arrived = Instant::now();
    for (work, delays) in [(0, 1), (1, 1), (4999, 1), (5000, 2), (12_345, 3)] {
        let now = arrived + Duration::from_micros(work);
        assert_eq!(refusal_due(arrived, now), arrived + REFUSAL_DELAY * delays);
    }
}

#[tokio::test]
async fn disk_that_does_not_answer_holds_up_the_login_that_waits_for_it_and_no_other_connection() {
    let account = LocalAccount::own().unwrap();
    let (settings, _) = ServerSettings::new(ServerOptions::default(), Vec::new(), account).unwrap();
    let (commons, settings) = (commons(), Arc::new(settings));
    let disk = commons.readers.all_busy().await;
    let (mut client, mut server) = ends();
    let visit = Gate::default().enter(None, &settings, std::time::Instant::now());
    let mut visit = visit.unwrap();
    let key = SigningKey::generate_ed25519().unwrap();
    let query = Method::PublicKey {
        algorithm: "ssh-ed25519",
        key: key.public_key().blob(),
        signature: None,
    };
    let logging_in = async {
        assert_eq!(answer(&mut client).await, "Failure");
        client.authenticate(query).unwrap();
        let another = Pair::new().await;
        another.settle().await;
        let heard = timeout(Duration::ZERO, client.next()).await;
        assert!(heard.is_err(), "nothing was looked up");
        drop(disk);
        assert_eq!(answer(&mut client).await, "Failure");
        client.end("the test is over");
    };
    let judging = authenticate(&mut server, &settings, &commons, &mut visit);
    let (login, ()) = tokio::join!(judging, logging_in);
    assert!(login.is_err());
}

/// The name of the server's next answer about the login.
async fn answer(client: &mut ClientLogin) -> &'static str {
    while let Some(event) = client.next().await {
        match event {
            ClientLoginEvent::HostKey(_) => client.accept_host_key(),
            ClientLoginEvent::KeysChanged | ClientLoginEvent::Debug(_) => {}
            ClientLoginEvent::Failure(_) => return "Failure",
            _ => return "another",
        }
    }
    "none"
}
