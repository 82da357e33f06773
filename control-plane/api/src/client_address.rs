//! The client address of a request, and a check that `trusted-hops` matches the actual proxies.

use axum::http::HeaderMap;
use latchkey_policy::address::parse_forwarded;
use latchkey_server::metrics::{ForwardedFor, Metrics};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;

pub(crate) const FORWARDED_FOR: &str = "x-forwarded-for";

/// The minimum time between two warnings about a wrong setting.
const PERIOD: Duration = Duration::from_secs(60 * 60);

/// Returns the address that the outermost of `hops` trusted proxies saw: each appends it to
/// `X-Forwarded-For`. Entries before it come from the client. Returns `None` if there are fewer
/// entries, or if the entry is not an address.
pub(crate) fn forwarded(headers: &HeaderMap, peer: Option<IpAddr>, hops: usize) -> Option<IpAddr> {
    let Some(index) = hops.checked_sub(1) else {
        return peer;
    };
    let values = headers.get_all(FORWARDED_FOR).iter();
    let entries: Vec<_> = values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .collect();
    let entry = entries.iter().rev().nth(index)?;
    parse_forwarded(entry).map(|address| address.to_canonical())
}

/// Logs and counts requests whose `X-Forwarded-For` does not match the setting.
#[derive(Default)]
pub(crate) struct HopsCheck {
    ignored: Mutex<Option<Instant>>,
    missing: Mutex<Option<Instant>>,
}

impl HopsCheck {
    pub(crate) fn check(&self, headers: &HeaderMap, hops: usize, metrics: &Metrics) {
        if hops == 0 && headers.contains_key(FORWARDED_FOR) {
            metrics
                .http
                .forwarded_for
                .get_or_create(&ForwardedFor::IGNORED)
                .inc();
            if is_due(&self.ignored, Instant::now()) {
                warn!(
                    "a request has X-Forwarded-For, but --trusted-hops (LATCHKEY_TRUSTED_HOPS) is \
                    0. If a proxy is in front of the API, all its clients share one address for \
                    limits, IP lists and the audit: set --trusted-hops to the number of proxies. \
                    Without a proxy, a client sent the header, and ignoring it is correct"
                );
            }
        } else if hops > 0 && forwarded(headers, None, hops).is_none() {
            metrics
                .http
                .forwarded_for
                .get_or_create(&ForwardedFor::MISSING)
                .inc();
            if is_due(&self.missing, Instant::now()) {
                warn!(
                    hops,
                    "X-Forwarded-For has no valid client address or fewer entries than \
                    --trusted-hops (LATCHKEY_TRUSTED_HOPS): a client has bypassed a proxy, or \
                    there are fewer proxies. IP lists refuse such clients, and limits use the \
                    connection's address"
                );
            }
        }
    }
}

fn is_due(logged: &Mutex<Option<Instant>>, now: Instant) -> bool {
    // The lock is held only in this function, which does not panic.
    let mut logged = logged.lock().unwrap_or_else(PoisonError::into_inner);
    let due = logged.is_none_or(|logged| now.saturating_duration_since(logged) >= PERIOD);
    if due {
        *logged = Some(now);
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn outermost_trusted_proxy_reports_the_client() {
        let peer = Some(IpAddr::from([127, 0, 0, 1]));
        let mut headers = HeaderMap::new();
        headers.append(
            FORWARDED_FOR,
            HeaderValue::from_static("6.6.6.6, 198.51.100.7"),
        );
        headers.append(FORWARDED_FOR, HeaderValue::from_static("10.0.0.1"));
        for (hops, address) in [
            (0, "127.0.0.1"),
            (1, "10.0.0.1"),
            (2, "198.51.100.7"),
            (3, "6.6.6.6"),
        ] {
            assert_eq!(
                forwarded(&headers, peer, hops),
                address.parse().ok(),
                "{hops}"
            );
        }
        assert_eq!(forwarded(&headers, peer, 4), None);
        headers.append(FORWARDED_FOR, HeaderValue::from_static("unknown"));
        assert_eq!(forwarded(&headers, peer, 1), None);
        for (entry, address) in [
            ("198.51.100.7:4711", Some("198.51.100.7")),
            ("[2001:db8::1]:4711", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("198.51.100.007", None),
        ] {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(entry));
            assert_eq!(
                forwarded(&headers, peer, 1),
                address.map(|address| address.parse().unwrap()),
                "{entry}"
            );
        }
        // An entry that the client adds does not hide the proxy's entry.
        headers.append(
            FORWARDED_FOR,
            HeaderValue::from_bytes(b"\xff, 203.0.113.9").unwrap(),
        );
        assert_eq!(forwarded(&headers, peer, 1), "203.0.113.9".parse().ok());
    }

    #[test]
    fn wrong_setting_is_logged_hourly() {
        let (logged, now) = (Mutex::default(), Instant::now());
        assert!(is_due(&logged, now));
        for seconds in [0, 1, 3_599] {
            assert!(
                !is_due(&logged, now + Duration::from_secs(seconds)),
                "{seconds}"
            );
        }
        assert!(is_due(&logged, now + PERIOD));
    }
}
