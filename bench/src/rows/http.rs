//! HTTP requests per second on connections that are kept.

use super::{Case, Reading, Stage, Who};
use crate::contestant::Contestant;
use crate::failure::Result;
use crate::goal::Goal;
use crate::load::http::{HttpServer, load};
use crate::plan::Plan;
use crate::tunnel::Setup;

const CLIENTS: usize = 64;

pub(super) fn cases(_: &Plan) -> Vec<Case> {
    vec![Case::new(
        "http",
        "keep-alive, 64 clients",
        Who::All,
        measure,
    )]
}

fn measure(stage: &Stage, who: &Contestant) -> Result<Vec<Reading>> {
    let server = HttpServer::start()?;
    let tunnel = stage.tunnel(who, Setup::LOCAL, &[server.port()])?;
    let times = (stage.plan.warm_up, stage.plan.time);
    let rate = load(tunnel.entry(), CLIENTS, &tunnel.processes(), times)?;
    Ok(vec![
        Reading::more("requests/s", rate.requests_per_second).aiming_at(Goal::Ratio(1.3)),
        Reading::less("CPU s/million requests", rate.cpu_per_million),
    ])
}
