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
use latchkey_policy::verdict::{self, Code, Decision};
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

/// What is known of a request once it has been judged.
struct Judgement {
    /// The verdict.
    code: Code,
    /// What it would have been, were that not shadowed.
    shadowed: Option<Code>,
    /// The key that it is about, if the request named one that exists.
    entry: Option<Entry>,
}

/// Decides a request by its headers, and prepares it for the upstream or answers it.
pub fn on_headers(host: &impl Host, worker: &Shared) -> Outcome {
    let Some(ready) = worker.ready() else { return refuse(host, Code::NotReady) };
    let Ok(credentials) = Credentials::gather(host, &ready.config.credentials) else {
        ready.metrics.request(host, Code::NotReady);
        return refuse(host, Code::NotReady);
    };
    let judgement = judge(host, worker, ready, &credentials).unwrap_or_else(|unavailable| {
        worker.complain(host, unavailable);
        Judgement { code: Code::NotReady, shadowed: None, entry: None }
    });
    let prepared = prepare(host, &ready.config, &credentials, &judgement);
    // A request that cannot be prepared as promised must not go on.
    let code = if judgement.code == Code::Allowed && prepared.is_err() { Code::NotReady } else { judgement.code };
    // A shadowed refusal is counted as what it would have been.
    let counted = judgement.shadowed.filter(|_| code == Code::Allowed).unwrap_or(code);
    ready.metrics.request(host, counted);
    if code == Code::Allowed { Outcome::Pass } else { refuse(host, code) }
}

/// Keeps from the upstream what a client puts into trailers, which some upstreams read as headers.
pub fn on_trailers(host: &impl Host, worker: &Shared) -> Outcome {
    let Some(Ready { config, .. }) = worker.ready() else { return Outcome::Stop };
    let identities = config.identity_headers.iter().map(|(name, _)| name.as_str()).chain([identity::HEADER]);
    let mut names = config.credentials.hidden_headers().chain(identities);
    if names.all(|name| host.remove_request_trailer(name).is_ok()) { Outcome::Pass } else { Outcome::Stop }
}

fn judge(
    host: &impl Host,
    worker: &Shared,
    ready: &Ready,
    credentials: &Credentials<'_>,
) -> Result<Judgement, Unavailable> {
    // Before anything about the key, so that without a snapshot every answer is the same.
    let mut reader = worker.reader()?;
    let view = reader.view(host)?;
    if let Some(limit) = ready.config.max_staleness {
        worker.check_staleness(host, limit)?;
    }

    let is_shadowed = |code| ready.config.shadow.contains(&code);
    // Without a key there is nothing more to check, so a shadowed verdict passes.
    let keyless = |code| match is_shadowed(code) {
        true => Judgement { code: Code::Allowed, shadowed: Some(code), entry: None },
        false => Judgement { code, shadowed: None, entry: None },
    };
    let presented = credentials.presented();
    let candidate = match &presented {
        Presented::None => return Ok(keyless(Code::MissingKey)),
        Presented::Ambiguous => return Ok(keyless(Code::AmbiguousKey)),
        Presented::One(candidate) => &**candidate,
    };
    if ready.config.keys.check(candidate).is_err() {
        return Ok(keyless(Code::MalformedKey));
    }
    let Some(entry) = view.find(host, &KeyDigest::of(candidate))? else { return Ok(keyless(Code::InvalidKey)) };
    let now = host.now().map_err(|_| Unavailable::Host)? / NANOS_PER_SECOND;
    let now = i64::try_from(now).map_err(|_| Unavailable::Host)?;
    let Decision { code, shadowed } = verdict::decide(&entry.key()?, &entry.policy, &Asked(host), now, is_shadowed);
    Ok(Judgement { code, shadowed, entry: Some(entry) })
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
    judgement: &Judgement,
) -> Result<(), Refused> {
    let entry = judgement.entry.as_ref();
    let key = entry.map(Entry::key).transpose().map_err(|_| Refused)?;
    if let Some(key) = &key {
        host.set_filter_state(KEY_STATE, &key.key_id())?;
    }
    if let Some(code) = judgement.shadowed {
        host.set_filter_state(SHADOW_STATE, code.as_str())?;
    }
    if judgement.code != Code::Allowed {
        return Ok(());
    }
    credentials.hide(host)?;
    match (key, entry) {
        (Some(key), Some(entry)) if judgement.shadowed.is_none() => {
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
