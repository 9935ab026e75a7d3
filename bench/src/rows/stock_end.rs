//! The long link with a stock end: data flows from it to an end of ours, whose window is what counts.

use super::{Case, Reading, Stage, Who, long};
use crate::contestant::{Contestant, Kind, Programs, Role};
use crate::failure::Result;
use crate::load::flow::Way;
use crate::plan::Plan;

/// Speed that one end of ours is meant to reach, in MB/s.
const GOAL: f64 = 100.0;

pub(super) fn cases(plan: &Plan) -> Vec<Case> {
    let case = |name, client, server, way| {
        let run = move |stage: &Stage, _: &Contestant| measure(stage, client, server, way);
        Case::new("stock-end", name, Who::Ours, run).lasting(plan.long_seconds())
    };
    let (ours, theirs) = (Role::Ours, Role::Theirs);
    vec![
        case(
            "100 ms, stock client → our server, up",
            theirs,
            ours,
            Way::Send,
        ),
        case(
            "100 ms, stock server → our client, down",
            ours,
            theirs,
            Way::Receive,
        ),
    ]
}

fn measure(stage: &Stage, client: Role, server: Role, way: Way) -> Result<Vec<Reading>> {
    let pair = Contestant {
        name: "a mixed pair".to_owned(),
        role: Role::Ours,
        kind: Kind::Ssh(Programs {
            client: stage.programs_of(client)?.client.clone(),
            server: stage.programs_of(server)?.server.clone(),
        }),
    };
    long::measure(stage, &pair, way, GOAL)
}
