//! The list of users, searched and paged; and the permissions of the predefined roles.

use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::PATH;
use super::choices::Choices;
use super::view::User;
use crate::api::with_query;
use crate::error::PageError;
use crate::flash::Flash;
use crate::form::Query;
use crate::grants::Role;
use crate::layout;
use crate::partial::is_partial;
use crate::session::Session;
use crate::widgets::{
    cell, columns, count, empty_list, list_count, list_count_update, pager, stacked_table, time,
};

/// The number of rows on a page.
const ROWS: &str = "25";

const SENTENCES: [(&str, &str); 1] = [(
    "deleted",
    "The user is deleted, and their API keys are revoked",
)];

/// The API's response to a search for users.
#[derive(Deserialize)]
struct UserList {
    users: Vec<User>,
    total: u64,
    total_is_estimate: bool,
    next_cursor: Option<String>,
}

/// The search and the cursor, as given in the address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct UserListParams {
    search: String,
    cursor: String,
}

impl UserListParams {
    /// Returns the address of the same list from the cursor on.
    fn address_at(&self, cursor: &str) -> String {
        with_query(PATH, &[("search", &self.search), ("cursor", cursor)])
    }
}

/// Shows the list, or only its changed part to htmx.
pub(super) async fn page(
    session: Session,
    headers: HeaderMap,
    Query(params): Query<UserListParams>,
    flash: Flash,
) -> Result<Response, PageError> {
    let parameters = [
        ("limit", ROWS),
        ("search", &params.search),
        ("cursor", &params.cursor),
    ];
    let found: UserList = session
        .api
        .get(&with_query("/v1/users", &parameters))
        .await?;

    let choices = Choices::load(&session).await?;
    let list = list(&params, &found, &choices);
    let count = count(found.total, found.total_is_estimate, "user");
    if is_partial(&headers) {
        let part = html! { (list) (list_count_update(&count)) };
        return Ok(Html(part.into_string()).into_response());
    }

    let content = html! {
        div .title {
            h1 { "Users" }
            @if session.user.may("account:users:create") { a .button href={ (PATH) "/new" } { "Add a user" } }
        }
        (flash.notice(&SENTENCES))
        form .filters role="search" action=(PATH)
            hx-get=(PATH) hx-target="#users" hx-swap="outerHTML" hx-push-url="true" hx-sync="this:replace"
            hx-trigger="input changed delay:200ms from:#search" {
            label { "Search"
                input type="search" #search name="search" value=(params.search) placeholder="Email address or id" maxlength="100";
            }
            noscript { button type="submit" { "Search" } }
        }
        (list_count(&count))
        (list)
        (roles(&choices.roles))
    };
    Ok(layout::page(&session, PATH, "Users", &content).into_response())
}

/// Renders the part of the page that is replaced when the search or the page changes.
fn list(params: &UserListParams, found: &UserList, choices: &Choices) -> Markup {
    let heads = columns(&[
        "Email address",
        "Roles",
        "Additional permissions",
        "Subaccounts",
        "State",
        "Created",
    ]);
    let rows = html! { @for user in &found.users { (row(user, choices)) } };
    let next = found.next_cursor.as_deref();

    html! {
        section #users {
            @if found.users.is_empty() {
                (empty_list("No users match.", &html! { a href=(PATH) { "Show all users" } }))
            } @else {
                (stacked_table("Users", &heads, &rows))
                (pager(&params.cursor, next, ["First page", "Next page"], |cursor| params.address_at(cursor)))
            }
        }
    }
}

fn row(user: &User, choices: &Choices) -> Markup {
    html! {
        tr {
            th scope="row" { a href=(user.path()) { (user.email) } }
            (cell("Roles", &user.roles()))
            (cell("Permissions", &html! { div .list { (user.permissions()) } }))
            (cell("Subaccounts", &user.subaccounts(choices)))
            (cell("State", &html! { span { (user.state()) } }))
            (cell("Created", &time(&user.created_at)))
        }
    }
}

fn roles(roles: &[Role]) -> Markup {
    html! {
        section .card {
            h2 { "Roles" }
            p { "A role grants a user or a key all permissions of its patterns. A " code { "*" }
                " stands for one or more whole segments. A key never has more permissions than \
                 its owner." }
            dl {
                @for role in roles {
                    dt { (role.name) }
                    dd { (role.meaning()) " " code { (role.permissions.join(", ")) } }
                }
            }
        }
    }
}
