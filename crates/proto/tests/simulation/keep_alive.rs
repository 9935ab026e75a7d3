//! A peer that falls silent is noticed, one that only sends or only waits is not disturbed.

use std::time::Duration;

use adit_proto::connection::KeepAlive;
use adit_proto::error::Error;

use super::pair::{Condition, Setup};

const KEEP_ALIVE: KeepAlive = KeepAlive {
    interval: Duration::from_secs(10),
    count_max: 3,
};

#[test]
fn silent_peer_ends_the_connection_after_the_unanswered_questions() {
    let mut pair = Setup::default().keep_alive(KEEP_ALIVE).connect();
    pair.to_client.condition = Condition::Cut;
    pair.run_for(Duration::from_millis(39_900));
    assert_eq!(pair.client.error, None);
    pair.run_for(Duration::from_millis(200));
    assert!(matches!(pair.client.error, Some(Error::PeerSilent(_))));
}

#[test]
fn idle_connection_lives_on() {
    let mut pair = Setup::default().keep_alive(KEEP_ALIVE).connect();
    pair.run_for(Duration::from_secs(3600));
    assert_eq!((&pair.client.error, &pair.server.error), (&None, &None));
}

#[test]
fn answer_at_the_last_moment_starts_the_count_anew() {
    let mut pair = Setup::default().keep_alive(KEEP_ALIVE).connect();
    for _ in 0..10 {
        pair.to_client.condition = Condition::Blocked;
        pair.run_for(Duration::from_secs(30));
        pair.to_client.condition = Condition::Working;
        pair.run_for(Duration::from_secs(5));
    }
    assert_eq!(pair.client.error, None);
}

#[test]
fn process_that_slept_gives_the_peer_its_full_time_to_answer() {
    let mut pair = Setup::default().keep_alive(KEEP_ALIVE).connect();
    pair.now += Duration::from_secs(3600);
    pair.run_for(Duration::from_secs(60));
    assert_eq!(pair.client.error, None);
}
