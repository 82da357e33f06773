//! The audit page: who changed what, when and from where. The filters are in the address.

mod changes;
mod entry;

use axum::Router;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use crate::ConsoleState;
use crate::api::{Refusal, with_query};
use crate::aria::{described, invalid};
use crate::error::PageError;
use crate::form::Query;
use crate::layout;
use crate::session::Session;
use crate::widgets::{columns, empty_list, error, general_error, pager, stacked_table, wide_table};
use entry::AuditEntry;

const PATH: &str = "/console/audit";
const PERMISSION: &str = "account:audit:read";

/// The number of entries on a page.
const ROWS: &str = "50";

/// The number of entries on the page of the changed resource.
const RECENT: &str = "10";

/// The action filters. The API also accepts only the first word, for all actions that begin with
/// it.
const ACTIONS: [(&str, &[&str]); 10] = [
    (
        "key",
        &[
            "key.create",
            "key.import",
            "key.update",
            "key.regenerate",
            "key.revoke",
            "key.key_taken",
        ],
    ),
    (
        "user",
        &[
            "user.create",
            "user.update",
            "user.password",
            "user.delete",
            "user.email_taken",
        ],
    ),
    (
        "session",
        &["session.create", "session.refused", "session.delete"],
    ),
    (
        "subaccount",
        &[
            "subaccount.create",
            "subaccount.update",
            "subaccount.delete",
        ],
    ),
    (
        "service",
        &["service.create", "service.update", "service.delete"],
    ),
    (
        "webhook",
        &[
            "webhook.create",
            "webhook.update",
            "webhook.delete",
            "webhook.rotate_secret",
            "webhook.redeliver",
            "webhook.test",
        ],
    ),
    ("node_token", &["node_token.create", "node_token.delete"]),
    (
        "account",
        &["account.create", "account.update", "account.delete"],
    ),
    ("routes", &["routes.update"]),
    ("tiers", &["tiers.update"]),
];

/// Returns the route of the page.
pub(super) fn router() -> Router<ConsoleState> {
    Router::new().route(PATH, get(page))
}

/// The API's response to a search for changes.
#[derive(Deserialize)]
struct AuditList {
    entries: Vec<AuditEntry>,
    next_cursor: Option<String>,
}

/// The filters and the cursor, as given in the address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct AuditParams {
    since: String,
    until: String,
    actor: String,
    action: String,
    target: String,
    cursor: String,
}

impl AuditParams {
    fn parameters(&self) -> [(&str, &str); 6] {
        let Self {
            since,
            until,
            actor,
            action,
            target,
            cursor,
        } = self;

        let (actor, target) = (actor.trim(), target.trim());
        [
            ("since", since),
            ("until", until),
            ("actor", actor),
            ("action", action),
            ("target", target),
            ("cursor", cursor),
        ]
    }

    /// Returns the address of the page at a cursor.
    fn address(&self, cursor: &str) -> String {
        let params = Self {
            cursor: cursor.to_owned(),
            ..self.clone()
        };
        with_query(PATH, &params.parameters())
    }

    /// Returns the path and query of the API call.
    fn call(&self) -> String {
        let params = Self {
            since: instant(&self.since),
            until: instant(&self.until),
            ..self.clone()
        };

        let mut parameters = vec![("limit", ROWS)];
        parameters.extend(params.parameters());
        with_query("/v1/audit", &parameters)
    }

    fn is_filtered(&self) -> bool {
        self.parameters()
            .iter()
            .any(|(name, value)| *name != "cursor" && !value.is_empty())
    }
}

/// Converts the value of a time field, which has no zone, to a time in UTC.
fn instant(local: &str) -> String {
    match local.len() {
        16 => format!("{local}:00Z"),
        19 => format!("{local}Z"),
        _ => local.to_owned(),
    }
}

async fn page(session: Session, Query(params): Query<AuditParams>) -> Result<Response, PageError> {
    let (status, found) = match session.api.get::<AuditList>(&params.call()).await {
        Ok(found) => (None, Ok(found)),
        Err(refusal) if refusal.field.is_some() => (Some(refusal.status), Err(refusal)),
        Err(refusal) => return Err(refusal.into()),
    };

    let content = html! {
        h1 { "Audit" }
        p { "Every change to the account, newest first. Entries are never changed or removed." }
        (filters(&params, found.as_ref().err()))
        @if let Ok(found) = &found { (list(&session, &params, found)) }
    };

    let page: Html<String> = layout::page(&session, PATH, "Audit", &content);
    Ok((status.unwrap_or_default(), page).into_response())
}

fn filters(params: &AuditParams, refusal: Option<&Refusal>) -> Markup {
    let text = |name: &str, title: &str, kind: &str, value: &str, hint: &str| {
        html! {
            label { (title)
                input type=(kind) name=(name) value=(value) placeholder=[(!hint.is_empty()).then_some(hint)]
                    aria-invalid=[invalid(refusal, name)] aria-describedby=[described(refusal, name, None)];
                (error(refusal, name))
            }
        }
    };
    html! {
        (general_error(refusal, &["since", "until", "actor", "action", "target"]))
        form .filters role="search" action=(PATH) {
            (text("since", "Since (UTC)", "datetime-local", params.since.trim_end_matches('Z'), ""))
            (text("until", "Until (UTC)", "datetime-local", params.until.trim_end_matches('Z'), ""))
            (text("actor", "Actor", "search", &params.actor, "Email address, name or id"))
            label { "Action"
                select name="action" {
                    option value="" { "Any" }
                    @for (kind, actions) in ACTIONS {
                        optgroup label=(kind) {
                            @if actions.len() > 1 {
                                option value=(kind) selected[kind == params.action] { "all of " (kind) }
                            }
                            @for action in actions {
                                option value=(action) selected[*action == params.action] { (action) }
                            }
                        }
                    }
                }
            }
            (text("target", "Target", "search", &params.target, "Name or id"))
            button type="submit" { "Filter" }
        }
    }
}

fn list(session: &Session, params: &AuditParams, found: &AuditList) -> Markup {
    if found.entries.is_empty() {
        if let Some(cursor) = &found.next_cursor {
            let next = html! { a .button href=(params.address(cursor)) { "Continue searching" } };
            return empty_list(
                "No matching change found yet. Not all changes have been searched.",
                &next,
            );
        }

        let all = html! { a href=(PATH) { "Show all changes" } };
        return match params.is_filtered() || !params.cursor.is_empty() {
            true => empty_list("No changes match.", &all),
            false => empty_list("There are no changes yet.", &html! {}),
        };
    }

    let heads = columns(&["When", "Who", "Action", "Target", "From", "Changes"]);
    let rows = html! { @for entry in &found.entries { (entry.row(session)) } };
    let next = found.next_cursor.as_deref();
    html! {
        (stacked_table("Changes", &heads, &rows))
        (pager(&params.cursor, next, ["Newest", "Older"], |cursor| params.address(cursor)))
    }
}

/// Renders the latest changes to the resource with this id, as a part of its page. Returns nothing
/// if the user may not read the audit.
pub(super) async fn recent_changes(session: &Session, target: &str) -> Markup {
    if !session.user.may(PERMISSION) {
        return html! {};
    }

    let call = with_query("/v1/audit", &[("target", target), ("limit", RECENT)]);
    let found = session.api.get::<AuditList>(&call).await;
    let heads = columns(&["When", "Who", "Action", "Changes"]);
    html! {
        section .card {
            h2 { "Recent changes" }
            @match &found {
                Ok(AuditList { entries, .. }) if entries.is_empty() => { p .faint { "No changes." } },
                Ok(AuditList { entries, .. }) => {
                    (wide_table("Recent changes", &heads, &html! {
                        @for entry in entries { (entry.short_row(session)) }
                    }))
                    p { a href=(with_query(PATH, &[("target", target)])) { "All changes" } }
                },
                Err(refusal) => { p .error role="alert" { (refusal.error) } },
            }
        }
    }
}
