//! That a contender does its job: what is measured of one that does not would mean nothing.

use anyhow::{Result, ensure};
use latchkey_tests::{Envoy, http_client};

use super::full;
use crate::keys::key;
use crate::load::Load;
use crate::traffic::Traffic;

/// Who keeps count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limits {
    /// Each key has [`LIMIT`] requests in a minute.
    EachKey,
    /// All keys together have more than can be sent; or nobody counts.
    None,
}

/// Requests a minute of each key.
pub(crate) const LIMIT: u32 = 10_000;

/// Fails unless requests without a key and with one that nobody made are refused, and those of the
/// key of number `spare`, which it uses up, beyond what that key may send. Where a minute ends
/// meanwhile, it begins again.
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
    // Two full minutes' worth at most, whenever the minute ends, and more.
    let outcome = load.run(&mut traffic, |sent| sent < u64::from(LIMIT) * 2 + 1_000)?;
    ensure!(
        outcome.statuses.contains_key(&429),
        "no limit holds: {:?}",
        outcome.statuses
    );
    Ok(())
}
