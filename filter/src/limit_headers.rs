//! What a client is told of its key's limits.
//!
//! `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` (Unix seconds) are of the limit that is nearest to
//! used up. `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10) are of all limits.

use latchkey_policy::limit::Limits;
use latchkey_policy::meter::{Meter, Remaining};

/// Which headers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Styles {
    /// `X-RateLimit-*`
    pub x: bool,
    /// `RateLimit` and `RateLimit-Policy`
    pub ietf: bool,
}

impl Styles {
    /// The names of the styles in the configuration.
    pub const NAMES: [&str; 2] = ["x-ratelimit", "ietf"];

    /// Whether there is any.
    pub fn any(self) -> bool {
        self.x || self.ietf
    }

    /// From a list of those names.
    pub fn named(names: &[String]) -> Self {
        let [x, ietf] = Self::NAMES.map(|name| names.iter().any(|other| other == name));
        Self { x, ietf }
    }
}

impl Default for Styles {
    fn default() -> Self {
        Self { x: true, ietf: false }
    }
}

/// A response header.
pub type Header = (&'static str, String);

/// The headers for what `meter` has left of `limits` at `now`, in Unix seconds.
pub fn of(meter: &Meter, limits: &Limits, styles: Styles, now: i64) -> Vec<Header> {
    let mut headers = Vec::new();
    if styles.x
        && let Some(nearest) = meter.nearest(limits, now)
    {
        headers.push(("x-ratelimit-limit", nearest.limit.to_string()));
        headers.push(("x-ratelimit-remaining", nearest.remaining.to_string()));
        headers.push(("x-ratelimit-reset", nearest.reset.to_string()));
    }
    if styles.ietf && !limits.is_empty() {
        let each = |item: fn(Remaining, i64) -> String| {
            meter.remaining(limits, now).map(|left| item(left, now)).collect::<Vec<_>>().join(", ")
        };
        headers.push(("ratelimit-policy", each(policy)));
        headers.push(("ratelimit", each(left)));
    }
    headers
}

fn policy(of: Remaining, _now: i64) -> String {
    format!("\"{}\";q={};w={}", of.window.as_str(), of.limit, of.window.seconds(of.number))
}

fn left(of: Remaining, now: i64) -> String {
    format!("\"{}\";r={};t={}", of.window.as_str(), of.remaining, of.reset.saturating_sub(now).max(0))
}
