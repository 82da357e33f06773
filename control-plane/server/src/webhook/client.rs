//! Sends a delivery once: to an allowed destination, signed, and with a time limit.

use latchkey_store::Claim;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode, header};
use std::error::Error;
use std::time::Duration;
use tokio::net::lookup_host;
use tracing::warn;

use super::reach::AllowedDestinations;
use super::signature::sign;

/// The time limit from the lookup of the receiver's name to the end of its response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum number of bytes that are read of a response. Its contents are ignored, but a
/// connection can be reused only after its response is read.
const MAX_RESPONSE_LEN: usize = 1_024;

/// The maximum number of characters of a stored error.
const ERROR_LEN: usize = 200;

const USER_AGENT: &str = concat!("latchkey/", env!("CARGO_PKG_VERSION"));

/// The outcome of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AttemptResult {
    /// The receiver accepted the delivery.
    Accepted(u16),
    /// The receiver permanently rejects deliveries.
    Gone(u16),
    /// The attempt failed and must be repeated.
    Failed { status: Option<u16>, error: String },
}

impl AttemptResult {
    /// Converts a response's status. A redirect is a failure: it would lead to a URL that no caller
    /// has set.
    fn from_status(status: StatusCode) -> Self {
        match status {
            _ if status.is_success() => Self::Accepted(status.as_u16()),
            StatusCode::GONE => Self::Gone(status.as_u16()),
            _ => Self::Failed {
                status: Some(status.as_u16()),
                error: format!("the receiver responded with {}", status.as_u16()),
            },
        }
    }
}

/// Sends to receivers directly: it uses no proxy of the environment and follows no redirect.
pub(super) struct Client {
    http: reqwest::Client,
    reach: AllowedDestinations,
}

impl Client {
    pub(super) fn new(reach: AllowedDestinations) -> reqwest::Result<Self> {
        let builder = || {
            let builder = reqwest::Client::builder()
                .timeout(TIMEOUT)
                .redirect(Policy::none())
                .no_proxy();
            let builder = builder
                .user_agent(USER_AGENT)
                .referer(false)
                .pool_max_idle_per_host(1);
            builder
                .https_only(reach == AllowedDestinations::Public)
                .dns_resolver(Resolver(reach))
        };
        let http = builder().build().or_else(|error| {
            // Without the system's certificate authorities no receiver can be trusted, but the
            // control plane can still start.
            warn!(error = root(&error), "cannot send webhooks over TLS");
            builder().tls_certs_only([]).build()
        })?;
        Ok(Self { http, reach })
    }

    /// Sends `delivery` at `now`, in Unix seconds.
    pub(super) async fn send(&self, delivery: &Claim, now: i64) -> AttemptResult {
        let url = match self.reach.check(&delivery.url) {
            Ok(url) => url,
            Err(reason) => {
                return AttemptResult::Failed {
                    status: None,
                    error: format!("the URL {reason}"),
                };
            }
        };

        let request = self
            .http
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &delivery.id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signatures(delivery, now));

        match request.body(delivery.body.clone()).send().await {
            Ok(response) => {
                let status = response.status();
                read(response).await;
                AttemptResult::from_status(status)
            }
            Err(error) => AttemptResult::Failed {
                status: None,
                error: describe(&error),
            },
        }
    }
}

/// Returns a signature by each secret that is valid at `now`, separated by spaces.
fn signatures(delivery: &Claim, now: i64) -> String {
    let signatures: Vec<_> = delivery
        .secrets(now)
        .map(|secret| sign(&secret, &delivery.id, now, &delivery.body))
        .collect();
    signatures.join(" ")
}

/// Reads a response to its end, if it is short. Errors are ignored, because the status is known
/// already.
async fn read(mut response: Response) {
    let mut left = MAX_RESPONSE_LEN;
    while let Ok(Some(chunk)) = response.chunk().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// Returns the error as it is stored.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no response within {} seconds", TIMEOUT.as_secs());
    }
    root(error).chars().take(ERROR_LEN).collect()
}

/// Returns the innermost cause of an error. The outer errors may contain the URL with secrets in
/// its query.
fn root(error: &reqwest::Error) -> String {
    let Some(mut root) = error.source() else {
        return error.to_string();
    };
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}

/// Resolves names, and omits addresses that are not allowed.
struct Resolver(AllowedDestinations);

/// The name has no allowed address.
#[derive(Debug, thiserror::Error)]
#[error("the host has no public address")]
struct NotPublic;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self(reach) = *self;
        Box::pin(async move {
            // The port comes from the URL.
            let found = lookup_host((name.as_str(), 0)).await?;
            let admitted: Vec<_> = found.filter(|address| reach.admits(address.ip())).collect();
            if admitted.is_empty() {
                Err(NotPublic.into())
            } else {
                Ok(Box::new(admitted.into_iter()) as Addrs)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolved(reach: AllowedDestinations) -> Result<usize, String> {
        let resolving = Resolver(reach).resolve("localhost".parse().unwrap());
        resolving
            .await
            .map(Iterator::count)
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn localhost_is_not_resolved() {
        assert_eq!(
            resolved(AllowedDestinations::Public).await,
            Err("the host has no public address".to_owned())
        );
        assert!(resolved(AllowedDestinations::Private).await.unwrap() > 0);
    }

    #[test]
    fn only_2xx_is_success() {
        let result = |status| AttemptResult::from_status(StatusCode::from_u16(status).unwrap());
        assert_eq!(
            (result(200), result(204)),
            (AttemptResult::Accepted(200), AttemptResult::Accepted(204))
        );
        assert_eq!(result(410), AttemptResult::Gone(410));

        for status in [302, 400, 404, 429, 500] {
            let error = format!("the receiver responded with {status}");
            assert_eq!(
                result(status),
                AttemptResult::Failed {
                    status: Some(status),
                    error
                }
            );
        }
    }
}
