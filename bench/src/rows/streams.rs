//! Sixteen streams at once, both ways, through one tunnel.

use super::{Case, Floor, Reading, Stage};
use crate::contestant::{Contestant, Setup};
use crate::failure::Result;
use crate::load::{Flow, Target, Way, rate};

const STREAMS: usize = 16;

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new(
        "streams",
        "16 streams, both ways, aes256-gcm",
        Floor::Meaningless,
        measure,
    )]
}

fn measure(stage: &Stage, who: &Contestant) -> Result<Vec<Reading>> {
    let setup = Setup {
        cipher: Some("aes256-gcm@openssh.com"),
        ..Setup::LOCAL
    };
    let target = Target::start()?;
    let tunnel = stage.workshop.tunnel(who, setup, &target)?;
    let flows = (0..STREAMS)
        .map(|_| Flow::start(tunnel.entry, &target, Way::Both))
        .collect::<Result<Vec<_>>>()?;
    let processes = tunnel.processes();
    let rate = rate(&flows, &processes, stage.plan.warm_up, stage.plan.time)?;
    Ok(vec![
        Reading::more("MB/s, sum", rate.megabytes_per_second),
        Reading::less("CPU s/GB", rate.cpu_per_gigabyte),
        Reading::more("slowest stream's share of the mean", rate.fairness),
    ])
}
