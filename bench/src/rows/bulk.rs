//! One stream at full speed: each direction, each kind of forward, each cipher.

use super::{Case, Floor, Reading, Stage};
use crate::contestant::{Contestant, Forward, Setup};
use crate::failure::Result;
use crate::load::{Flow, Target, Way, rate};

const CIPHERS: [(&str, Option<&str>); 4] = [
    ("aes256-gcm", Some("aes256-gcm@openssh.com")),
    ("aes128-gcm", Some("aes128-gcm@openssh.com")),
    ("chacha20", Some("chacha20-poly1305@openssh.com")),
    ("defaults", None),
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
pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (cipher_name, cipher) in CIPHERS {
        for (direction, forward, way) in DIRECTIONS {
            let floor = match (cipher, forward) {
                (None, Forward::Local) => Floor::Measured,
                _ => Floor::Meaningless,
            };
            let setup = Setup {
                forward,
                cipher,
                link: None,
            };
            let name = format!("{direction}, {cipher_name}");
            let run = move |stage: &Stage, who: &Contestant| measure(stage, who, setup, way);
            cases.push(Case::new("bulk", name, floor, run));
        }
    }
    cases
}

fn measure(stage: &Stage, who: &Contestant, setup: Setup, way: Way) -> Result<Vec<Reading>> {
    let target = Target::start()?;
    let tunnel = stage.workshop.tunnel(who, setup, &target)?;
    let flows = [Flow::start(tunnel.entry, &target, way)?];
    let processes = tunnel.processes();
    let rate = rate(&flows, &processes, stage.plan.warm_up, stage.plan.time)?;
    Ok(vec![
        Reading::more("MB/s", rate.megabytes_per_second),
        Reading::less("CPU s/GB", rate.cpu_per_gigabyte),
    ])
}
