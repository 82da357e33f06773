//! A check that a contender does its job: measurements of one that does not would mean nothing.

use anyhow::{Result, ensure};
use latchkey_tests::{Envoy, http_client};

use super::full;
use crate::keys::key;
use crate::load::Load;
use crate::traffic::Traffic;

/// The limits that a contender enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limits {
    /// A limit of [`LIMIT`] requests in a minute for each key.
    EachKey,
    /// One limit for all keys together, which the load does not reach; or no limit.
    None,
}

/// The limit of each key, in requests per minute.
pub(crate) const LIMIT: u32 = 10_000;

/// Fails unless the contender refuses requests without a key, requests with an unknown key, and
/// requests with the key of number `spare` beyond its limit. It uses that key up; if a minute ends
/// before that, the count starts again.
pub(crate) async fn check(envoy: &Envoy, spare: usize, limits: Limits) -> Result<()> {
    let client = http_client();
    let (_, path) = full::TARGETS[0];
    for (what, key) in [("no key", None), ("an unknown key", Some(key(usize::MAX)))] {
        let mut request = client.get(envoy.url(path));
        if let Some(key) = &key {
            request = request.header("x-api-key", key.expose());
        }
        let status = request.send().await?.status().as_u16();
        ensure!(
            matches!(status, 401 | 403),
            "a request with {what} gets {status}"
        );
    }
    if limits == Limits::None {
        return Ok(());
    }
    let load = Load::connect(envoy.gateway(), 4)?;
    let mut traffic = Traffic::of_one(full::TARGETS[0], spare);
    // This is more than two full minutes' limits, so that it is enough whenever the minute ends.
    let outcome = load.run(&mut traffic, |sent| sent < u64::from(LIMIT) * 2 + 1_000)?;
    ensure!(
        outcome.statuses.contains_key(&429),
        "no limit holds: {:?}",
        outcome.statuses
    );
    Ok(())
}
