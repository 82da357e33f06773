//! The verdict on a secret that has been admitted before.

use super::checks::{Checks, KeyLookup};
use super::{Code, NoTrace, Settings, Source};
use crate::key::KeyDigest;
use crate::route::{Match, Unmatched};
use crate::snapshot::Unavailable;
use std::net::IpAddr;

/// Returns the code by which rows 6 to 9 now refuse a secret, for streams that are still open;
/// `None` if they do not.
///
/// # Errors
/// Fails without data to decide by, or if the snapshot moved.
pub fn recheck(
    source: &impl Source,
    digest: &KeyDigest,
    address: impl Fn() -> Option<IpAddr>,
    settings: Settings<'_>,
) -> Result<Option<Code>, Unavailable> {
    let snapshot = source.settings()?;
    let matched = Match::Unmatched(Unmatched::ValidKey);
    let mut checks = Checks {
        settings,
        snapshot: &snapshot,
        target: None,
        matched,
        trace: &mut NoTrace,
        shadowed: None,
        word: None,
    };

    let entry = match checks.existence(
        &KeyLookup {
            digest: *digest,
            foreign: false,
        },
        source.find(digest)?,
    ) {
        Ok(Some(entry)) => entry,
        Ok(None) => return Ok(None),
        Err(code) => return Ok(Some(code)),
    };

    Ok(checks
        .key(&entry.key(), &entry.policy, address, source.now()?)
        .err())
}
