//! The editor of the document of all rules, as JSON.

use maud::{Markup, html};
use serde_json::Value;
use serde_json::value::RawValue;

use super::PATH;
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::conflict;
use crate::form::Fields;
use crate::session::Session;
use crate::widgets::csrf;

const EXAMPLE: &str = r#"{ "path": { "template": "/v4/zones/{zone}" }, "methods": ["GET"], "service": "dns", "permission": "dns:read" }"#;

/// The document as it was typed.
pub(super) struct RuleDraft {
    text: String,
}

impl RuleDraft {
    /// Reads the document of a sent form.
    pub(super) fn from_fields(fields: &Fields) -> Self {
        Self {
            text: fields.raw("document").to_owned(),
        }
    }

    /// Returns the new document.
    pub(super) fn document(&self) -> Result<Box<RawValue>, Refusal> {
        RawValue::from_string(self.text.trim().to_owned()).map_err(|error| {
            Refusal::for_field("document", &format!("This is not valid JSON: {error}."))
        })
    }
}

/// Refuses an edit that was made of another document than the `current` one.
pub(super) fn check(fields: &Fields, current: &Value) -> Result<(), Refusal> {
    let error = "Somebody else has changed the rules meanwhile. Their version is shown above. If \
    you save again, your version replaces theirs.";

    conflict::check(fields, current).map_err(|outdated| Refusal {
        error: error.to_owned(),
        ..outdated
    })
}

/// Renders the editor. A refused text is kept, and every error of the API is shown beside it.
pub(super) fn form(
    session: &Session,
    document: &Value,
    refused: Option<(&RuleDraft, &Refusal)>,
) -> Markup {
    let text = refused.map_or_else(|| format!("{document:#}"), |(draft, _)| draft.text.clone());
    let refusal = refused.map(|(_, refusal)| Refusal {
        field: Some("document".to_owned()),
        ..refusal.clone()
    });
    let refusal = refusal.as_ref();

    html! {
        section #edit .card {
            h2 { "Edit" }
            details open[refusal.is_some()] {
                summary { "All rules, as JSON" }
                form method="post" action={ (PATH) "#edit" } {
                    (csrf(session))
                    (conflict::field(document))
                    p .help #document-help {
                        "Rules have a " code { "path" } " with one of " code { "exact" } ", " code { "prefix" }
                        " and " code { "template" } "; optionally " code { "host" } " and " code { "methods" }
                        "; and either " code { "public" } ", or what a key needs: " code { "service" } ", "
                        code { "permission" } ", " code { "subaccount" }
                        ". For requests that no rule matches, set " code { "unmatched" } " to "
                        code { "valid_key" } " or " code { "deny" }
                        ". For paths in another letter case, set " code { "path_case" } " to "
                        code { "refuse" } ", " code { "ignore" } " or " code { "distinct" } "."
                    }
                    p .help { "For example: " code { (EXAMPLE) } }
                    @if let Some(refusal) = refusal { p .error #document-error role="alert" { (refusal.error) } }
                    label for="document" { "Document" }
                    textarea .code #document name="document" rows="24" spellcheck="false" required
                        aria-invalid=[invalid(refusal, "document")]
                        aria-describedby=[described(refusal, "document", Some("document-help"))] { (text) }
                    p { "Saving replaces all rules on every node at once." }
                    button type="submit" { "Save the rules" }
                }
            }
        }
    }
}
