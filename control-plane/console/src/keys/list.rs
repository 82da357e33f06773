//! The list of keys: searched, filtered, sorted and paged.

use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Response};
use latchkey_model::role::Role;
use maud::{Markup, html};
use serde::Deserialize;

use super::PATH;
use super::view::Key;
use crate::api::with_query;
use crate::failure::Failure;
use crate::form::Query;
use crate::layout;
use crate::partial::is_partial;
use crate::session::Session;
use crate::widgets::{cell, count, counted, ends, nothing, pages, recount, time, time_or};

/// The number of rows on a page.
const ROWS: &str = "25";

const STATES: [(&str, &str); 6] = [
    ("", "Not revoked"),
    ("active", "Active"),
    ("disabled", "Disabled"),
    ("expired", "Expired"),
    ("revoked", "Revoked"),
    ("all", "All"),
];

#[derive(Deserialize)]
struct Keys {
    keys: Vec<Key>,
    total: u64,
    total_is_estimate: bool,
    next_cursor: Option<String>,
}

/// The filters, order and cursor, as given in the address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    search: String,
    state: String,
    role: String,
    sort: String,
    cursor: String,
}

impl Asked {
    fn parameters(&self) -> [(&str, &str); 5] {
        let Self {
            search,
            state,
            role,
            sort,
            cursor,
        } = self;
        [
            ("search", search),
            ("state", state),
            ("role", role),
            ("sort", sort),
            ("cursor", cursor),
        ]
    }

    fn address(&self) -> String {
        with_query(PATH, &self.parameters())
    }

    /// Returns the address of the same list from the cursor on.
    fn from(&self, cursor: &str) -> String {
        Self {
            cursor: cursor.to_owned(),
            ..self.clone()
        }
        .address()
    }

    fn is_filtered(&self) -> bool {
        !(self.search.is_empty() && self.state.is_empty() && self.role.is_empty())
    }

    /// Returns the same list sorted by `column`, in descending order if it is already sorted by it.
    fn sorted_by(&self, column: &str) -> Self {
        let sort = if self.sort == column {
            format!("-{column}")
        } else {
            column.to_owned()
        };
        Self {
            sort,
            cursor: String::new(),
            ..self.clone()
        }
    }
}

pub(super) async fn page(
    session: Session,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let mut parameters = vec![("limit", ROWS)];
    parameters.extend(asked.parameters());
    let found: Keys = session
        .api
        .get(&with_query("/v1/keys", &parameters))
        .await?;
    let list = list(&session, &asked, &found);
    let count = count(found.total, found.total_is_estimate, "key");
    if is_partial(&headers) {
        return Ok(Html(html! { (list) (recount(&count)) }.into_string()).into_response());
    }
    let content = html! {
        div .title {
            h1 { "API keys" }
            @if session.me.may("account:apikeys:create") {
                a .button href="/console/keys/new" { "Create a key" }
            }
        }
        form .filters role="search" action=(PATH)
            hx-get=(PATH) hx-target="#keys" hx-swap="outerHTML" hx-push-url="true" hx-sync="this:replace"
            hx-trigger="input changed delay:200ms from:#search, change" {
            label { "Search"
                input type="search" id="search" name="search" value=(asked.search) placeholder="Name, description or id" maxlength="100";
            }
            label { "State"
                select name="state" {
                    @for (word, text) in STATES {
                        option value=(word) selected[word == asked.state] { (text) }
                    }
                }
            }
            label { "Role"
                select name="role" {
                    option value="" { "Any" }
                    @for role in Role::all() {
                        option value=(role.as_str()) selected[role.as_str() == asked.role] { (role.as_str()) }
                    }
                }
            }
            input type="hidden" name="sort" value=(asked.sort);
            noscript { button type="submit" { "Search" } }
        }
        (counted(&count))
        (list)
    };
    Ok(layout::page(&session, PATH, "API keys", &content).into_response())
}

/// Renders the part of the page that is replaced when the filters, order or page change.
fn list(session: &Session, asked: &Asked, found: &Keys) -> Markup {
    html! {
        section id="keys" {
            @if let (true, Some(cursor)) = (found.keys.is_empty(), &found.next_cursor) {
                (nothing("No matching key found yet. Not all keys have been searched.", &html! {
                    a .button href=(asked.from(cursor)) { "Continue searching" }
                }))
            } @else if found.keys.is_empty() {
                @if asked.is_filtered() {
                    (nothing("No keys match.", &html! { a href=(PATH) { "Show all keys" } }))
                } @else {
                    (nothing("There are no API keys yet.", &html! {
                        @if session.me.may("account:apikeys:create") {
                            p { "A key lets a program call your services through Envoy. " }
                            a .button href="/console/keys/new" { "Create the first key" }
                        }
                    }))
                }
            } @else {
                div .wide tabindex="0" role="region" aria-label="API keys" {
                    table .stack {
                        thead { tr {
                            (column(asked, "name", "Name"))
                            th scope="col" { "Key" }
                            th scope="col" { "Roles" }
                            th scope="col" { "Scope" }
                            th scope="col" { "Tier" }
                            (column(asked, "created_at", "Created"))
                            (column(asked, "last_used_at", "Last used"))
                            (column(asked, "expires_at", "Expires in"))
                            th scope="col" { "State" }
                            th scope="col" { span .hidden { "Actions" } }
                        } }
                        tbody { @for key in &found.keys { (row(session, key)) } }
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

fn row(session: &Session, key: &Key) -> Markup {
    html! {
        tr {
            th scope="row" {
                a href=(key.path()) { (key.name) }
                @if let Some(description) = &key.description { div .faint { (description) } }
            }
            (cell("Key", &html! { code { (key.key_prefix) } }))
            (cell("Roles", &key.roles()))
            (cell("Scope", &key.scope()))
            (cell("Tier", &html! { (key.tier) }))
            (cell("Created", &time(&key.created_at)))
            (cell("Last used", &html! {
                div {
                    (time_or(key.last_used_at.as_deref(), "never"))
                    @if let Some(address) = &key.last_used_ip { div .faint { (address) } }
                }
            }))
            (cell("Expires in", &ends(key.expires_at.as_deref(), session.now)))
            (cell("State", &html! { span { (key.state(session.now)) } }))
            td .actions {
                a href=(key.path()) { "Details" span .hidden { " of " (key.name) } }
                button .plain .scripted type="button" data-copy-text=(key.key_id) { "Copy id" span .hidden { " of " (key.name) } }
                @if key.revoked_at.is_none() && session.me.may("account:apikeys:delete") {
                    a .danger href={ (key.path()) "#revoke" } { "Revoke" span .hidden { " " (key.name) } }
                }
            }
        }
    }
}

fn column(asked: &Asked, column: &str, title: &str) -> Markup {
    let order = match asked.sort.strip_prefix('-') {
        Some(descending) if descending == column => Some("descending"),
        None if asked.sort == column => Some("ascending"),
        _ => None,
    };
    html! {
        th scope="col" aria-sort=[order] {
            a href=(asked.sorted_by(column).address()) { (title) @match order {
                Some("ascending") => { span aria-hidden="true" { " ▲" } },
                Some(_) => { span aria-hidden="true" { " ▼" } },
                None => {},
            } }
        }
    }
}
