//! The life of a request in the filter, from top to bottom.

use crate::config::Config;
use crate::credentials::Credentials;
use crate::host::{Host, Level, Refused};
use crate::worker::{Ready, Shared};
use latchkey_policy::address::parse_source;
use latchkey_policy::credential::Presented;
use latchkey_policy::identity;
use latchkey_policy::key::KeyDigest;
use latchkey_policy::snapshot::{Entry, Unavailable};
use latchkey_policy::verdict::{self, Code};
use std::net::IpAddr;

/// Filter state with the verdict. Envoy's RBAC filter behind ours lets only `allowed` through, and access logs show it.
const VERDICT_STATE: &str = "latchkey";

/// Filter state with the key's id, for access logs.
const KEY_STATE: &str = "latchkey_key";

/// Filter state with the verdict that would have refused the request were it not shadowed, for access logs.
const SHADOW_STATE: &str = "latchkey_shadow";

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// What Envoy is to do with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Send it on.
    Pass,
    /// It has been answered, or must not go on.
    Stop,
}

/// Decides a request by its headers, and prepares it for the upstream or answers it.
pub fn on_headers(host: &impl Host, worker: &Shared) -> Outcome {
    let Some(ready) = worker.ready() else { return refuse(host, Code::NotReady) };
    let (code, prepared) = match Credentials::gather(host, &ready.config.credentials) {
        Err(Refused) => (Code::NotReady, Err(Refused)),
        Ok(credentials) => {
            let (code, entry) = judge(host, worker, ready, &credentials).unwrap_or_else(|unavailable| {
                worker.complain(host, unavailable);
                (Code::NotReady, None)
            });
            (code, prepare(host, &ready.config, &credentials, code, entry.as_ref()))
        }
    };
    // A request that cannot be prepared as promised must not go on.
    let passes = code == Code::Allowed || ready.config.shadow.contains(&code);
    let code = if passes && prepared.is_err() { Code::NotReady } else { code };
    ready.metrics.request(host, code);
    if passes && prepared.is_ok() { Outcome::Pass } else { refuse(host, code) }
}

/// Keeps from the upstream what a client puts into trailers, which some upstreams read as headers.
pub fn on_trailers(host: &impl Host, worker: &Shared) -> Outcome {
    let Some(Ready { config, .. }) = worker.ready() else { return Outcome::Stop };
    let keys = config.credentials.headers.iter().map(String::as_str).filter(|_| !config.credentials.forward);
    let identities = config.identity_headers.iter().map(|(name, _)| name.as_str());
    let names = keys.chain(identities).chain(["authorization", identity::HEADER]);
    if names.map(|name| host.remove_request_trailer(name)).all(|removed| removed.is_ok()) {
        Outcome::Pass
    } else {
        Outcome::Stop
    }
}

/// The verdict, and the key that it is about, if the request named one that exists.
fn judge(
    host: &impl Host,
    worker: &Shared,
    ready: &Ready,
    credentials: &Credentials<'_>,
) -> Result<(Code, Option<Entry>), Unavailable> {
    // Before anything about the key, so that without a snapshot every answer is the same.
    let mut reader = worker.reader()?;
    let view = reader.view(host)?;
    if let Some(limit) = ready.config.max_staleness {
        worker.check_staleness(host, limit)?;
    }

    let presented = credentials.presented();
    let candidate = match &presented {
        Presented::None => return Ok((Code::MissingKey, None)),
        Presented::Ambiguous => return Ok((Code::AmbiguousKey, None)),
        Presented::One(candidate) => &**candidate,
    };
    if ready.config.keys.check(candidate).is_err() {
        return Ok((Code::MalformedKey, None));
    }
    let Some(entry) = view.find(host, &KeyDigest::of(candidate))? else { return Ok((Code::InvalidKey, None)) };
    let now = host.now().map_err(|_| Unavailable::Host)? / NANOS_PER_SECOND;
    let now = i64::try_from(now).map_err(|_| Unavailable::Host)?;
    let code = verdict::decide(&entry.key()?, &entry.policy, &Asked(host), now);
    Ok((code, Some(entry)))
}

/// The request, as a verdict asks for it.
struct Asked<'h, H>(&'h H);

impl<H: Host> verdict::Request for Asked<'_, H> {
    fn source_address(&self) -> Option<IpAddr> {
        self.0.source_address().ok().as_deref().and_then(parse_source)
    }
}

/// Makes the request what the upstream, the guard and access logs are to see of it.
fn prepare(
    host: &impl Host,
    config: &Config,
    credentials: &Credentials<'_>,
    code: Code,
    entry: Option<&Entry>,
) -> Result<(), Refused> {
    let key = entry.map(Entry::key).transpose().map_err(|_| Refused)?;
    if let Some(key) = &key {
        host.set_filter_state(KEY_STATE, &key.key_id())?;
    }
    let shadowed = config.shadow.contains(&code);
    if code != Code::Allowed && !shadowed {
        return Ok(());
    }
    credentials.hide(host)?;
    match (key, entry) {
        (Some(key), Some(entry)) if !shadowed => {
            let identity = &entry.policy.identity;
            host.set_request_header(identity::HEADER, identity::render(&key, identity).as_bytes())?;
            for (name, field) in &config.identity_headers {
                host.set_request_header(name, field.of(&key, identity).as_bytes())?;
            }
        }
        // Whom a shadowed request comes from has not been established.
        _ => {
            host.remove_request_header(identity::HEADER)?;
            for (name, _) in &config.identity_headers {
                host.remove_request_header(name)?;
            }
            host.set_filter_state(SHADOW_STATE, code.as_str())?;
        }
    }
    // Last, as this is what opens the guard.
    host.set_filter_state(VERDICT_STATE, Code::Allowed.as_str())
}

fn refuse(host: &impl Host, code: Code) -> Outcome {
    // If this fails the guard still finds no `allowed`.
    let _ = host.set_filter_state(VERDICT_STATE, code.as_str());
    if let Some(refusal) = code.refusal() {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend_from_slice(refusal.headers);
        if host.respond(refusal.status, refusal.details, &headers, refusal.body).is_err() {
            host.log(Level::Error, "the host refused to answer a request; it stays where it is");
        }
    }
    Outcome::Stop
}

#[cfg(test)]
mod tests;
