//! The list of keys: searched, filtered, sorted and paged.

use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Response};
use latchkey_model::role::Role;
use maud::{Markup, html};
use serde::Deserialize;

use super::PATH;
use super::view::Key;
use crate::api::with_query;
use crate::error::PageError;
use crate::form::Query;
use crate::layout;
use crate::partial::is_partial;
use crate::session::Session;
use crate::widgets::{
    cell, columns, count, empty_list, list_count, list_count_update, pager, stacked_table, time,
    time_left, time_or,
};

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

/// The API's response to a search for keys.
#[derive(Deserialize)]
struct KeyList {
    keys: Vec<Key>,
    total: u64,
    total_is_estimate: bool,
    next_cursor: Option<String>,
}

/// The filters, order and cursor, as given in the address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct KeyListParams {
    search: String,
    state: String,
    role: String,
    sort: String,
    cursor: String,
}

impl KeyListParams {
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
    fn address_at(&self, cursor: &str) -> String {
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

/// Shows the list, or only its changed part to htmx.
pub(super) async fn page(
    session: Session,
    headers: HeaderMap,
    Query(params): Query<KeyListParams>,
) -> Result<Response, PageError> {
    let mut parameters = vec![("limit", ROWS)];
    parameters.extend(params.parameters());
    let found: KeyList = session
        .api
        .get(&with_query("/v1/keys", &parameters))
        .await?;

    let list = list(&session, &params, &found);
    let count = count(found.total, found.total_is_estimate, "key");
    if is_partial(&headers) {
        let part = html! { (list) (list_count_update(&count)) };
        return Ok(Html(part.into_string()).into_response());
    }

    let content = html! {
        div .title {
            h1 { "API keys" }
            @if session.user.may("account:apikeys:create") {
                a .button href="/console/keys/new" { "Create a key" }
            }
        }
        (filters(&params))
        (list_count(&count))
        (list)
    };
    Ok(layout::page(&session, PATH, "API keys", &content).into_response())
}

fn filters(params: &KeyListParams) -> Markup {
    html! {
        form .filters role="search" action=(PATH)
            hx-get=(PATH) hx-target="#keys" hx-swap="outerHTML" hx-push-url="true" hx-sync="this:replace"
            hx-trigger="input changed delay:200ms from:#search, change" {
            label { "Search"
                input type="search" id="search" name="search" value=(params.search) placeholder="Name, description or id" maxlength="100";
            }
            label { "State"
                select name="state" {
                    @for (word, text) in STATES {
                        option value=(word) selected[word == params.state] { (text) }
                    }
                }
            }
            label { "Role"
                select name="role" {
                    option value="" { "Any" }
                    @for role in Role::all() {
                        option value=(role.as_str()) selected[role.as_str() == params.role] { (role.as_str()) }
                    }
                }
            }
            input type="hidden" name="sort" value=(params.sort);
            noscript { button type="submit" { "Search" } }
        }
    }
}

/// Renders the part of the page that is replaced when the filters, order or page change.
fn list(session: &Session, params: &KeyListParams, found: &KeyList) -> Markup {
    html! {
        section id="keys" {
            @if let (true, Some(cursor)) = (found.keys.is_empty(), &found.next_cursor) {
                (empty_list("No matching key found yet. Not all keys have been searched.", &html! {
                    a .button href=(params.address_at(cursor)) { "Continue searching" }
                }))
            } @else if found.keys.is_empty() {
                @if params.is_filtered() {
                    (empty_list("No keys match.", &html! { a href=(PATH) { "Show all keys" } }))
                } @else {
                    (empty_list("There are no API keys yet.", &html! {
                        @if session.user.may("account:apikeys:create") {
                            p { "A key lets a program call your services through Envoy. " }
                            a .button href="/console/keys/new" { "Create the first key" }
                        }
                    }))
                }
            } @else {
                (table(session, params, found))
            }
        }
    }
}

/// Renders the rows and the links to other pages.
fn table(session: &Session, params: &KeyListParams, found: &KeyList) -> Markup {
    let heads = html! {
        (sortable_column(params, "name", "Name"))
        (columns(&["Key", "Roles", "Scope", "Tier"]))
        (sortable_column(params, "created_at", "Created"))
        (sortable_column(params, "last_used_at", "Last used"))
        (sortable_column(params, "expires_at", "Expires in"))
        (columns(&["State"]))
        th scope="col" { span .hidden { "Actions" } }
    };
    let rows = html! { @for key in &found.keys { (row(session, key)) } };
    let next = found.next_cursor.as_deref();

    html! {
        (stacked_table("API keys", &heads, &rows))
        (pager(&params.cursor, next, ["First page", "Next page"], |cursor| params.address_at(cursor)))
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
            (cell("Expires in", &time_left(key.expires_at.as_deref(), session.now)))
            (cell("State", &html! { span { (key.state(session.now)) } }))
            td .actions {
                a href=(key.path()) { "Details" span .hidden { " of " (key.name) } }
                button .plain .scripted type="button" data-copy-text=(key.key_id) { "Copy id" span .hidden { " of " (key.name) } }
                @if key.revoked_at.is_none() && session.user.may("account:apikeys:delete") {
                    a .danger href={ (key.path()) "#revoke" } { "Revoke" span .hidden { " " (key.name) } }
                }
            }
        }
    }
}

/// Renders the title of a column with a link that sorts the list by it.
fn sortable_column(params: &KeyListParams, column: &str, title: &str) -> Markup {
    let order = match params.sort.strip_prefix('-') {
        Some(descending) if descending == column => Some("descending"),
        None if params.sort == column => Some("ascending"),
        _ => None,
    };

    html! {
        th scope="col" aria-sort=[order] {
            a href=(params.sorted_by(column).address()) { (title) @match order {
                Some("ascending") => { span aria-hidden="true" { " ▲" } },
                Some(_) => { span aria-hidden="true" { " ▼" } },
                None => {},
            } }
        }
    }
}
