//! Checks the origin of forms: only the console's own pages may send them.
//!
//! The token of a form also keeps other sites out, but the log-in form has none, and browsers send
//! `Sec-Fetch-Site` neither without TLS nor in old versions. All of them send `Origin` with a form.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::error::PageError;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The host that was requested from a proxy which sends us another `Host`. A page cannot make a
/// browser send this header to another site.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Refuses requests that change something and come from another site, as far as the browser reports
/// their origin.
pub(super) async fn refuse_other_sites(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads || is_own(request.headers()) {
        next.run(request).await
    } else {
        PageError::Forged.into_response()
    }
}

fn is_own(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(FETCH_SITE).iter();
    let mut origins = headers.get_all(header::ORIGIN).iter();
    sites.all(|site| site == "same-origin")
        && origins.all(|origin| {
            origin
                .to_str()
                .is_ok_and(|origin| names_this_host(origin, headers))
        })
}

/// Returns whether an `Origin` names the requested host, with the same port. The scheme may differ:
/// a proxy in front of the control plane ends TLS.
fn names_this_host(origin: &str, headers: &HeaderMap) -> bool {
    let Ok(origin) = origin.parse::<Uri>() else {
        return false;
    };
    let default_port = match origin.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return false,
    };
    let Some(authority) = origin.authority() else {
        return false;
    };

    let port = authority.port_u16().unwrap_or(default_port);
    let matches = |text: &str| {
        let Ok(host) = text.trim().parse::<Authority>() else {
            return false;
        };
        host.host().eq_ignore_ascii_case(authority.host())
            && host.port_u16().unwrap_or(default_port) == port
    };

    let mut hosts = headers.get_all(header::HOST).iter();
    let mut forwarded = headers.get_all(FORWARDED_HOST).iter();
    hosts.any(|host| host.to_str().is_ok_and(matches))
        || forwarded.any(|hosts| {
            hosts
                .to_str()
                .is_ok_and(|hosts| hosts.split(',').any(matches))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn is_own_with(headers: &[(&'static str, &'static str)]) -> bool {
        let header = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };

        let mut map = HeaderMap::new();
        headers
            .iter()
            .map(header)
            .for_each(|(name, value)| _ = map.append(name, value));
        is_own(&map)
    }

    #[test]
    fn form_matches_the_requested_host() {
        for (origin, host) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("https://127.0.0.1:8080", "127.0.0.1:8080"),
            ("https://Latchkey.example.com", "latchkey.example.com"),
            ("https://latchkey.example.com", "latchkey.example.com:443"),
            ("http://latchkey.example.com:80", "latchkey.example.com"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert!(
                is_own_with(&[("origin", origin), ("host", host)]),
                "{origin} {host}"
            );
        }

        assert!(is_own_with(&[("host", "a")]), "programs send no origin");
        assert!(is_own_with(&[
            ("host", "a"),
            ("origin", "https://a"),
            ("sec-fetch-site", "same-origin")
        ]));
        let proxy = [
            ("host", "10.0.0.1:8080"),
            ("origin", "https://a"),
            ("x-forwarded-host", "a, b"),
        ];
        assert!(is_own_with(&proxy));
    }

    #[test]
    fn form_of_another_site_is_refused() {
        for (origin, host) in [
            ("https://evil.test", "latchkey.example.com"),
            ("null", "latchkey.example.com"),
            ("", "latchkey.example.com"),
            ("https://latchkey.example.com:8443", "latchkey.example.com"),
            ("http://127.0.0.1:9999", "127.0.0.1:8080"),
            (
                "https://latchkey.example.com.evil.test",
                "latchkey.example.com",
            ),
            (
                "https://evil.test#latchkey.example.com",
                "latchkey.example.com",
            ),
            ("file://latchkey.example.com", "latchkey.example.com"),
            ("latchkey.example.com", "latchkey.example.com"),
        ] {
            assert!(
                !is_own_with(&[("origin", origin), ("host", host)]),
                "{origin} {host}"
            );
        }

        assert!(
            !is_own_with(&[("origin", "https://a")]),
            "no host was requested"
        );
        assert!(!is_own_with(&[
            ("host", "a"),
            ("origin", "https://a"),
            ("origin", "https://evil.test")
        ]));
        assert!(!is_own_with(&[
            ("host", "a"),
            ("origin", "https://evil.test"),
            ("sec-fetch-site", "same-origin")
        ]));
        for site in ["cross-site", "same-site", "none"] {
            assert!(
                !is_own_with(&[("host", "a"), ("sec-fetch-site", site)]),
                "{site}"
            );
        }
    }
}
