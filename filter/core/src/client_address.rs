//! The client's address, for keys with IP lists. It is Envoy's `source.address`. If the operator
//! has set the number of proxies that Envoy trusts, it counts only if X-Forwarded-For agrees.
//!
//! If Envoy cannot read an entry, such as one with a port, it falls back to the connection's
//! address, which is the proxy's. So the filter reads the entry as well. The entry can make the
//! address unknown, which IP lists refuse, but it is never used as the address.

use crate::headers::RequestHeaders;
use crate::host::Host;
use latchkey_policy::address::{parse_forwarded, parse_source};
use std::net::IpAddr;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The client's address according to X-Forwarded-For.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// The header is not read.
    Ignored,
    /// The entry of the outermost trusted proxy, unless it is not an address.
    Trusted(Option<IpAddr>),
}

impl Forwarded {
    /// Reads the trusted entry, if the configuration has the number of proxies that Envoy trusts.
    ///
    /// When filters run, the header has that many entries after the trusted one: with
    /// `use_remote_address`, Envoy has appended the connection's address and counts from there;
    /// without it, Envoy counts from the last entry received.
    #[inline]
    pub fn read(trusted_hops: Option<usize>, headers: &RequestHeaders) -> Self {
        let Some(hops) = trusted_hops else {
            return Self::Ignored;
        };
        let value = headers.get(FORWARDED_FOR);
        let entry = value
            .as_deref()
            .and_then(|value| value.rsplit(|byte| *byte == b',').nth(hops));
        Self::Trusted(entry.and_then(parse_forwarded))
    }

    /// The address of the client of the host's current request; `None` if it is not known.
    pub fn client_address(self, host: &impl Host) -> Option<IpAddr> {
        let source = host
            .source_address()
            .ok()
            .as_deref()
            .and_then(parse_source)?;
        let agrees = match self {
            Self::Ignored => true,
            Self::Trusted(entry) => {
                entry.map(|entry| entry.to_canonical()) == Some(source.to_canonical())
            }
        };
        agrees.then_some(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    fn address(hops: Option<usize>, source: &str, values: &[&str]) -> Option<String> {
        let headers = values
            .iter()
            .map(|value| (FORWARDED_FOR.as_bytes(), value.as_bytes()));
        let headers = RequestHeaders::read(RequestHeaders::encode(headers).unwrap()).unwrap();
        let host = FakeHost::default();
        host.source.replace(source.to_owned());
        Forwarded::read(hops, &headers)
            .client_address(&host)
            .map(|address| address.to_string())
    }

    #[test]
    fn address_is_the_hosts_without_trusted_hops() {
        assert_eq!(
            address(None, "192.0.2.1:80", &["unknown"]).as_deref(),
            Some("192.0.2.1")
        );
        assert_eq!(address(None, "", &["192.0.2.1"]), None);
    }

    /// Cases, each with the source that Envoy derives from it; 10.0.0.1 is the proxy.
    #[test]
    fn trusted_entry_matches_the_address_envoy_used() {
        for (hops, source, values, known) in [
            (1, "203.0.113.9:0", &["203.0.113.9,10.0.0.1"][..], true),
            (
                1,
                "203.0.113.9:0",
                &["198.51.100.1, 203.0.113.9,10.0.0.1"],
                true,
            ),
            (
                1,
                "203.0.113.9:0",
                &["198.51.100.1", "203.0.113.9", "10.0.0.1"],
                true,
            ),
            (
                2,
                "198.51.100.1:0",
                &["198.51.100.1, 203.0.113.9,10.0.0.1"],
                true,
            ),
            (1, "[2001:db8::1]:0", &["2001:db8::1,10.0.0.1"], true),
            (1, "[::ffff:203.0.113.9]:0", &["203.0.113.9,10.0.0.1"], true),
            (0, "203.0.113.9:0", &["203.0.113.9"], true),
            // A proxy that names itself is one whose clients share its address.
            (1, "10.0.0.1:4711", &["10.0.0.1,10.0.0.1"], true),
            (1, "10.0.0.1:4711", &["203.0.113.9:4711,10.0.0.1"], false),
            (1, "10.0.0.1:4711", &["[2001:db8::1]:443,10.0.0.1"], false),
            (1, "10.0.0.1:4711", &["unknown,10.0.0.1"], false),
            (1, "10.0.0.1:4711", &["203.0.113.9,,10.0.0.1"], false),
            (1, "10.0.0.1:4711", &["10.0.0.1"], false),
            (1, "10.0.0.1:4711", &[], false),
            (2, "10.0.0.1:4711", &["203.0.113.9,10.0.0.1"], false),
            (usize::MAX, "10.0.0.1:4711", &["10.0.0.1"], false),
            (1, "", &["203.0.113.9,10.0.0.1"], false),
        ] {
            assert_eq!(
                address(Some(hops), source, values).is_some(),
                known,
                "{hops} {source} {values:?}"
            );
        }
    }
}
