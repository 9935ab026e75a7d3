//! Random programs of operations on two honest channel tables that are joined by two queues of messages.
//!
//! Both sides keep to the contract, so every message must be taken, every byte and every request must arrive in order, every
//! request must get its own answer, and once the program is over no window may be lost and no channel may stay.

mod requests;
mod table;

use std::time::Duration;

use adit_proto::channels::{ChannelStream, WindowLimits};
use adit_proto::message::connection::{OpenFailure, OpenFailureReason};
use arbitrary::{Result, Unstructured};

use table::Table;

/// Small, so that a short program meets every limit.
pub(crate) const LIMITS: WindowLimits = WindowLimits {
    initial: 1000,
    min: 100,
    max: 8000,
    credit: 1500,
    budget: 20_000,
};

/// Rounds that it may take until nothing moves any more.
const MAX_ROUNDS: usize = 10_000;

/// One program.
pub fn channel_operations(data: &[u8]) {
    let mut tables = [Table::new(), Table::new()];
    let mut u = Unstructured::new(data);
    if u.arbitrary().unwrap_or_default() {
        for table in &mut tables {
            table.channels.set_early_data(Some(LIMITS.min));
        }
    }
    // A program ends where its bytes end.
    while !u.is_empty() && step(&mut tables, &mut u).is_ok() {}
    finish(&mut tables);
}

fn step(tables: &mut [Table; 2], u: &mut Unstructured<'_>) -> Result<()> {
    let operation = u.int_in_range(0..=21)?;
    if u.arbitrary()? {
        tables.swap(0, 1);
    }
    let [here, there] = tables;
    match operation {
        0 => here.open(u.arbitrary()?),
        1 | 2 => here.accept(),
        3 => here.refuse(&OpenFailure {
            reason: OpenFailureReason(u.arbitrary()?),
            description: String::new(),
        }),
        4..=6 => {
            let id = here.any(u)?;
            let stream = any_stream(u)?;
            here.send(id, stream, u.int_in_range(0..=3000)?, u.arbitrary()?);
        }
        7 => {
            let id = here.any(u)?;
            here.send_unknown_extended(id, u.int_in_range(1..=700)?);
        }
        8 | 9 => {
            let id = here.any(u)?;
            here.take(id, u.int_in_range(0..=8000)?);
        }
        10 => {
            let id = here.any(u)?;
            here.send_eof(id);
        }
        11 => {
            let id = here.any(u)?;
            here.release(id);
        }
        12 => here.let_readers_lag(Duration::from_secs(u.int_in_range(1..=3)?)),
        13 => {
            let round_trip = Duration::from_millis(u.int_in_range(0..=200)?);
            here.channels.set_round_trip(round_trip);
            here.now += Duration::from_millis(u.int_in_range(0..=500)?);
        }
        14 => here.poll(u.int_in_range(0..=5)?),
        15 => here.let_go_of_refused(),
        16 => {
            // A turn that the other side's messages overtake: window is taken before, and given back behind them.
            let id = here.any(u)?;
            let taken = here.reserve(id, u.int_in_range(1..=3000)?);
            deliver(there, here, u.int_in_range(1..=20)?);
            here.refund(id, taken);
        }
        17 | 18 => {
            let id = here.any(u)?;
            here.ask(id, u.arbitrary()?, u.arbitrary()?);
        }
        19 => here.answer(u)?,
        _ => deliver(here, there, u.int_in_range(1..=20)?),
    }
    Ok(())
}

fn any_stream(u: &mut Unstructured<'_>) -> Result<ChannelStream> {
    Ok(match u.arbitrary()? {
        true => ChannelStream::Data,
        false => ChannelStream::Stderr,
    })
}

/// Gives up to so many messages of one table to the other; tells whether there were any.
fn deliver(from: &mut Table, to: &mut Table, most: usize) {
    let count = most.min(from.wire.len());
    for message in from.wire.drain(..count) {
        to.recv(&message);
    }
}

/// Everything is sent, delivered and taken until nothing moves.
fn settle(tables: &mut [Table; 2]) {
    for _ in 0..MAX_ROUNDS {
        let [a, b] = tables;
        a.poll(usize::MAX);
        b.poll(usize::MAX);
        if a.wire.is_empty() && b.wire.is_empty() && !a.take_all() && !b.take_all() {
            assert!(!a.channels.has_message() && !b.channels.has_message());
            return;
        }
        deliver(a, b, usize::MAX);
        deliver(b, a, usize::MAX);
    }
    panic!("it never comes to rest");
}

fn finish(tables: &mut [Table; 2]) {
    settle(tables);
    tables.iter_mut().for_each(Table::let_go_of_refused);
    while tables.iter().any(Table::has_asked) {
        tables.iter_mut().for_each(Table::accept);
        settle(tables);
    }
    tables.iter_mut().for_each(Table::let_go_of_refused);
    tables.iter_mut().for_each(Table::answer_all);
    settle(tables);
    let [a, b] = &mut *tables;
    a.check_against(b);
    b.check_against(a);
    for table in &mut *tables {
        table.check_windows();
        table.release_all();
    }
    settle(tables);
    assert!(tables.iter().all(|table| table.channels.is_empty()));
}
