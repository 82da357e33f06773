//! Regenerates a key's secret, with an optional overlap.

use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use maud::html;
use serde::Deserialize;
use serde_json::{Value, json};

use super::cards::regeneration::{CONFIRM, OVERLAP};
use super::read::{self, Notices};
use super::target_key::TargetKey;
use super::view::Key;
use super::{PATH, expiry, secret};
use crate::api::Refusal;
use crate::error::PageError;
use crate::flash::Enforcement;
use crate::form::Fields;
use crate::layout;
use crate::session::{Session, VerifiedForm};

/// The API's response to a regeneration.
#[derive(Deserialize)]
struct RegeneratedKey {
    name: String,
    key_id: String,
    api_key: String,
    enforcement: Enforcement,
}

/// Regenerates the secret and shows it, or shows the key's page with the error.
pub(super) async fn regenerate(
    target: TargetKey,
    headers: HeaderMap,
    VerifiedForm { session, fields }: VerifiedForm,
) -> Result<Response, PageError> {
    let key = target.load(&session).await?.key;

    let regenerated = match body(&key, &fields, session.now) {
        Ok(body) => {
            target
                .call::<RegeneratedKey>(&session, Method::POST, "/regenerate", &body)
                .await?
        }
        Err(refusal) => Err(refusal),
    };
    let key = match regenerated {
        Ok(key) => key,
        Err(refusal) => return show_refusal(&session, &target, &headers, refusal).await,
    };

    let content = html! {
        h1 { "The new secret" }
        (key.enforcement.notice("Regenerated"))
        (secret::card(session.gateway.as_deref(), &key.name, &key.key_id, &key.api_key))
    };
    let page = layout::content(&session, &headers, PATH, "The new secret", &content);

    // The key's page, which a reload shows, does not contain the secret.
    Ok(([("hx-push-url", target.page())], page).into_response())
}

/// Returns the body of the API call. An expired key has no secret in use, so it needs no
/// overlap, but a new expiry.
fn body(key: &Key, fields: &Fields, now: i64) -> Result<Value, Refusal> {
    if key.has_expired(now) {
        let expires_at = match fields.text("expires") {
            "never" => json!(null),
            "date" => expiry::end(fields)
                .map_or_else(|| json!(fields.text("expires_at")), |end| json!(end)),
            // The key has expired since the form was shown.
            _ => {
                return Err(Refusal::for_field(
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
        return Err(Refusal::for_field(CONFIRM, error));
    }
    Ok(json!({ OVERLAP: overlap }))
}

/// Shows the key's page with the error at the form.
async fn show_refusal(
    session: &Session,
    target: &TargetKey,
    headers: &HeaderMap,
    refusal: Refusal,
) -> Result<Response, PageError> {
    let status = refusal.status;
    let details = target.load(session).await?;
    let notices = Notices {
        regeneration: Some(refusal),
        ..Notices::default()
    };

    let content = read::content(session, target, &details, &notices).await?;
    let page = layout::content(session, headers, PATH, &details.key.name, &content);
    Ok((status, page).into_response())
}
