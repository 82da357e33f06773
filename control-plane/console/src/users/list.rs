//! The list of users, searched and paged; and the permissions of the predefined roles.

use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::PATH;
use super::choices::Choices;
use super::view::User;
use crate::api::with_query;
use crate::done::Done;
use crate::failure::Failure;
use crate::form::Query;
use crate::grants::Role;
use crate::layout;
use crate::partial::is_partial;
use crate::session::Session;
use crate::widgets::{cell, count, counted, nothing, pages, recount, time};

/// The number of rows on a page.
const ROWS: &str = "25";

const SENTENCES: [(&str, &str); 1] = [(
    "deleted",
    "The user is deleted, and their API keys are revoked",
)];

#[derive(Deserialize)]
struct Users {
    users: Vec<User>,
    total: u64,
    total_is_estimate: bool,
    next_cursor: Option<String>,
}

/// The search and the cursor, as given in the address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    search: String,
    cursor: String,
}

impl Asked {
    fn from(&self, cursor: &str) -> String {
        with_query(PATH, &[("search", &self.search), ("cursor", cursor)])
    }
}

pub(super) async fn page(
    session: Session,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
    done: Done,
) -> Result<Response, Failure> {
    let parameters = [
        ("limit", ROWS),
        ("search", &asked.search),
        ("cursor", &asked.cursor),
    ];
    let found: Users = session
        .api
        .get(&with_query("/v1/users", &parameters))
        .await?;
    let choices = Choices::of(&session).await?;
    let list = list(&asked, &found, &choices);
    let count = count(found.total, found.total_is_estimate, "user");
    if is_partial(&headers) {
        return Ok(Html(html! { (list) (recount(&count)) }.into_string()).into_response());
    }
    let content = html! {
        div .title {
            h1 { "Users" }
            @if session.me.may("account:users:create") { a .button href={ (PATH) "/new" } { "Add a user" } }
        }
        (done.notice(&SENTENCES))
        form .filters role="search" action=(PATH)
            hx-get=(PATH) hx-target="#users" hx-swap="outerHTML" hx-push-url="true" hx-sync="this:replace"
            hx-trigger="input changed delay:200ms from:#search" {
            label { "Search"
                input type="search" #search name="search" value=(asked.search) placeholder="Email address or id" maxlength="100";
            }
            noscript { button type="submit" { "Search" } }
        }
        (counted(&count))
        (list)
        (roles(&choices.roles))
    };
    Ok(layout::page(&session, PATH, "Users", &content).into_response())
}

/// Renders the part of the page that is replaced when the search or the page changes.
fn list(asked: &Asked, found: &Users, choices: &Choices) -> Markup {
    html! {
        section #users {
            @if found.users.is_empty() {
                (nothing("No users match.", &html! { a href=(PATH) { "Show all users" } }))
            } @else {
                div .wide tabindex="0" role="region" aria-label="Users" {
                    table .stack {
                        thead { tr {
                            th scope="col" { "Email address" }
                            th scope="col" { "Roles" }
                            th scope="col" { "Additional permissions" }
                            th scope="col" { "Subaccounts" }
                            th scope="col" { "State" }
                            th scope="col" { "Created" }
                        } }
                        tbody { @for user in &found.users { (row(user, choices)) } }
                    }
                }
                (pages(
                    (!asked.cursor.is_empty()).then(|| (asked.from(""), "First page")),
                    found.next_cursor.as_deref().map(|cursor| (asked.from(cursor), "Next page")),
                ))
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
