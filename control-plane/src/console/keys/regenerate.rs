//! Another secret for a key, which the former outlasts for a while if that is wanted.

use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::super::api::Refusal;
use super::super::aria::{described, invalid};
use super::super::done::Enforcement;
use super::super::failure::Failure;
use super::super::form::Fields;
use super::super::layout;
use super::super::session::{Sent, Session};
use super::super::widgets::{csrf, error, general_error, time};
use super::show::{self, Notes};
use super::target::Target;
use super::view::Key;
use super::{PATH, expiry, secret};

const OVERLAP: &str = "overlap_seconds";

/// The field that the key's name is typed into, if callers are cut off at once.
const CONFIRM: &str = "confirm";

/// The fields that say themselves what is wrong with them.
const FIELDS: [&str; 3] = [OVERLAP, CONFIRM, "expires_at"];

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
    let shown = target.shown(&session).await?;
    let made = if overlap == json!(0) && fields.text(CONFIRM) != shown.key.name {
        let error = "Type the key's name here to end the old secret at once, or choose how long it stays good.";
        Err(Refusal::of_field(CONFIRM, error))
    } else {
        let mut body = json!({ OVERLAP: overlap });
        if shown.key.has_expired(session.now) {
            let end = expiry::end(&fields).map_or_else(|| json!(fields.text("expires_at")), |end| json!(end));
            body["expires_at"] = if expiry::is_set(&fields) { end } else { json!(null) };
        }
        target.call::<Regenerated>(&session, Method::POST, "/regenerate", &body).await?
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

/// The fields of an expiry that is still to be chosen.
fn on_a_date() -> Fields {
    [("expires".to_owned(), "date".to_owned())].into_iter().collect()
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
                    ". Until then the secret can be regenerated only without an overlap, which ends both at once."
                }
            }
            (general_error(refusal, &FIELDS))
            form method="post" action=(path) hx-post=(path) hx-target="#content" hx-swap="innerHTML show:window:top"
                hx-disabled-elt="find button" {
                (csrf(session))
                label { "The present secret stays good for"
                    select name=(OVERLAP) {
                        @for (seconds, text) in OVERLAPS { option value=(seconds) selected[seconds == USUAL] { (text) } }
                    }
                    (error(refusal, OVERLAP))
                }
                @if key.has_expired(session.now) {
                    p { "The key has expired, so it needs a new expiry. Its old secret stays refused." }
                    (expiry::fieldset(&on_a_date(), key.expires_at.as_deref(), refusal))
                }
                label { "Key's name, to end the old secret at once"
                    input type="text" name=(CONFIRM) autocomplete="off" autocapitalize="none" spellcheck="false"
                        aria-invalid=[invalid(refusal, CONFIRM)] aria-describedby=[described(refusal, CONFIRM, None)];
                    (error(refusal, CONFIRM))
                }
                button .quiet type="submit" { "Regenerate the secret" }
            }
        }
    }
}
