//! Tests of an uplink without listeners.

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::*;
use crate::net::pair::Pair;

fn bounds(applications: usize) -> WaitingBounds {
    let time = Duration::from_secs(60);
    WaitingBounds { applications, time }
}

/// An application's connection, and the application's end of it.
fn app() -> (Stream, UnixStream) {
    let (app, application) = UnixStream::pair().unwrap();
    (app.into(), application)
}

#[tokio::test]
async fn refusal_of_an_application_says_why_there_is_no_connection() {
    let uplink = ChangingUplink::new(bounds(1), "no route to host");
    let (first, _application) = app();
    let (second, _application) = app();
    let (waited, refused) = tokio::join!(
        async {
            tokio::time::pause();
            uplink.wait(&first).await.unwrap_err()
        },
        async { uplink.wait(&second).await.unwrap_err() }
    );
    assert_eq!(
        waited.to_string(),
        "not connected for 60 seconds: no route to host"
    );
    assert_eq!(
        refused.to_string(),
        "not connected (no route to host), and 1 connections wait"
    );
    assert_eq!(uplink.waiting(), 0);
}

#[tokio::test]
async fn application_waits_for_the_next_connection_if_this_one_has_ended() {
    let pair = Pair::new().await;
    let fixed = Uplink::Fixed(pair.client.clone());
    let uplink = ChangingUplink::new(bounds(1), "");
    uplink.set_up(pair.client.clone());
    let changing = Uplink::Changing(uplink.clone());
    assert!(changing.current().is_some());
    pair.client.end("enough");
    let (socket, _application) = app();
    assert_eq!(
        fixed.wait(&socket).await.unwrap_err(),
        NoUplink::Over(Ended::ByUs)
    );
    let next = Pair::new().await;
    let (waited, ()) = tokio::join!(changing.wait(&socket), async {
        uplink.set_down("between two");
        assert!(changing.current().is_none());
        uplink.set_up(next.client.clone());
    });
    assert!(!waited.unwrap().is_ended());
}

#[tokio::test]
async fn uplink_that_is_over_never_comes_back() {
    let pair = Pair::new().await;
    let uplink = ChangingUplink::new(bounds(1), "");
    uplink.set_over(Ended::ClosedByPeer);
    uplink.set_up(pair.client.clone());
    let (socket, _application) = app();
    let over = uplink.wait(&socket).await.unwrap_err();
    assert_eq!(over, NoUplink::Over(Ended::ClosedByPeer));
}

#[tokio::test]
async fn half_closed_applications_wait_in_places_of_their_own() {
    let uplink = ChangingUplink::new(bounds(1), "");
    let mut waiting = Vec::new();
    let mut applications = Vec::new();
    for expected in 1..=2 {
        let (socket, mut application) = app();
        let waits = uplink.clone();
        waiting.push(tokio::spawn(async move { waits.wait(&socket).await }));
        while uplink.waiting() < expected {
            tokio::task::yield_now().await;
        }
        application.shutdown().await.unwrap();
        applications.push(application);
        while expected == 1 && uplink.half_closed.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    }
    let second = waiting.pop().unwrap().await.unwrap();
    assert_eq!(second.unwrap_err(), NoUplink::NotWanted);
    assert_eq!(uplink.waiting(), 1);
    let pair = Pair::new().await;
    uplink.set_up(pair.client.clone());
    waiting.pop().unwrap().await.unwrap().unwrap();
    assert_eq!(uplink.waiting(), 0);
}
