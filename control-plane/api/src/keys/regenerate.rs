//! `POST /v1/keys/{id}/regenerate`: gives a key a new secret. The secret lets its holder act as the
//! key, so the caller must be allowed to create such a key, and a calling key cannot regenerate
//! keys that have more than itself.

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::json::Whole;
use latchkey_model::random;
use latchkey_policy::key::PlainKey;
use latchkey_store::{Caller, Key, Outcome, Regenerated, Regeneration, RepeatableCall, Reported};
use std::sync::Arc;
use std::time::Duration;
use tokio::time;
use tracing::info;

use super::{secret, view};
use crate::caller::Rules as _;
use crate::error::ApiError;
use crate::extract::{Id, Params, Session};
use crate::openapi::parameters::{IdempotencyKey, IfMatch, KeyPath, Wait};
use crate::repeatable::{self, Repeatable};
use crate::response::Answer;
use crate::{App, fields};

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
    id: Id,
    Repeatable { request, call }: Repeatable<types::Regeneration>,
) -> Result<Answer<types::GeneratedKey>, ApiError> {
    let types::Regeneration {
        overlap_seconds: Whole(overlap_seconds),
        expires_at,
    } = request;
    session.caller.require("account:apikeys:update")?;
    let timeout = params.timeout()?;
    params.finish()?;
    let id = id.or(ApiError::KeyNotFound)?;

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
    let regeneration = Regeneration {
        overlap: overlap_seconds,
        expires_at,
        reported,
    };

    let outcome = replace_secret(&app, &session, id, call, regeneration, now).await?;
    if let Outcome::New((key, _, revision)) = &outcome {
        info!(
            key = key.id,
            user = session.caller.user_id,
            revision,
            overlap_seconds,
            "key regenerated"
        );
    }
    let (data, tag) = secret::generated(&app, outcome, timeout, now).await;
    Ok(Answer::ok("API key regenerated successfully", data).tagged(tag))
}

/// Replaces the secret of a key. If reports about the present one are pending, waits for them.
async fn replace_secret(
    app: &App,
    session: &Session,
    id: String,
    call: Option<RepeatableCall>,
    mut regeneration: Regeneration,
    now: i64,
) -> Result<Outcome<(Key, PlainKey, u64)>, ApiError> {
    let overlaps = regeneration.overlap > 0;
    let mut rounds = 0..ROUNDS;
    loop {
        let format = app.key_format.clone();
        let new = move |caller: &Caller, key: &mut Key| {
            caller.ensure_can_regenerate(key, overlaps)?;
            Ok::<_, ApiError>(format.generate(key.settings.environment, random::fill)?)
        };
        let data = move |key: &Key| repeatable::recorded(&view::key(key.clone(), now));
        let acting = session
            .acting(app, "account:apikeys:update")?
            .repeatable(call.clone());
        let regenerated = acting
            .regenerate_key(id.clone(), regeneration, new, data)
            .await?;

        match regenerated {
            Regenerated::Done(outcome) => return Ok(*outcome),
            // An Envoy without a stream sends no report in this time, so the requests that it has
            // admitted are unknown here.
            Regenerated::ReportsPending(secret) if rounds.next().is_some() => {
                time::sleep(REPORTED).await;
                regeneration.reported = Reported::Secret(secret);
            }
            Regenerated::ReportsPending(_) => return Err(ApiError::OverlapRunning),
        }
    }
}
