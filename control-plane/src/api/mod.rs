//! The API: JSON over HTTP. Every handler reads top to bottom: who asks, what for, is it allowed, do it, answer.

mod answer;
mod audit;
mod caller;
mod edit_key;
mod error;
mod expiry;
mod explain;
mod extract;
mod fields;
mod health;
mod key_view;
mod keys;
mod myself;
mod new_key;
mod nodes;
mod observe;
mod roles;
mod routes;
mod sessions;
mod subaccounts;
mod throttle;
mod tiers;
mod usage;
mod users;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{delete, get, post, put};
use latchkey_policy::key::KeyFormat;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::enforcement::{self, Enforcement};
use crate::metrics::Metrics;
use crate::password::Passwords;
use crate::stop::Stop;
use crate::store::Store;
use crate::stream::registry::Registry;
use error::ApiError;
pub(crate) use throttle::Throttle;

const MAX_BODY_LEN: usize = 1024 * 1024;

/// What handlers share.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) registry: Registry,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) passwords: Passwords,
    /// Wrong passwords by email address.
    pub(crate) logins: Throttle,
    /// Wrong passwords by client address.
    pub(crate) login_addresses: Throttle,
    /// Calls by caller.
    pub(crate) calls: Throttle,
    /// Proxies in front of the API that are trusted.
    pub(crate) trusted_hops: usize,
    pub(crate) key_format: KeyFormat,
    pub(crate) stop: Stop,
}

impl App {
    /// How far `revision` has come, after `patience` at most.
    async fn enforced(&self, revision: u64, patience: Duration) -> Enforcement {
        enforcement::wait(&self.registry, &self.metrics, self.stop.clone(), revision, patience).await
    }
}

pub(crate) fn router(app: App) -> Router {
    let app = Arc::new(app);
    Router::new()
        .route("/v1/sessions", post(sessions::log_in))
        .route("/v1/sessions/current", get(myself::get).delete(sessions::log_out))
        .route("/v1/keys", get(keys::list))
        .route("/v1/keys/generate", post(keys::generate))
        .route("/v1/keys/allowed-permissions", get(myself::allowed_permissions))
        .route("/v1/keys/{key_id}", get(keys::get).patch(edit_key::edit).delete(keys::revoke))
        .route("/v1/users", get(users::list).post(users::create))
        .route("/v1/users/me/password", put(myself::change_password))
        .route("/v1/users/{user_id}", get(users::get).patch(users::edit))
        .route("/v1/subaccounts", get(subaccounts::list).post(subaccounts::create))
        .route("/v1/subaccounts/{subaccount_id}", delete(subaccounts::delete))
        .route("/v1/roles", get(roles::list))
        .route("/v1/tiers", get(tiers::get).put(tiers::put))
        .route("/v1/routes", get(routes::get).put(routes::put))
        .route("/v1/explain", post(explain::ask))
        .route("/v1/usage", get(usage::list))
        .route("/v1/audit", get(audit::list))
        .route("/v1/nodes", get(nodes::list))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_LEN))
        .layer(middleware::from_fn_with_state(app.clone(), observe::observe))
        .with_state(app)
}
