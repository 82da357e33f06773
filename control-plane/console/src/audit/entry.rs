//! Renders an audit entry as a row.

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::changes;
use crate::session::Session;
use crate::widgets::{cell, time};

/// A change, as the API returns it.
#[derive(Deserialize)]
pub(super) struct AuditEntry {
    at: String,
    actor: Party,
    action: String,
    target: Party,
    before: Option<Value>,
    after: Option<Value>,
    source_address: Option<String>,
}

/// The actor or the target of a change.
#[derive(Deserialize)]
struct Party {
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
    name: Option<String>,
}

impl AuditEntry {
    /// Renders a row of the audit page.
    pub(super) fn row(&self, session: &Session) -> Markup {
        html! {
            tr {
                (cell("When", &time(&self.at)))
                (cell("Actor", &html! { div { (self.actor.link(session)) } }))
                (cell("Action", &html! { code { (self.action) } }))
                (cell("Target", &html! {
                    div {
                        (self.target.link(session))
                        @if let Some(id) = self.target.id_beside_name() { div .faint { (id) } }
                    }
                }))
                (cell("From", &match &self.source_address {
                    Some(address) => html! { (address) },
                    None => html! { span .faint { "unknown" } },
                }))
                (cell("Changes", &changes::details(&self.action, self.before.as_ref(), self.after.as_ref())))
            }
        }
    }

    /// Renders a shorter row for the page of the changed resource.
    pub(super) fn short_row(&self, session: &Session) -> Markup {
        html! {
            tr {
                td { (time(&self.at)) }
                td {
                    (self.actor.link(session))
                    @if let Some(address) = &self.source_address { div .faint { "from " (address) } }
                }
                td { code { (self.action) } }
                td { (changes::details(&self.action, self.before.as_ref(), self.after.as_ref())) }
            }
        }
    }
}

impl Party {
    /// Renders the name, with a link to its page if the user may see it.
    fn link(&self, session: &Session) -> Markup {
        let Self { kind, id, name } = self;
        let Some(id) = id else {
            return html! { (name.as_deref().unwrap_or(kind)) };
        };

        let name = name.as_deref().unwrap_or(id);
        let path = match kind.as_str() {
            "key" if session.user.may("account:apikeys:read") => {
                Some(format!("/console/keys/{id}"))
            }
            "user" if session.user.may("account:users:read") => {
                Some(format!("/console/users/{id}"))
            }
            _ => None,
        };

        html! {
            @match path {
                Some(path) => { a href=(path) { (name) } },
                None => (name),
            }
        }
    }

    /// Returns the id, unless there is no name or the id is the name.
    fn id_beside_name(&self) -> Option<&str> {
        self.id
            .as_deref()
            .filter(|id| self.name.as_deref().is_some_and(|name| name != *id))
    }
}
