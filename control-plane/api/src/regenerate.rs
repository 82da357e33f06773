//! `POST /v1/keys/{id}/regenerate`: gives a key a new secret. The secret lets its holder act as the
//! key, so the caller must be allowed to create such a key, and a calling key cannot regenerate
//! keys that have more than itself.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use latchkey_api_types as types;
use latchkey_model::json::Whole;
use latchkey_model::random;
use latchkey_store::{Caller, Key, Outcome, Regenerated, Regeneration, Reported, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time;
use tracing::info;

use super::answer::Answer;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::{Params, Session};
use super::openapi::parameters::{IdempotencyKey, IfMatch, KeyPath, Wait};
use super::repeatable::{self, Repeatable};
use super::{App, fields, key_view, keys};

/// The maximum overlap, in seconds: 30 days.
const MAX_OVERLAP: u32 = 30 * 24 * 60 * 60;

/// The time within which Envoys' usage reports reach the store: a worker reports once a second.
const REPORTED: Duration = Duration::from_secs(2);

/// The maximum number of times that a call waits for reports, if others replace the secret in the
/// meantime.
const ROUNDS: usize = 4;

/// Regenerate an API key
///
/// Gives the same key a new secret. Without an overlap, all older secrets stop at once. With an
/// overlap, the old secret is valid until the end of the overlap, but no longer than the key. Both
/// secrets share the key's limits.
///
/// If the response is lost, repeat the call. While the overlap runs, the same user or key can
/// replace a new secret that is at most 10 minutes old and unused; the old secret keeps its end.
/// The call waits 2 seconds for pending usage reports of Envoys. Only use of the new secret counts,
/// so a key that regenerates itself can repeat the call with its old secret. Any other call with an
/// overlap is refused until the overlap ends. Repeating the call with the same `Idempotency-Key`
/// within 24 hours creates no new secret and returns none.
#[utoipa::path(post, path = "/v1/keys/{key_id}/regenerate", operation_id = "regenerateKey", tag = "Keys",
    params(KeyPath, Wait, IdempotencyKey, IfMatch), request_body = types::Regeneration, security(("credential" = ["account:apikeys:update"])),
    responses(
        (status = 200, description = "The key with its new secret, returned only once.", body = Answer<types::GeneratedKey>,
            headers(("ETag" = String, description = "Identifies this version of the key's \
            editable fields, for `If-Match`."))),
        (status = 409, description = "The key is revoked; an overlap is running; the key has expired and `expires_at` is \
            missing, or another key has its name now; the `Idempotency-Key` was used with a \
            different body."),
    ))]
pub(crate) async fn regenerate(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Result<Path<String>, PathRejection>,
    Repeatable { request, call }: Repeatable<types::Regeneration>,
) -> Result<Answer<types::GeneratedKey>, ApiError> {
    let types::Regeneration {
        overlap_seconds: Whole(overlap_seconds),
        expires_at,
    } = request;
    session.caller.require("account:apikeys:update")?;
    let patience = params.patience()?;
    params.finish()?;
    let Path(id) = id.map_err(|_| ApiError::KeyNotFound)?;
    if overlap_seconds > MAX_OVERLAP {
        return Err(ApiError::field(
            "overlap_seconds",
            format_args!("must be at most {MAX_OVERLAP}"),
        ));
    }
    let now = app.clock.now();
    let expires_at = expires_at
        .map(|expiry| {
            expiry
                .map(|expiry| fields::expiry("expires_at", expiry, now))
                .transpose()
        })
        .transpose()?;
    let reported = if app.registry.totals().connected > 0 {
        Reported::Unknown
    } else {
        Reported::All
    };
    let mut asked = Regeneration {
        overlap: overlap_seconds,
        expires_at,
        reported,
    };
    let mut rounds = 0..ROUNDS;
    let outcome = loop {
        let format = app.key_format.clone();
        let new = move |caller: &Caller, key: &mut Key| {
            caller.may_regenerate(key, overlap_seconds > 0)?;
            Ok::<_, ApiError>(format.generate(key.settings.environment, random::fill)?)
        };
        let data = move |key: &Key| repeatable::recorded(&key_view::view(key.clone(), now));
        let acting = session
            .acting(&app, "account:apikeys:update")?
            .repeatable(call.clone());
        match acting.regenerate_key(id.clone(), asked, new, data).await? {
            Regenerated::Done(outcome) => break *outcome,
            // An Envoy without a stream sends no report in this time, so the requests that it has
            // admitted are unknown here.
            Regenerated::ReportsPending(secret) if rounds.next().is_some() => {
                time::sleep(REPORTED).await;
                asked.reported = Reported::Secret(secret);
            }
            Regenerated::ReportsPending(_) => return Err(StoreError::OverlapRunning.into()),
        }
    };
    if let Outcome::New((key, _, revision)) = &outcome {
        info!(
            key = key.id,
            user = session.caller.user_id,
            revision,
            overlap_seconds,
            "key regenerated"
        );
    }
    let (data, tag) = keys::generated(&app, outcome, patience, now).await;
    Ok(Answer::ok("API key regenerated successfully", data).tagged(tag))
}
