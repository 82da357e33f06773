//! API keys: the list, and the pages of each key.

mod cards;
mod create;
mod edit;
mod expiry;
mod ip_lists;
mod list;
mod read;
mod regenerate;
mod revoke;
mod secret;
mod target_key;
mod view;

use axum::Router;
use axum::routing::{get, post};
use latchkey_api_types::Tiers;
use latchkey_model::tier::Tier;
use latchkey_policy::limit::Window;

use crate::ConsoleState;
use crate::api::Refusal;
use crate::session::Session;

/// The path of the section.
pub(super) const PATH: &str = "/console/keys";

/// Returns all tiers.
async fn tiers(session: &Session) -> Result<Vec<Tier>, Refusal> {
    let Tiers { tiers } = session.api.get("/v1/tiers").await?;
    Ok(tiers)
}

/// Returns the name of the field for the limit of a window.
fn limit_field(window: Window) -> String {
    format!("limits.{}", window.as_str())
}

/// Returns the routes of the pages.
pub(super) fn router() -> Router<ConsoleState> {
    Router::new()
        .route(PATH, get(list::page))
        .route("/console/keys/new", get(create::page).post(create::submit))
        .route("/console/keys/{id}", get(read::page))
        .route("/console/keys/{id}/edit", get(edit::page).post(edit::save))
        .route(
            "/console/keys/{id}/ip-lists",
            get(ip_lists::page).post(ip_lists::save),
        )
        .route(
            "/console/keys/{id}/regenerate",
            post(regenerate::regenerate),
        )
        .route("/console/keys/{id}/revoke", post(revoke::revoke))
}
