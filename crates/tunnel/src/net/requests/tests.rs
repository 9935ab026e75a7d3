//! Requests of a session between two ends.

use adit_proto::message::session::{SignalName, TerminalSize};

use super::super::pair::Pair;
use super::*;

fn exec(command: &str) -> SessionRequest {
    SessionRequest::Exec {
        command: command.into(),
    }
}

/// The peer's next request, which must be a session's.
async fn next(channel: &Channel) -> (SessionRequest, PendingChannelReply) {
    let request = channel.next_request().await.unwrap();
    (request.parse().unwrap().unwrap(), request.reply)
}

#[tokio::test]
async fn replies_of_channel_requests_come_in_order_whichever_is_found_first() {
    let mut pair = Pair::new().await;
    let (ours, theirs) = pair.open_session().await;
    let pty = ours.ask(&SessionRequest::Shell).unwrap();
    ours.tell(&SessionRequest::WindowChange(TerminalSize::default()))
        .unwrap();
    let command = ours.ask(&exec("uptime")).unwrap();

    let (first, to_first) = next(&theirs).await;
    let (told, to_nobody) = next(&theirs).await;
    let (second, to_second) = next(&theirs).await;
    assert_eq!(first, SessionRequest::Shell);
    assert_eq!(told, SessionRequest::WindowChange(TerminalSize::default()));
    assert_eq!(second, exec("uptime"));
    assert!(to_first.is_wanted() && !to_nobody.is_wanted());
    to_second.succeed();
    to_nobody.succeed();
    to_first.fail();
    assert_eq!(pty.given().await, Ok(RequestOutcome::Failure));
    assert_eq!(command.given().await, Ok(RequestOutcome::Success));
}

#[tokio::test]
async fn request_that_its_owner_drops_is_refused() {
    let mut pair = Pair::new().await;
    let (ours, theirs) = pair.open_session().await;
    let asking = ours.request(&SessionRequest::Shell);
    let dropping = async { drop(theirs.next_request().await) };
    let (outcome, ()) = tokio::join!(asking, dropping);
    assert_eq!(outcome, Ok(RequestOutcome::Failure));
}

#[tokio::test]
async fn status_of_the_exit_follows_data_and_eof_and_outlives_the_close() {
    let mut pair = Pair::new().await;
    let (ours, theirs) = pair.open_session().await;
    theirs.send(b"output").await.unwrap();
    theirs.send_eof();
    theirs.tell(&SessionRequest::ExitStatus(3)).unwrap();
    drop(theirs);
    while !ours.is_closed_by_peer() {
        pair.settle().await;
        tokio::task::yield_now().await;
    }
    let (status, _) = next(&ours).await;
    assert_eq!(status, SessionRequest::ExitStatus(3));
    assert!(ours.next_request().await.is_none());
    let refused = ours.request(&SessionRequest::Shell).await;
    assert_eq!(refused, Err(RequestError::NotOpen));
}

#[tokio::test]
async fn who_waits_for_an_answer_or_a_request_hears_of_the_end() {
    for closes in [true, false] {
        let mut pair = Pair::new().await;
        let (ours, theirs) = pair.open_session().await;
        let asking = ours.request(&SessionRequest::Shell);
        let waiting = ours.next_request();
        let ending = async {
            let request = theirs.next_request().await.unwrap();
            match closes {
                true => drop(theirs),
                false => pair.client.end("gone"),
            }
            drop(request);
        };
        let (outcome, request, ()) = tokio::join!(asking, waiting, ending);
        assert_eq!(outcome, Err(RequestError::NotOpen));
        assert!(request.is_none());
    }
}

#[tokio::test]
async fn requests_that_nobody_reads_are_bounded_and_then_refused() {
    let mut pair = Pair::new().await;
    let (ours, theirs) = pair.open_session().await;
    let signal = SessionRequest::Signal(SignalName::Int);
    for _ in 0..MAX_REQUESTS {
        ours.tell(&signal).unwrap();
    }
    let outcome = ours.request(&SessionRequest::Shell).await;
    assert_eq!(outcome, Ok(RequestOutcome::Failure), "no room");
    for _ in 0..MAX_REQUESTS {
        assert_eq!(next(&theirs).await.0, signal);
    }
    let asking = ours.ask(&SessionRequest::Shell).unwrap();
    next(&theirs).await.1.succeed();
    assert_eq!(asking.given().await, Ok(RequestOutcome::Success));
}

#[tokio::test]
async fn forward_takes_no_requests() {
    let mut pair = Pair::new().await;
    let (ours, theirs) = pair.open().await;
    assert!(theirs.next_request().await.is_none());
    let refused = ours.request(&SessionRequest::Shell).await;
    assert_eq!(refused, Err(RequestError::NotOpen));
}
