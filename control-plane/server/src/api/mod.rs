//! The API: JSON over HTTP. Every handler reads top to bottom: the caller, the request, the
//! permission check, the action, the response.

mod accounts;
mod answer;
mod audit;
mod caller;
mod client_address;
mod docs;
mod edit_key;
mod error;
mod expiry;
mod explain;
mod extract;
mod fields;
mod health;
mod import;
mod key_list;
mod key_view;
mod keys;
mod list_reads;
mod log_in;
mod login_limits;
mod manage_nodes;
mod myself;
mod new_key;
mod node_tokens;
mod nodes;
mod observe;
mod openapi;
mod page;
mod redact;
mod regenerate;
mod repeatable;
mod roles;
mod routes;
mod schemas;
mod services;
mod sessions;
mod subaccounts;
mod throttle;
mod tiers;
mod usage;
mod users;
mod webhooks;

use axum::http::Extensions;
use axum::{Extension, Router, middleware};
use latchkey_model::clock::Clock;
use latchkey_policy::key::KeyFormat;
use latchkey_store::Store;
use std::sync::Arc;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::enforcement::{self, Enforcement};
use crate::http::{Peer, Place};
use crate::metrics::Metrics;
use crate::nodes::registry::Registry;
use crate::password::Passwords;
use crate::refused_logins::Collector;
use crate::stop::Stop;
use crate::stream::FeedHealth;
use crate::webhook::reach::Reach;
pub(crate) use client_address::HopsCheck;
use error::ApiError;
pub use import::check_row as check_import_row;
pub(crate) use list_reads::ListReads;
pub(crate) use log_in::LogDigests;
pub(crate) use login_limits::LoginLimits;
use observe::RequestId;
use openapi::Document;
pub(crate) use throttle::Throttle;

/// The default limit of a body, in bytes.
const MAX_BODY_LEN: usize = 1024 * 1024;

/// The state that handlers share.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) registry: Registry,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) feed: FeedHealth,
    pub(crate) passwords: Passwords,
    pub(crate) logins: LoginLimits,
    pub(crate) refused_logins: Arc<Collector>,
    pub(crate) digests: LogDigests,
    /// Counts calls by caller.
    pub(crate) calls: Throttle,
    pub(crate) list_reads: ListReads,
    /// The number of trusted proxies in front of the API.
    pub(crate) trusted_hops: usize,
    pub(crate) hops_check: HopsCheck,
    /// The address at which clients reach Envoy, if known.
    pub(crate) gateway: Option<String>,
    pub(crate) key_format: KeyFormat,
    pub(crate) reach: Reach,
    pub(crate) stop: Stop,
}

impl App {
    /// Returns the enforcement progress of `revision`, after waiting for at most `patience`.
    async fn enforced(&self, revision: u64, patience: Duration) -> Enforcement {
        enforcement::wait(
            &self.registry,
            &self.metrics,
            self.stop.clone(),
            revision,
            patience,
        )
        .await
    }
}

/// Builds the console's pages on top of all calls. The parameters are the calls, a function that
/// copies the data that calls need from a page's request, the clock, and the address at which
/// clients reach Envoy, if known.
pub type Pages =
    fn(Router, fn(&Extensions) -> Extensions, Arc<dyn Clock>, Option<String>) -> Router;

/// Copies the data from a request that calls on its behalf need: the connection's peer, its place,
/// and the request's id.
fn hand_on(from: &Extensions) -> Extensions {
    let mut extensions = Extensions::new();
    from.get::<Peer>().map(|peer| extensions.insert(*peer));
    from.get::<Place>()
        .map(|place| extensions.insert(place.clone()));
    from.get::<RequestId>()
        .map(|id| extensions.insert(id.clone()));
    extensions
}

/// Returns the router of all calls and of the pages on top of them. Fails if the description cannot
/// be serialized.
pub(crate) fn router(app: App, pages: Pages) -> Result<Router, serde_json::Error> {
    let app = Arc::new(app);
    let calls = OpenApiRouter::with_openapi(openapi::base())
        .merge(session_calls())
        .merge(key_calls())
        .merge(user_calls())
        .merge(account_calls())
        .merge(webhook_calls())
        .merge(gateway_calls())
        .merge(machine_calls());
    let (router, description) = calls.split_for_parts();
    let description = Arc::new(Document::new(&description)?);
    let calls = router
        .merge(docs::router())
        .layer(Extension(description))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .with_state(app.clone());
    let pages = pages(
        calls.clone(),
        hand_on,
        app.clock.clone(),
        app.gateway.clone(),
    );
    Ok(calls
        .merge(pages)
        .layer(middleware::from_fn_with_state(app, observe::observe)))
}

/// Calls routed by their description, so that no call lacks one.
type Calls = OpenApiRouter<Arc<App>>;

fn session_calls() -> Calls {
    Calls::new()
        .routes(routes!(log_in::log_in))
        .routes(routes!(myself::get, sessions::log_out))
}

fn key_calls() -> Calls {
    Calls::new()
        .routes(routes!(key_list::list))
        .routes(routes!(keys::generate))
        .routes(routes!(import::import))
        .routes(routes!(myself::allowed_permissions))
        .routes(routes!(keys::get, edit_key::edit, keys::revoke))
        .routes(routes!(regenerate::regenerate))
        .routes(routes!(explain::ask))
        .routes(routes!(usage::list))
        .routes(routes!(audit::list))
}

fn user_calls() -> Calls {
    Calls::new()
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::get, users::edit, users::delete))
        .routes(routes!(myself::change_password))
        .routes(routes!(roles::list))
}

/// Routes the calls about accounts and their parts.
fn account_calls() -> Calls {
    Calls::new()
        .routes(routes!(accounts::list, accounts::create))
        .routes(routes!(accounts::get, accounts::edit, accounts::close))
        .routes(routes!(subaccounts::list, subaccounts::create))
        .routes(routes!(
            subaccounts::get,
            subaccounts::edit,
            subaccounts::delete
        ))
        .routes(routes!(services::list, services::create))
        .routes(routes!(services::get, services::edit, services::delete))
}

/// Routes the calls about nodes and their shared settings.
fn gateway_calls() -> Calls {
    Calls::new()
        .routes(routes!(tiers::get, tiers::put))
        .routes(routes!(routes::get, routes::put))
        .routes(routes!(nodes::list))
        .routes(routes!(manage_nodes::forget))
        .routes(routes!(manage_nodes::forget_lost))
        .routes(routes!(manage_nodes::accept_epoch))
        .routes(routes!(node_tokens::list, node_tokens::create))
        .routes(routes!(node_tokens::revoke))
}

fn webhook_calls() -> Calls {
    Calls::new()
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::get, webhooks::edit, webhooks::delete))
        .routes(routes!(webhooks::rotate::rotate_secret))
        .routes(routes!(webhooks::deliveries::list))
        .routes(routes!(webhooks::deliveries::redeliver))
        .routes(routes!(webhooks::deliveries::test))
}

fn machine_calls() -> Calls {
    Calls::new()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::readyz_stream))
        .routes(routes!(health::metrics))
        .routes(routes!(openapi::get))
}
