//! Regenerates a key's secret, with an optional overlap.

use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::show::{self, Notes};
use super::target::Target;
use super::view::Key;
use super::{PATH, expiry, secret};
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::done::Enforcement;
use crate::failure::Failure;
use crate::form::Fields;
use crate::layout;
use crate::session::{Sent, Session};
use crate::widgets::{csrf, error, general_error, time};

const OVERLAP: &str = "overlap_seconds";

/// The field for the key's name, which is required if the old secrets end at once.
const CONFIRM: &str = "confirm";

/// The fields that show their own errors.
const FIELDS: [&str; 3] = [OVERLAP, CONFIRM, "expires_at"];

/// The overlaps to choose from, in seconds: how long the old secret stays valid.
const OVERLAPS: [(u32, &str); 5] = [
    (0, "None: every older secret ends at once"),
    (3_600, "1 hour"),
    (86_400, "24 hours"),
    (604_800, "7 days"),
    (2_592_000, "30 days"),
];

/// The default overlap, which gives callers time to change the secret.
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
    let shown = target.shown(&session).await?;
    let made = match body(&shown.key, &fields, session.now) {
        Ok(body) => {
            target
                .call::<Regenerated>(&session, Method::POST, "/regenerate", &body)
                .await?
        }
        Err(refusal) => Err(refusal),
    };
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
    // The key's page, which a reload shows, does not contain the secret.
    Ok(([("hx-push-url", target.page())], page).into_response())
}

/// Returns the body of the API call. An expired key has no secret in use, so an overlap is not
/// asked for.
fn body(key: &Key, fields: &Fields, now: i64) -> Result<Value, Refusal> {
    if key.has_expired(now) {
        let expires_at = match fields.text("expires") {
            "never" => json!(null),
            "date" => expiry::end(fields)
                .map_or_else(|| json!(fields.text("expires_at")), |end| json!(end)),
            // The key has expired since the form was shown.
            _ => {
                return Err(Refusal::of_field(
                    "expires_at",
                    "The key has expired. Choose a new expiry.",
                ));
            }
        };
        return Ok(json!({ "expires_at": expires_at }));
    }
    let overlap = fields.text(OVERLAP);
    let overlap = overlap
        .parse::<u32>()
        .map_or_else(|_| json!(overlap), |number| json!(number));
    if overlap == json!(0) && fields.text(CONFIRM) != key.name {
        let error = "Type the key's name here to end every older secret at once, or choose how \
        long the current secret stays valid.";
        return Err(Refusal::of_field(CONFIRM, error));
    }
    Ok(json!({ OVERLAP: overlap }))
}

async fn refused(
    session: &Session,
    target: &Target,
    headers: &HeaderMap,
    refusal: Refusal,
) -> Result<Response, Failure> {
    let status = refusal.status;
    let shown = target.shown(session).await?;
    let notes = Notes {
        overlap: Some(refusal),
        ..Notes::default()
    };
    let content = show::content(session, target, &shown, &notes).await?;
    Ok((
        status,
        layout::content(session, headers, PATH, &shown.key.name, &content),
    )
        .into_response())
}

/// Returns the fields of an expiry whose date is not chosen yet.
fn on_a_date() -> Fields {
    [("expires".to_owned(), "date".to_owned())]
        .into_iter()
        .collect()
}

/// Renders the form.
pub(super) fn card(session: &Session, key: &Key, refusal: Option<&Refusal>) -> Markup {
    let path = format!("{}/regenerate", key.path());
    let old = key
        .secrets
        .iter()
        .find_map(|secret| Some((&secret.key_prefix, secret.ends_at.as_deref()?)));
    html! {
        section .card id="regenerate" aria-labelledby="regenerate-title" {
            h2 id="regenerate-title" { "Regenerate" }
            p { "The key gets a new secret, which is shown once. All its other attributes stay \
            the same." }
            @if let Some((masked, ends_at)) = old {
                p .notice .warn {
                    "The previous secret, " code { (masked) } ", is valid until " (time(ends_at))
                    ". Until then, regenerating without an overlap ends both at once. \
                     Regenerating with an overlap is refused, unless you created the newest \
                     secret within the last 10 minutes and it is unused: then a new one replaces \
                     it, and the previous secret keeps its end."
                }
            }
            (general_error(refusal, &FIELDS))
            form method="post" action=(path) hx-post=(path) hx-target="#content" hx-swap="innerHTML show:window:top"
                hx-disabled-elt="find button" {
                (csrf(session))
                @if key.has_expired(session.now) {
                    p { "The key has expired, so it needs a new expiry. Its old secret stays refused." }
                    (expiry::fieldset(&on_a_date(), key.expires_at.as_deref(), refusal))
                } @else {
                    label { "The current secret stays valid for"
                        select name=(OVERLAP) {
                            @for (seconds, text) in OVERLAPS { option value=(seconds) selected[seconds == USUAL] { (text) } }
                        }
                        (error(refusal, OVERLAP))
                    }
                    label { "Key's name, to end every older secret at once"
                        input type="text" name=(CONFIRM) autocomplete="off" autocapitalize="none" spellcheck="false"
                            aria-invalid=[invalid(refusal, CONFIRM)] aria-describedby=[described(refusal, CONFIRM, None)];
                        (error(refusal, CONFIRM))
                    }
                }
                button .quiet type="submit" { "Regenerate the secret" }
            }
        }
    }
}
