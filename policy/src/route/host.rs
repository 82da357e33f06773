//! Hosts, in rules and in requests.

use std::cmp::Ordering;

/// The highest number of characters in a host's name (RFC 1035, section 2.3.4).
const MAX_LEN: usize = 253;
const MAX_LABEL_LEN: usize = 63;

/// The prefix of a host in a rule that is for all hosts below a name.
const BELOW: &str = "*.";

/// A text that no rule can have as its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a host's name such as `api.example.com`, or `*.` and one, without a port: labels of a-z, 0-9, _ and -, 63 \
     characters each and 253 in all at most, names of other alphabets in their `xn--` form"
)]
pub(super) struct Malformed;

/// The hosts that a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern<'a> {
    /// Only this host.
    Exact(&'a str),
    /// Hosts below this one, which have at least one label more.
    Below(&'a str),
}

impl<'a> Pattern<'a> {
    /// Creates the pattern of a rule's host that [`checked`] admitted.
    pub(super) fn from_host(host: &'a str) -> Self {
        host.strip_prefix(BELOW)
            .map_or(Self::Exact(host), Self::Below)
    }
}

/// Checks a rule's host, and returns it in lower case.
pub(super) fn checked(host: &str) -> Result<String, Malformed> {
    let name = host.strip_prefix(BELOW).unwrap_or(host).as_bytes();
    let fits =
        name.len() <= MAX_LEN && name.split(is_dot).all(|label| label.len() <= MAX_LABEL_LEN);
    if fits && is_name(name) {
        Ok(host.to_ascii_lowercase())
    } else {
        Err(Malformed)
    }
}

/// Returns a request's host without its port and without a dot at its end; `None` if the rest is
/// neither a name nor an address.
pub(super) fn read(host: &[u8]) -> Option<&[u8]> {
    if host.first() == Some(&b'[') {
        let end = host.iter().position(|byte| *byte == b']')?;
        let (address, port) = host.split_at_checked(end.checked_add(1)?)?;
        let is_address = std::str::from_utf8(address.get(1..end)?)
            .ok()?
            .parse::<std::net::Ipv6Addr>()
            .is_ok();
        return (is_address && is_port(port)).then_some(address);
    }

    let end = host
        .iter()
        .position(|byte| *byte == b':')
        .unwrap_or(host.len());
    let (name, port) = host.split_at_checked(end)?;
    let name = name.strip_suffix(b".").unwrap_or(name);
    (is_name(name) && is_port(port)).then_some(name)
}

/// Returns the names that a host is below, the longest first, as far as rules can name them.
pub(super) fn parents(host: &[u8]) -> impl Iterator<Item = &[u8]> {
    let behind_dots = host.iter().enumerate().filter(|(_, byte)| is_dot(byte));
    behind_dots
        .filter_map(|(at, _)| host.get(at.checked_add(1)?..))
        .filter(|parent| parent.len() <= MAX_LEN)
}

/// Returns the order of a request's host and a rule's.
pub(super) fn compare(host: &[u8], rule: &str) -> Ordering {
    host.iter().map(u8::to_ascii_lowercase).cmp(rule.bytes())
}

fn is_dot(byte: &u8) -> bool {
    *byte == b'.'
}

fn is_name(name: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    name.split(is_dot)
        .all(|label| !label.is_empty() && label.iter().all(plain))
}

/// Returns whether the text is empty, or a colon and digits, which may be absent (RFC 3986, section
/// 3.2.3).
fn is_port(port: &[u8]) -> bool {
    port.split_first()
        .is_none_or(|(colon, digits)| *colon == b':' && digits.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn rule_names_a_host_or_its_subdomains() {
        for (host, pattern) in [
            ("api.example.com", Pattern::Exact("api.example.com")),
            ("API.Example.com", Pattern::Exact("api.example.com")),
            ("localhost", Pattern::Exact("localhost")),
            ("192.0.2.1", Pattern::Exact("192.0.2.1")),
            (
                "xn--bcher-kva.example",
                Pattern::Exact("xn--bcher-kva.example"),
            ),
            ("*.Example.com", Pattern::Below("example.com")),
            ("*.com", Pattern::Below("com")),
        ] {
            assert_eq!(
                Pattern::from_host(&checked(host).unwrap()),
                pattern,
                "{host}"
            );
        }
        let (label, longest) = ("a".repeat(64), format!("{}a", "a.".repeat(126)));
        for host in [
            "",
            "*",
            "*.",
            "*.*",
            "*.*.com",
            "a.*",
            "*a.com",
            ".",
            ".com",
            "com.",
            "a..b",
            "a:80",
            "[::1]",
            "a b",
            "ü.de",
            "a,b",
            "%61.com",
            "user@a",
            "a/b",
            &label,
            &format!("{longest}a"),
        ] {
            assert_eq!(checked(host), Err(Malformed), "{host}");
        }
        assert!(checked(&longest).is_ok());
    }

    /// The port and the last dot are ignored.
    #[test]
    fn request_host_is_normalized() {
        for (host, name) in [
            ("api.example.com", Some("api.example.com")),
            ("api.example.com:8443", Some("api.example.com")),
            ("api.example.com:", Some("api.example.com")),
            ("api.example.com.", Some("api.example.com")),
            ("api.example.com.:80", Some("api.example.com")),
            ("[::1]", Some("[::1]")),
            ("[2001:db8::1.2.3.4]:80", Some("[2001:db8::1.2.3.4]")),
            ("", None),
            (".", None),
            (":80", None),
            ("a..b", None),
            ("a..", None),
            ("a:80:80", None),
            ("a:http", None),
            ("user@a", None),
            ("a,b", None),
            ("a b", None),
            ("%61", None),
            ("[::1", None),
            ("[]", None),
            ("[a.com]", None),
            ("[::1]a", None),
            ("ü", None),
        ] {
            assert_eq!(read(host.as_bytes()), name.map(str::as_bytes), "{host}");
        }
    }

    #[test]
    fn host_matches_each_of_its_suffixes() {
        let parents = |host: &'static str| parents(host.as_bytes()).collect::<Vec<_>>();
        assert_eq!(
            parents("a.b.example.com"),
            [&b"b.example.com"[..], b"example.com", b"com"]
        );
        assert_eq!(parents("localhost"), [&b""[..]; 0]);
        let long: &'static str = "a.".repeat(1000).leak();
        assert_eq!(
            parents(long).iter().map(|parent| parent.len()).max(),
            Some(252)
        );
    }

    #[test]
    fn hosts_are_compared_in_any_case() {
        assert_eq!(
            compare(b"API.example.com", "api.example.com"),
            Ordering::Equal
        );
        assert_eq!(compare(b"A", "b"), Ordering::Less);
        assert_eq!(compare(b"ab", "a"), Ordering::Greater);
    }
}
