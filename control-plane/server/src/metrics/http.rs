//! The metrics of the API.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::export_zeros;
use super::labels::{EndpointLabels, ForwardedFor, LoginOutcome, RequestLabels};

/// The buckets of request times. They are few, because each route and method has its own. Calls
/// that wait for nodes take long.
const REQUEST_SECONDS: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0];

/// The requests of the API, and its logins.
pub struct HttpMetrics {
    /// The requests, by route, method and status.
    pub requests: Family<RequestLabels, Counter>,
    /// The durations of requests, by route and method.
    pub request_seconds: Family<EndpointLabels, Histogram, fn() -> Histogram>,
    /// The logins, by outcome.
    pub logins: Family<LoginOutcome, Counter>,
    /// The requests whose `X-Forwarded-For` does not match the setting.
    pub forwarded_for: Family<ForwardedFor, Counter>,
}

impl HttpMetrics {
    /// Creates the metrics in `registry`.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
            logins: Family::default(),
            forwarded_for: Family::default(),
        };
        let outcomes = [
            LoginOutcome::ACCEPTED,
            LoginOutcome::REFUSED,
            LoginOutcome::THROTTLED,
            LoginOutcome::BUSY,
        ];
        export_zeros(&metrics.logins, outcomes);
        let problems = [ForwardedFor::IGNORED, ForwardedFor::MISSING];
        export_zeros(&metrics.forwarded_for, problems);

        registry.register(
            "http_requests",
            "Requests answered by the API",
            metrics.requests.clone(),
        );
        registry.register(
            "http_request_seconds",
            "Duration of API requests, including the time waited for nodes",
            metrics.request_seconds.clone(),
        );
        registry.register("logins", "Logins by outcome", metrics.logins.clone());
        registry.register(
            "forwarded_for_mismatches",
            "Requests whose X-Forwarded-For does not match the setting trusted-hops",
            metrics.forwarded_for.clone(),
        );
        metrics
    }
}
