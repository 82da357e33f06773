//! The audit page: who changed what, when and from where. The filters are in the address.

mod changes;
mod entry;

use axum::Router;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use crate::Page;
use crate::api::{Refusal, with_query};
use crate::aria::{described, invalid};
use crate::failure::Failure;
use crate::form::Query;
use crate::layout;
use crate::session::Session;
use crate::widgets::{error, general_error, nothing, pages};
use entry::Entry;

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

pub(super) fn router() -> Router<Page> {
    Router::new().route(PATH, get(page))
}

#[derive(Deserialize)]
struct Audit {
    entries: Vec<Entry>,
    next_cursor: Option<String>,
}

/// The filters and the cursor, as given in the address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Asked {
    since: String,
    until: String,
    actor: String,
    action: String,
    target: String,
    cursor: String,
}

impl Asked {
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

    fn from(&self, cursor: &str) -> String {
        let asked = Self {
            cursor: cursor.to_owned(),
            ..self.clone()
        };
        with_query(PATH, &asked.parameters())
    }

    fn question(&self) -> String {
        let asked = Self {
            since: instant(&self.since),
            until: instant(&self.until),
            ..self.clone()
        };
        let mut parameters = vec![("limit", ROWS)];
        parameters.extend(asked.parameters());
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

async fn page(session: Session, Query(asked): Query<Asked>) -> Result<Response, Failure> {
    let (status, found) = match session.api.get::<Audit>(&asked.question()).await {
        Ok(found) => (None, Ok(found)),
        Err(refusal) if refusal.field.is_some() => (Some(refusal.status), Err(refusal)),
        Err(refusal) => return Err(refusal.into()),
    };
    let content = html! {
        h1 { "Audit" }
        p { "Every change to the account, newest first. Entries are never changed or removed." }
        (filters(&asked, found.as_ref().err()))
        @if let Ok(found) = &found { (list(&session, &asked, found)) }
    };
    let page: Html<String> = layout::page(&session, PATH, "Audit", &content);
    Ok((status.unwrap_or_default(), page).into_response())
}

fn filters(asked: &Asked, refusal: Option<&Refusal>) -> Markup {
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
            (text("since", "Since (UTC)", "datetime-local", asked.since.trim_end_matches('Z'), ""))
            (text("until", "Until (UTC)", "datetime-local", asked.until.trim_end_matches('Z'), ""))
            (text("actor", "Actor", "search", &asked.actor, "Email address, name or id"))
            label { "Action"
                select name="action" {
                    option value="" { "Any" }
                    @for (kind, actions) in ACTIONS {
                        optgroup label=(kind) {
                            @if actions.len() > 1 {
                                option value=(kind) selected[kind == asked.action] { "all of " (kind) }
                            }
                            @for action in actions {
                                option value=(action) selected[*action == asked.action] { (action) }
                            }
                        }
                    }
                }
            }
            (text("target", "Target", "search", &asked.target, "Name or id"))
            button type="submit" { "Filter" }
        }
    }
}

fn list(session: &Session, asked: &Asked, found: &Audit) -> Markup {
    if found.entries.is_empty() {
        if let Some(cursor) = &found.next_cursor {
            let on = html! { a .button href=(asked.from(cursor)) { "Continue searching" } };
            return nothing(
                "No matching change found yet. Not all changes have been searched.",
                &on,
            );
        }
        let all = html! { a href=(PATH) { "Show all changes" } };
        return match asked.is_filtered() || !asked.cursor.is_empty() {
            true => nothing("No changes match.", &all),
            false => nothing("There are no changes yet.", &html! {}),
        };
    }
    html! {
        div .wide tabindex="0" role="region" aria-label="Changes" {
            table .stack {
                thead { tr {
                    th scope="col" { "When" }
                    th scope="col" { "Who" }
                    th scope="col" { "Action" }
                    th scope="col" { "Target" }
                    th scope="col" { "From" }
                    th scope="col" { "Changes" }
                } }
                tbody { @for entry in &found.entries { (entry.row(session)) } }
            }
        }
        (pages(
            (!asked.cursor.is_empty()).then(|| (asked.from(""), "Newest")),
            found.next_cursor.as_deref().map(|cursor| (asked.from(cursor), "Older")),
        ))
    }
}

/// Renders the latest changes to the resource with this id, as a part of its page. Returns nothing
/// if the user may not read the audit.
pub(super) async fn recent_of(session: &Session, target: &str) -> Markup {
    if !session.me.may(PERMISSION) {
        return html! {};
    }
    let question = with_query("/v1/audit", &[("target", target), ("limit", RECENT)]);
    let found = session.api.get::<Audit>(&question).await;
    html! {
        section .card {
            h2 { "Recent changes" }
            @match &found {
                Ok(Audit { entries, .. }) if entries.is_empty() => { p .faint { "No changes." } },
                Ok(Audit { entries, .. }) => {
                    div .wide tabindex="0" role="region" aria-label="Recent changes" {
                        table {
                            thead { tr {
                                th scope="col" { "When" }
                                th scope="col" { "Who" }
                                th scope="col" { "Action" }
                                th scope="col" { "Changes" }
                            } }
                            tbody { @for entry in entries { (entry.short_row(session)) } }
                        }
                    }
                    p { a href=(with_query(PATH, &[("target", target)])) { "All changes" } }
                },
                Err(refusal) => { p .error role="alert" { (refusal.error) } },
            }
        }
    }
}
