//! One stream at full speed: each direction, each kind of forward, each cipher.

use super::{Case, Reading, Stage, Who};
use crate::contestant::Contestant;
use crate::failure::Result;
use crate::goal::Goal;
use crate::load::flow::{Flow, Way, rate};
use crate::load::target::Target;
use crate::plan::Plan;
use crate::tunnel::{AES256_GCM, CHACHA20, Forward, Setup};

/// A cipher, with what is aimed at.
#[derive(Debug, Clone, Copy)]
struct Choice {
    name: &'static str,
    cipher: Option<&'static str>,
    throughput: f64,
    cpu: Option<f64>,
}

const CHOICES: [Choice; 3] = [
    Choice {
        name: "aes256-gcm",
        cipher: Some(AES256_GCM),
        throughput: 1.3,
        cpu: Some(0.65),
    },
    Choice {
        name: "chacha20",
        cipher: Some(CHACHA20),
        throughput: 1.4,
        cpu: Some(0.75),
    },
    Choice {
        name: "defaults",
        cipher: None,
        throughput: 1.8,
        cpu: None,
    },
];

/// Up is from the client to the server, whoever connected: through a remote forward the
/// application connects at the server, so there it receives what goes up.
const DIRECTIONS: [(&str, Forward, Way); 4] = [
    ("-L up", Forward::Local, Way::Send),
    ("-L down", Forward::Local, Way::Receive),
    ("-R up", Forward::Remote, Way::Receive),
    ("-R down", Forward::Remote, Way::Send),
];

/// The relays know no cipher and no direction; they run beside the defaults of `-L`.
pub(super) fn cases(_: &Plan) -> Vec<Case> {
    let mut cases = Vec::new();
    for choice in CHOICES {
        for (direction, forward, way) in DIRECTIONS {
            let who = match (choice.cipher, forward) {
                (None, Forward::Local) => Who::All,
                _ => Who::Ssh,
            };
            let name = format!("{direction}, {}", choice.name);
            let run =
                move |stage: &Stage, who: &Contestant| measure(stage, who, choice, (forward, way));
            cases.push(Case::new("bulk", name, who, run).noisy());
        }
    }
    cases
}

fn measure(
    stage: &Stage,
    who: &Contestant,
    choice: Choice,
    (forward, way): (Forward, Way),
) -> Result<Vec<Reading>> {
    let target = Target::start()?;
    let setup = Setup {
        forward,
        cipher: choice.cipher,
        link: None,
    };
    let tunnel = stage.tunnel(who, setup, &[target.port()])?;
    let flows = [Flow::start(tunnel.entry(), &target, way)?];
    let processes = tunnel.processes();
    let rate = rate(&flows, &processes, stage.plan.warm_up, stage.plan.time)?;
    let speed = Reading::more("MB/s", rate.megabytes_per_second);
    let cost = Reading::less("CPU s/GB", rate.cpu_per_gigabyte);
    Ok(vec![
        speed.aiming_at(Goal::Ratio(choice.throughput)),
        match choice.cpu {
            Some(limit) => cost.aiming_at(Goal::Ratio(limit)),
            None => cost,
        },
    ])
}
