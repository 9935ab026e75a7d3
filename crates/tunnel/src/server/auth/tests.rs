//! Tests of a login whose client is the test.

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
use crate::session::remote::process::Starter;
use crate::session::remote::start::Limits;

fn commons() -> Commons {
    Commons {
        descriptors: Pool::new(1000),
        readers: Arc::default(),
        starter: Starter::own(Limits::default()),
    }
}

/// Answers that a client called `user` gets from a server of this account, and the end of its connection. It sends
/// these requests after the first `none` of the core.
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
async fn existing_and_other_accounts_get_the_same_answers() {
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
async fn none_is_an_attempt_unless_it_is_the_first_request() {
    let (heard, ended) = exchange("user", &[const { Method::None }; 9]).await;
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(ended.to_string().contains("Too many"), "{ended}");
}

#[tokio::test]
async fn time_of_a_refusal_does_not_reveal_the_time_of_the_work() {
    let arrived = Instant::now();
    for (work, delays) in [(0, 1), (1, 1), (4999, 1), (5000, 2), (12_345, 3)] {
        let now = arrived + Duration::from_micros(work);
        assert_eq!(refusal_due(arrived, now), arrived + REFUSAL_DELAY * delays);
    }
}

#[tokio::test]
async fn disk_that_does_not_answer_delays_only_the_login_that_waits_for_it() {
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

/// Name of the server's next answer.
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
