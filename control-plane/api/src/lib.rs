//! Latchkey's API: JSON over HTTP. Every handler reads top to bottom: the caller, the request, the
//! permission check, the action, the response.
//!
//! It works with a running control plane (`latchkey-server`), which serves its router. The console's
//! pages are mounted on top of the calls ([`Pages`]).

mod accounts;
mod audit;
mod caller;
mod client_address;
mod current_user;
mod docs;
mod error;
mod explain;
mod extract;
mod fields;
mod health;
mod keys;
mod list_reads;
mod log_in;
mod login_limits;
mod middleware;
mod node_tokens;
mod nodes;
mod openapi;
mod page;
mod redact;
mod repeatable;
mod response;
mod roles;
mod routes;
mod services;
mod sessions;
mod subaccounts;
mod throttle;
mod tiers;
mod usage;
mod users;
mod webhooks;

use axum::http::Extensions;
use axum::{Extension, Router};
use latchkey_api_types as types;
use latchkey_model::clock::Clock;
use latchkey_model::random::NoRandomness;
use latchkey_server::http::{Peer, Place};
use latchkey_server::{Backend, StartError};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use client_address::HopsCheck;
use error::ApiError;
pub use error::{ERRORS, ErrorRow};
pub use keys::import::check_row as check_import_row;
use list_reads::ListReads;
use log_in::LogDigests;
use login_limits::LoginLimits;
use middleware::RequestId;
use openapi::Document;
use throttle::Throttle;

/// The default limit of a body, in bytes.
const MAX_BODY_LEN: usize = 1024 * 1024;

/// The state that handlers share: the running control plane, and the API's own limits.
pub(crate) struct App {
    backend: Backend,
    pub(crate) logins: LoginLimits,
    pub(crate) digests: LogDigests,
    /// Counts calls by caller.
    pub(crate) calls: Throttle,
    pub(crate) list_reads: ListReads,
    pub(crate) hops_check: HopsCheck,
}

impl App {
    fn new(backend: Backend) -> Result<Self, NoRandomness> {
        Ok(Self {
            logins: LoginLimits::new(),
            digests: LogDigests::new()?,
            calls: Throttle::new(backend.calls_per_minute),
            list_reads: ListReads::new(),
            hops_check: HopsCheck::default(),
            backend,
        })
    }

    /// Returns the enforcement progress of `revision`, after waiting for at most `timeout`.
    async fn enforced(&self, revision: u64, timeout: Duration) -> types::Enforcement {
        let progress = self.backend.enforced(revision, timeout).await;
        types::Enforcement {
            revision: progress.revision,
            nodes: progress.nodes,
            acknowledged: progress.acknowledged,
            lost: progress.lost,
            complete: progress.complete,
            elapsed_ms: progress.elapsed_ms,
        }
    }
}

impl Deref for App {
    type Target = Backend;

    fn deref(&self) -> &Backend {
        &self.backend
    }
}

/// Builds the console's pages on top of all calls. The parameters are the calls, a function that
/// copies the data that calls need from a page's request, the clock, and the address at which
/// clients reach Envoy, if known.
pub type Pages =
    fn(Router, fn(&Extensions) -> Extensions, Arc<dyn Clock>, Option<String>) -> Router;

/// Copies the data from a request that calls on its behalf need: the connection's peer, its place,
/// and the request's id.
fn call_extensions(from: &Extensions) -> Extensions {
    let mut extensions = Extensions::new();
    from.get::<Peer>().map(|peer| extensions.insert(*peer));
    from.get::<Place>()
        .map(|place| extensions.insert(place.clone()));
    from.get::<RequestId>()
        .map(|id| extensions.insert(id.clone()));
    extensions
}

/// Returns the router of all calls to a running control plane, and of the pages on top of them.
///
/// # Errors
/// Fails without random bytes, or if the description cannot be serialized.
pub fn router(backend: Backend, pages: Pages) -> Result<Router, StartError> {
    let app = Arc::new(App::new(backend)?);

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
        call_extensions,
        app.clock.clone(),
        app.gateway.clone(),
    );
    Ok(calls
        .merge(pages)
        .layer(axum::middleware::from_fn_with_state(
            app,
            middleware::observe,
        )))
}

/// Calls routed by their description, so that no call lacks one.
type Calls = OpenApiRouter<Arc<App>>;

fn session_calls() -> Calls {
    Calls::new()
        .routes(routes!(log_in::log_in))
        .routes(routes!(current_user::get, sessions::log_out))
}

fn key_calls() -> Calls {
    Calls::new()
        .routes(routes!(keys::list::list))
        .routes(routes!(keys::create::generate))
        .routes(routes!(keys::import::import))
        .routes(routes!(current_user::allowed_permissions))
        .routes(routes!(
            keys::read::get,
            keys::edit::edit,
            keys::revoke::revoke
        ))
        .routes(routes!(keys::regenerate::regenerate))
        .routes(routes!(explain::ask))
        .routes(routes!(usage::list))
        .routes(routes!(audit::list))
}

fn user_calls() -> Calls {
    Calls::new()
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::get, users::edit, users::delete))
        .routes(routes!(current_user::change_password))
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
        .routes(routes!(nodes::manage::forget))
        .routes(routes!(nodes::manage::forget_lost))
        .routes(routes!(nodes::manage::accept_epoch))
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
