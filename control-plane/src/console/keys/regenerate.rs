//! Another secret for a key, which the former outlasts for a while if that is wanted.

use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::super::api::Refusal;
use super::super::done::Enforcement;
use super::super::failure::Failure;
use super::super::layout;
use super::super::session::{Sent, Session};
use super::super::widgets::{csrf, error, general_error, time};
use super::show::{self, Notes};
use super::target::Target;
use super::view::Key;
use super::{PATH, secret};

const OVERLAP: &str = "overlap_seconds";

/// How long both secrets are good.
const OVERLAPS: [(u32, &str); 5] = [
    (0, "None: the old secret stops at once"),
    (3_600, "1 hour"),
    (86_400, "24 hours"),
    (604_800, "7 days"),
    (2_592_000, "30 days"),
];

/// The one that ends nothing by surprise.
const USUAL: u32 = 86_400;

#[derive(Deserialize)]
struct Regenerated {
    name: String,
    key_id: String,
    api_key: String,
    enforcement: Enforcement,
}

pub(super) async fn regenerate(
    target: Target,
    headers: HeaderMap,
    Sent { session, fields }: Sent,
) -> Result<Response, Failure> {
    let overlap =
        fields.text(OVERLAP).parse::<u32>().map_or_else(|_| json!(fields.text(OVERLAP)), |number| json!(number));
    let body = json!({ OVERLAP: overlap });
    let made = target.call::<Regenerated>(&session, Method::POST, "/regenerate", &body).await?;
    let key = match made {
        Ok(key) => key,
        Err(refusal) => return refused(&session, &target, &headers, refusal).await,
    };
    let content = html! {
        h1 { "The new secret" }
        (key.enforcement.notice("Regenerated"))
        (secret::secret_card(session.gateway.as_deref(), &key.name, &key.key_id, &key.api_key))
    };
    let page = layout::content(&session, &headers, PATH, "The new secret", &content);
    // What a reload shows has no secret.
    Ok(([("hx-push-url", target.page())], page).into_response())
}

async fn refused(
    session: &Session,
    target: &Target,
    headers: &HeaderMap,
    refusal: Refusal,
) -> Result<Response, Failure> {
    let status = refusal.status;
    let shown = target.shown(session).await?;
    let notes = Notes { overlap: Some(refusal), ..Notes::default() };
    let content = show::content(session, target, &shown, &notes).await?;
    Ok((status, layout::content(session, headers, PATH, &shown.key.name, &content)).into_response())
}

/// Where it is asked for.
pub(super) fn card(session: &Session, key: &Key, refusal: Option<&Refusal>) -> Markup {
    let path = format!("{}/regenerate", key.path());
    let old = key.secrets.iter().find_map(|secret| Some((&secret.key_prefix, secret.ends_at.as_deref()?)));
    html! {
        section .card id="regenerate" aria-labelledby="regenerate-title" {
            h2 id="regenerate-title" { "Regenerate" }
            p { "The key gets a new secret, which is shown once. Everything else of it stays as it is." }
            @if let Some((masked, ends_at)) = old {
                p .notice .warn {
                    "The secret before this one, " code { (masked) } ", is good until " (time(ends_at))
                    ". If you regenerate now, it stops at once."
                }
            }
            (general_error(refusal, &[OVERLAP]))
            form method="post" action=(path) hx-post=(path) hx-target="#content" hx-swap="innerHTML show:window:top"
                hx-disabled-elt="find button" {
                (csrf(session))
                label { "The present secret stays good for"
                    select name=(OVERLAP) {
                        @for (seconds, text) in OVERLAPS { option value=(seconds) selected[seconds == USUAL] { (text) } }
                    }
                    (error(refusal, OVERLAP))
                }
                button .quiet type="submit" { "Regenerate the secret" }
            }
        }
    }
}
