//! The preparation of a decided request: what the upstream, the guard and access logs get.

use super::Judged;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::headers::RequestHeaders;
use crate::host::{Host, Refused};
use crate::owned::OwnedNames;
use latchkey_policy::identity;
use latchkey_policy::snapshot::CachedKey;
use latchkey_policy::verdict::Verdict;
use std::borrow::Cow;

/// Filter state with the verdict. Envoy's RBAC filter after ours lets only `allowed` and `public`
/// through, and access logs show it.
pub(super) const VERDICT_STATE: &str = "latchkey";

/// Filter state with the key's id, for access logs.
const KEY_STATE: &str = "latchkey_key";

/// Filter state with the verdict that would have refused the request were it not shadowed, for
/// access logs.
const SHADOW_STATE: &str = "latchkey_shadow";

/// Prepares the request for the upstream, the guard and access logs.
pub(super) fn prepare(
    host: &impl Host,
    config: &Config,
    credentials: Credentials<'_>,
    headers: &RequestHeaders,
    judged: &Judged<'_>,
) -> Result<(), Refused> {
    let Judged {
        verdict,
        imported,
        snapshot,
    } = judged;
    if let Some(entry) = &verdict.entry {
        host.set_filter_state(KEY_STATE, entry.key_id())?;
    }

    if let Some(code) = verdict.shadowed {
        host.set_filter_state(SHADOW_STATE, code.as_str())?;
    }

    if !verdict.code.passes() {
        return Ok(());
    }

    let used = verdict.entry.as_ref().map(|entry| entry.digest());
    credentials.strip(host, &config.keys, imported, used)?;
    OwnedNames::new(&config.identity_names, &snapshot.routes, verdict.rule)
        .clean_headers(host, headers)?;

    match &verdict.entry {
        Some(entry) if verdict.shadowed.is_none() => identify(host, config, entry, verdict)?,
        // The sender of a public or a shadowed request has not been established.
        _ => {
            for name in config
                .identity_names
                .iter()
                .filter(|name| headers.has(name))
            {
                host.remove_request_header(name)?;
            }
        }
    }

    // This call is the last, because it opens the guard.
    host.set_filter_state(VERDICT_STATE, verdict.code.as_str())
}

/// Sets the headers that identify the caller to the upstream.
fn identify(
    host: &impl Host,
    config: &Config,
    entry: &CachedKey,
    verdict: &Verdict,
) -> Result<(), Refused> {
    let (key, shared) = (entry.key(), &entry.policy.identity);
    let subaccount = verdict
        .subaccount
        .and_then(|index| entry.policy.subaccount(index));

    let identity = match subaccount {
        None => Cow::Borrowed(entry.identity()),
        Some(_) => Cow::Owned(identity::render(&key, shared, subaccount)),
    };

    host.set_request_header(identity::HEADER, identity.as_bytes())?;
    for (name, field) in &config.identity_headers {
        host.set_request_header(name, field.value(&key, shared, subaccount).as_bytes())?;
    }
    Ok(())
}
