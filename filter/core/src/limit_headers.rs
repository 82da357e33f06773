//! The headers that report a key's limits to its client.
//!
//! `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` (Unix seconds) are those of
//! the limit that is nearest to used up. `RateLimit-Policy` and `RateLimit`
//! (draft-ietf-httpapi-ratelimit-headers-10) list all limits.

use itoa::Buffer;
use latchkey_policy::limit::Limits;
use latchkey_policy::meter::{Meter, Quota, Remaining};

/// The styles of headers that are sent.
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

    /// Parses a list of those names.
    pub fn named(names: &[String]) -> Self {
        let [x, ietf] = Self::NAMES.map(|name| names.iter().any(|other| other == name));
        Self { x, ietf }
    }
}

impl Default for Styles {
    fn default() -> Self {
        Self {
            x: true,
            ietf: false,
        }
    }
}

/// The limits to report, kept until the response: the nearest limit as numbers, as most responses
/// report only that one.
#[derive(Debug, Default)]
pub struct LimitHeaders {
    nearest: Option<Remaining>,
    all: Option<All>,
}

/// The values of both headers that list all limits.
#[derive(Debug)]
struct All {
    policy: String,
    left: String,
}

impl LimitHeaders {
    /// Creates the headers for what remains of `limits` at `now`, in Unix seconds: as the
    /// limits answered the request, or else as the key's meter has it.
    #[inline]
    pub fn new(
        styles: Styles,
        limits: &Limits,
        quota: Option<&Quota>,
        meter: Option<&Meter>,
        now: i64,
    ) -> Self {
        let nearest = || quota.map_or_else(|| meter?.nearest(limits, now), |quota| quota.nearest);

        let all = |meter: &Meter| {
            let each = |item: fn(Remaining, i64) -> String| {
                meter
                    .remaining(limits, now)
                    .map(|left| item(left, now))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            All {
                policy: each(policy),
                left: each(left),
            }
        };

        let ietf = styles.ietf && !limits.is_empty();
        Self {
            nearest: styles.x.then(nearest).flatten(),
            all: meter.filter(|_| ietf).map(all),
        }
    }

    /// Returns whether there is nothing to report.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.nearest.is_none() && self.all.is_none()
    }

    /// Calls `add` with the name and value of each header.
    pub fn each(&self, mut add: impl FnMut(&'static str, &str)) {
        if let Some(Remaining {
            limit,
            remaining,
            reset,
            ..
        }) = self.nearest
        {
            add("x-ratelimit-limit", Buffer::new().format(limit));
            add("x-ratelimit-remaining", Buffer::new().format(remaining));
            add("x-ratelimit-reset", Buffer::new().format(reset));
        }

        if let Some(All { policy, left }) = &self.all {
            add("ratelimit-policy", policy);
            add("ratelimit", left);
        }
    }
}

/// Returns one limit for `RateLimit-Policy`.
fn policy(limit: Remaining, _now: i64) -> String {
    format!(
        "\"{}\";q={};w={}",
        limit.window.as_str(),
        limit.limit,
        limit.window.seconds(limit.number)
    )
}

/// Returns what remains of one limit, for `RateLimit`.
fn left(limit: Remaining, now: i64) -> String {
    format!(
        "\"{}\";r={};t={}",
        limit.window.as_str(),
        limit.remaining,
        limit.reset.saturating_sub(now).max(0)
    )
}
