//! The settings of the API.

use axum::http::Uri;
use clap::{Args, value_parser};
use std::net::SocketAddr;
use std::time::Duration;

use crate::http;

/// The API's address and limits.
#[derive(Debug, Clone, Args)]
pub struct HttpConfig {
    /// Address of the API; port 0 selects a free port
    #[arg(
        long = "http-listen",
        env = "LATCHKEY_HTTP_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDR"
    )]
    pub listen: SocketAddr,
    /// Maximum number of open connections. A further connection replaces one that waits for its
    /// client; if the same client has half of all connections, one of its own
    #[arg(
        id = "http-connections",
        long = "http-connections",
        env = "LATCHKEY_HTTP_CONNECTIONS",
        default_value_t = 1_024,
        value_name = "NUMBER",
        value_parser = value_parser!(u32).range(1..)
    )]
    pub connections: u32,
    /// Time after which a connection is closed that sends no request headers or reads nothing of a
    /// response
    #[arg(
        id = "http-idle-ms",
        long = "http-idle-ms",
        env = "LATCHKEY_HTTP_IDLE_MS",
        default_value_t = 10_000,
        value_name = "MILLISECONDS",
        value_parser = value_parser!(u64).range(1..)
    )]
    pub idle_ms: u64,
    /// Maximum number of calls of a user or an API key per minute; 0 for no limit
    #[arg(
        long,
        env = "LATCHKEY_CALLS_PER_MINUTE",
        default_value_t = 6_000,
        value_name = "CALLS"
    )]
    pub calls_per_minute: u32,
    /// Number of proxies in front of the API whose X-Forwarded-For is trusted; 0 uses the
    /// connection's own address
    #[arg(
        long,
        env = "LATCHKEY_TRUSTED_HOPS",
        default_value_t = 0,
        value_name = "PROXIES"
    )]
    pub trusted_hops: usize,
    /// Address at which clients reach Envoy, such as https://api.example.com; shown in the console
    #[arg(long, env = "LATCHKEY_GATEWAY_URL", value_name = "URL", value_parser = gateway_url)]
    pub gateway_url: Option<String>,
}

impl HttpConfig {
    /// Returns the limits for clients, with this maximum number of open connections.
    pub(crate) fn limits(&self, connections: usize) -> http::Limits {
        // With a proxy, all connections come from the proxy's address.
        let per_client = if self.trusted_hops == 0 {
            (connections / 2).max(1)
        } else {
            connections
        };

        http::Limits {
            connections,
            per_client,
            idle: Duration::from_millis(self.idle_ms),
        }
    }
}

/// Checks the URL. Returns it without a trailing slash, fit for single quotes in a shell.
fn gateway_url(text: &str) -> Result<String, &'static str> {
    let wrong = "must be an http or https URL, without a query or quotes";
    let url: Uri = text.parse().map_err(|_| wrong)?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https")) && url.authority().is_some();
    if is_http && url.query().is_none() && !text.contains('\'') {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    Err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateway_is_an_http_address() {
        for (text, url) in [
            ("https://api.example.com/", Some("https://api.example.com")),
            ("http://127.0.0.1:10000", Some("http://127.0.0.1:10000")),
            ("https://example.com/a/", Some("https://example.com/a")),
            ("api.example.com", None),
            ("ftp://example.com", None),
            ("https://example.com/?a", None),
            ("https://example.com/'", None),
        ] {
            assert_eq!(gateway_url(text).ok().as_deref(), url, "{text}");
        }
    }
}
