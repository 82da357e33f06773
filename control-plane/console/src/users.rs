//! Users: the list, a new user, and the pages of each user.

mod authority;
mod cards;
mod choices;
mod create;
mod delete;
mod edit;
mod list;
mod read;
mod view;

use axum::Router;
use axum::routing::{get, post};

use crate::ConsoleState;
use crate::id::Id;

/// The path of the section.
pub(super) const PATH: &str = "/console/users";

/// Returns the routes of the pages.
pub(super) fn router() -> Router<ConsoleState> {
    Router::new()
        .route(PATH, get(list::page))
        .route("/console/users/new", get(create::page).post(create::create))
        .route("/console/users/{user_id}", get(read::page).post(edit::save))
        .route(
            "/console/users/{user_id}/disabled",
            post(edit::set_disabled),
        )
        .route("/console/users/{user_id}/delete", post(delete::delete))
}

/// Returns the API's path of the user with that id.
fn call(Id(id): &Id) -> String {
    format!("/v1/users/{id}")
}
