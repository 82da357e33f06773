//! The goals, and whether they were met.

use crate::contest::NATIVE;
use crate::nodes::Nodes;
use crate::requests::{EXT_AUTHZ, FULL, PLAIN, Requests};
use crate::scale::{FEW, MANY, MANY_IN_USE, Scale, Step};

/// A figure with a bound.
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    /// The measured figure; none if it was not measured.
    pub(crate) figure: Option<f64>,
    pub(crate) bound: Bound,
    /// A better value to aim at.
    pub(crate) aim: Option<f64>,
}

#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    /// Returns true if the goal is met; none if it was not measured.
    pub(crate) fn met(&self) -> Option<bool> {
        self.figure.map(|figure| match self.bound {
            Bound::AtMost(bound) => figure <= bound,
            Bound::AtLeast(bound) => figure >= bound,
        })
    }
}

/// Returns all goals, in order. Each section may be missing.
pub(crate) fn all(
    requests: Option<&Requests>,
    scale: Option<&Scale>,
    nodes: Option<&Nodes>,
) -> Vec<Goal> {
    [of_requests(requests), of_scale(scale), of_nodes(nodes)]
        .into_iter()
        .flatten()
        .collect()
}

fn of_requests(requests: Option<&Requests>) -> Vec<Goal> {
    let ratio = |id, to| Some(requests?.contest.ratio(id, to)?.median);
    let goal = |what, figure, bound, aim| Goal {
        what,
        unit: "",
        figure,
        bound,
        aim,
    };
    vec![
        goal(
            "added CPU a request, *plain* ÷ native chain",
            ratio(PLAIN, NATIVE),
            Bound::AtMost(2.0),
            Some(1.3),
        ),
        goal(
            "added CPU a request, *full* ÷ native chain",
            ratio(FULL, NATIVE),
            Bound::AtMost(3.0),
            Some(2.0),
        ),
        goal(
            "added CPU a request, `ext_authz` ÷ *full*",
            ratio(EXT_AUTHZ, FULL),
            Bound::AtLeast(4.0),
            None,
        ),
    ]
}

fn of_nodes(nodes: Option<&Nodes>) -> Vec<Goal> {
    let goal = |what, unit, path, divisor: f64, bound, aim| {
        let figure = nodes
            .and_then(|nodes| nodes.figure(path))
            .map(|figure| figure / divisor);
        Goal {
            what,
            unit,
            figure,
            bound: Bound::AtMost(bound),
            aim: Some(aim),
        }
    };
    vec![
        goal(
            "`DELETE` to acknowledged by 1,000 nodes, 1,000,000 keys, 99th percentile",
            " ms",
            "/quiet/wall_ms/p99",
            1.0,
            500.0,
            150.0,
        ),
        goal(
            "control plane's memory at 1,000,000 keys and 1,000 nodes, peak",
            " MB",
            "/peak_rss_bytes",
            1e6,
            1_000.0,
            400.0,
        ),
        goal(
            "1,000 nodes connect again after a restart of the control plane, to all current",
            " s",
            "/restart/all_current_ms",
            1e3,
            10.0,
            3.0,
        ),
    ]
}

/// The number of keys to which the goals for many keys apply.
const MANY_KEYS: usize = 1_000_000;

fn of_scale(scale: Option<&Scale>) -> Vec<Goal> {
    let step = scale.and_then(|scale| {
        Some((
            scale,
            scale.steps.iter().find(|step| step.keys == MANY_KEYS)?,
        ))
    });
    let in_use = scale
        .and_then(|scale| scale.in_use.as_ref())
        .filter(|in_use| in_use.most == MANY_KEYS);
    let ratio = |id| Some(in_use?.contest.ratio(id, FEW)?.median);
    let of_step = |figure: fn(&Scale, &Step) -> f64| step.map(|(scale, step)| figure(scale, step));
    let at_most = |what, unit, figure, bound, aim| Goal {
        what,
        unit,
        figure,
        bound: Bound::AtMost(bound),
        aim,
    };
    vec![
        at_most(
            "added CPU a request, *plain*, with 1,000,000 keys (1,000 in use) ÷ with 1,000",
            "",
            ratio(MANY),
            1.1,
            None,
        ),
        at_most(
            "the same with all of the 1,000,000 in use",
            "",
            ratio(MANY_IN_USE),
            1.1,
            None,
        ),
        at_most(
            "Envoy's memory for each of 1,000,000 keys",
            " B",
            of_step(|scale, step| scale.bytes_per_key(step, 0)),
            120.0,
            Some(80.0),
        ),
        at_most(
            "that memory with 4 workers ÷ with 1",
            "",
            of_step(|scale, step| scale.bytes_per_key(step, 1) / scale.bytes_per_key(step, 0)),
            1.1,
            None,
        ),
        at_most(
            "Envoy's start until it is ready, 1,000,000 keys",
            " s",
            of_step(|_, step| step.loaded[0].ready_seconds.median),
            6.0,
            Some(3.0),
        ),
        at_most(
            "longest stall of other traffic meanwhile",
            " ms",
            of_step(|_, step| step.loaded[0].beside_longest_ms.median),
            20.0,
            Some(5.0),
        ),
        at_most(
            "`DELETE` to its answer, acknowledged, 1,000,000 keys, 99th percentile",
            " ms",
            of_step(|_, step| step.revocations.answered_p99_ms),
            15.0,
            Some(5.0),
        ),
        at_most(
            "bytes on the stream for one change, 1,000,000 keys",
            " B",
            of_step(|_, step| step.revocations.stream_bytes),
            1_000.0,
            Some(200.0),
        ),
    ]
}
