//! Compares keys: the requests that they admit, and what they report upstream.

use super::draw::TIERS;
use super::evaluator::{Evaluator, TrialRequest};

/// Returns the first request that `key` admits and none of `within` does.
pub(super) fn beyond<'u>(
    evaluator: &Evaluator,
    universe: &'u [TrialRequest],
    key: &str,
    within: &[String],
) -> Option<&'u TrialRequest> {
    let admitted = |trial: &&TrialRequest| {
        evaluator.admits(key, trial) && !within.iter().any(|other| evaluator.admits(other, trial))
    };
    universe.iter().find(admitted)
}

/// Returns the index of a tier in the order of the tiers.
pub(super) fn place(tier: &str) -> usize {
    TIERS.iter().position(|name| *name == tier).unwrap()
}

/// Returns whether `key` reports another user or environment or a higher tier upstream than `own`.
pub(super) fn shows_more(evaluator: &Evaluator, key: &str, own: &str) -> bool {
    let (key, own) = (evaluator.policy(key), evaluator.policy(own));
    key.user != own.user
        || key.environment != own.environment
        || place(&key.tier) > place(&own.tier)
}
