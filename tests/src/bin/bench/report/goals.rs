//! What is to be reached, and what was.

use crate::contest::{Contest, NATIVE};
use crate::requests::{EXT_AUTHZ, FULL, PLAIN, Requests};

/// One figure that has a bound.
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    /// What was measured; nothing if it was not.
    pub(crate) figure: Option<f64>,
    pub(crate) bound: Bound,
    /// What would be better still.
    pub(crate) aim: Option<f64>,
}

#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    /// Whether it is met; nothing if nobody knows.
    pub(crate) fn met(&self) -> Option<bool> {
        self.figure.map(|figure| match self.bound {
            Bound::AtMost(bound) => figure <= bound,
            Bound::AtLeast(bound) => figure >= bound,
        })
    }
}

/// Those about requests.
pub(crate) fn of_requests(requests: Option<&Requests>) -> Vec<Goal> {
    let ratio = |id, to| requests.and_then(|requests: &Requests| ratio(&requests.contest, id, to));
    let goal = |what, figure, bound, aim| Goal { what, unit: "", figure, bound, aim };
    vec![
        goal("added CPU a request, *plain* ÷ native chain", ratio(PLAIN, NATIVE), Bound::AtMost(2.0), Some(1.3)),
        goal("added CPU a request, *full* ÷ native chain", ratio(FULL, NATIVE), Bound::AtMost(3.0), Some(2.0)),
        goal("added CPU a request, `ext_authz` ÷ *full*", ratio(EXT_AUTHZ, FULL), Bound::AtLeast(4.0), None),
    ]
}

fn ratio(contest: &Contest, id: &str, to: &str) -> Option<f64> {
    Some(contest.ratio(id, to)?.median)
}
