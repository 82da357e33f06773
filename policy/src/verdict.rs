//! The decision on a request: the product's contract, row by row. The first row that applies ends
//! it.
//!
//! The filter and the control plane's `explain` call the same [`decide`]. It gets the data that it
//! decides by from a [`Source`] and the request's data from a [`Request`], each only as far as it
//! matters, and allocates nothing itself.

mod checks;
mod code;
mod describe;
mod recheck;
mod request;
mod route_target;
mod source;
mod trace;

use crate::key::KeyFormat;
use crate::meter::Quota;
use crate::route::{Access, Match, Route, SubaccountLocation, Unmatched};
use crate::snapshot::{CachedKey, Unavailable};
use checks::Checks;
use describe::described;
use route_target::RouteTarget;
use std::rc::Rc;

pub use code::{Challenge, Code, GrpcStatus, Refusal};
pub use recheck::recheck;
pub use request::{Credential, Request};
pub use source::Source;
pub use trace::{NoTrace, Trace};

/// The settings of an operator.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'s> {
    /// The format of keys.
    pub keys: &'s KeyFormat,
    /// Checks that refuse nothing. The checks after them refuse as usual, as far as they can be
    /// made: most need a key.
    pub shadow: &'s [Code],
}

/// The result of a decision.
#[derive(Debug)]
pub struct Verdict {
    /// The first check that applied.
    pub code: Code,
    /// The first check that would have refused, were it not shadowed.
    pub shadowed: Option<Code>,
    /// The number of the route rule that applies, from 1.
    pub rule: Option<usize>,
    /// The key, if the request names one that exists.
    pub entry: Option<Rc<CachedKey>>,
    /// The policy's subaccount that the request acts on, if it names one where a rule looks for it.
    pub subaccount: Option<usize>,
    /// The remaining part of the key's limits, if they were checked.
    pub quota: Option<Quota>,
    /// The word that stands before a malformed key.
    pub word: Option<&'static str>,
}

impl Verdict {
    /// The verdict without data to decide by.
    pub const NOT_READY: Self = Self::new(Code::NotReady);

    const fn new(code: Code) -> Self {
        Self {
            code,
            shadowed: None,
            rule: None,
            entry: None,
            subaccount: None,
            quota: None,
            word: None,
        }
    }
}

/// Decides on a request. Without a snapshot to decide by it fails, and the code is
/// [`Code::NotReady`].
pub fn decide(
    source: &impl Source,
    request: &impl Request,
    settings: Settings<'_>,
    trace: &mut impl Trace,
) -> Result<Verdict, Unavailable> {
    let snapshot = source.settings()?;
    let routes = &snapshot.routes;
    let target = RouteTarget::new(request, routes)?;
    let matched = target
        .as_ref()
        .map_or(Match::Unmatched(Unmatched::ValidKey), |target| {
            routes.find(&target.as_target())
        });

    if let Match::Rule(Route {
        number,
        access: Access::Public,
    }) = matched
    {
        trace.step(Code::Public, true, || {
            format!("rule {number} is public: the request needs no key")
        });
        return Ok(Verdict {
            rule: Some(*number),
            ..Verdict::new(Code::Public)
        });
    }
    trace.step(Code::Public, false, || described(&matched, target.as_ref()));

    source.check_staleness()?;
    trace.step(Code::NotReady, true, || {
        "a snapshot is available".to_owned()
    });

    let target = target.as_ref();
    let mut checks = Checks {
        settings,
        snapshot: &snapshot,
        target,
        matched,
        trace,
        shadowed: None,
        word: None,
    };

    let lookup = match checks.credential(&request.credential(), source)? {
        Ok(Some(lookup)) => lookup,
        Ok(None) => return Ok(checks.without_key()),
        Err(code) => return Ok(checks.verdict(code)),
    };

    let found = source.find(&lookup.digest)?;
    let entry = match checks.existence(&lookup, found) {
        Ok(Some(entry)) => entry,
        Ok(None) => return Ok(checks.without_key()),
        Err(code) => return Ok(checks.verdict(code)),
    };

    let (key, policy) = (entry.key(), &*entry.policy);
    let now = source.now()?;
    if let Err(code) = checks
        .key(&key, policy, || request.source_address(), now)
        .and_then(|()| checks.access(policy))
    {
        return Ok(Verdict {
            entry: Some(entry),
            ..checks.verdict(code)
        });
    }

    let location = checks.subaccount_location();
    let header = match location {
        Some(SubaccountLocation::Header(name)) => request.header(name)?,
        _ => None,
    };
    let named = location
        .zip(target)
        .map(|(location, target)| location.named(&target.as_target(), header.as_deref()));

    let (mut subaccount, mut quota) = (None, None);
    let code = match checks.subaccount(policy, named) {
        Err(code) => code,
        Ok(found) => {
            subaccount = found;
            let enforced = !settings.shadow.contains(&Code::RateLimited);
            quota = source.admit(&key, &policy.limits, enforced, now)?;
            checks.limits(quota.as_ref()).err().unwrap_or(Code::Allowed)
        }
    };

    Ok(Verdict {
        subaccount,
        quota,
        entry: Some(entry),
        ..checks.verdict(code)
    })
}

#[cfg(test)]
mod tests;
