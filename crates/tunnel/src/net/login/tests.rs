//! Tests of requests without an answer, and of abandoned logins.

use std::time::Duration;

use tokio::time::timeout;

use super::super::outcome::Ended;
use super::super::pair::{self, ends, log_in};
use super::*;

/// Time limit, longer than any test takes.
const LIMIT: Duration = Duration::from_secs(20);

/// Next event of the client, without those of the key exchange; accepts the host key.
async fn next(client: &mut ClientLogin) -> Option<ClientLoginEvent> {
    loop {
        match timeout(LIMIT, client.next()).await.unwrap()? {
            ClientLoginEvent::HostKey(_) => client.accept_host_key(),
            ClientLoginEvent::KeysChanged => {}
            event => return Some(event),
        }
    }
}

#[tokio::test]
async fn request_without_an_answer_is_refused_when_the_login_continues() {
    let (mut client, mut server) = ends();
    let serving = async {
        drop(server.next().await.unwrap());
        let _ended = server.next().await;
    };
    let asking = async {
        let answer = next(&mut client).await;
        client.end("the test is over");
        answer
    };
    let ((), answer) = tokio::join!(serving, asking);
    assert!(matches!(answer, Some(ClientLoginEvent::Failure(_))));
}

#[tokio::test]
async fn request_without_an_answer_sends_nothing_if_the_login_ends() {
    let (mut client, mut server) = ends();
    let serving = async {
        drop(server.next().await.unwrap());
        server.end("Timeout before authentication");
    };
    let ((), answer) = tokio::join!(serving, next(&mut client));
    assert!(answer.is_none(), "{answer:?}");
    let why = client.why_ended().to_string();
    assert!(why.contains("Timeout before authentication"), "{why}");
}

#[tokio::test]
async fn dropped_login_ends_the_connection() {
    let (mut client, server) = ends();
    drop(server);
    assert!(next(&mut client).await.is_none());
    assert_ne!(client.why_ended(), Ended::ByUs);

    let (client, mut server) = ends();
    drop(client);
    assert!(timeout(LIMIT, server.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn finished_login_goes_on_as_a_connection() {
    let (client, server) = ends();
    let ((client, _inbox), (server, _requests)) = log_in(client, server).await;
    assert!(!client.is_ended() && !server.is_ended());
}

/// A server and its success, after its client's login.
async fn let_in() -> (ClientLogin, ServerLogin, LoginSuccess) {
    let (mut client, mut server) = ends();
    let (_, success) = tokio::join!(pair::prove(&mut client), pair::let_in(&mut server));
    (client, server, success)
}

#[tokio::test]
async fn success_of_another_login_does_not_count_and_ends_the_connection() {
    let (_client, _server, success) = let_in().await;
    let (mut other_client, other_server) = ends();
    let (handle, _inbox) = other_server.finish(success);
    assert!(handle.is_ended());
    assert!(next(&mut other_client).await.is_none());
}
