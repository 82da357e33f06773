//! `POST /v1/keys/{id}/regenerate`: a new secret for a key. Who has it can act with the key, so
//! this takes what it would take to make the key, and a key that calls regenerates none that has
//! more than itself.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use latchkey_model::json::{Whole, given};
use latchkey_model::random;
use latchkey_store::{Caller, Key, Outcome, Regenerated, Regeneration, Reported, StoreError};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time;
use tracing::info;
use utoipa::ToSchema;

use super::App;
use super::answer::Answer;
use super::caller::Rules as _;
use super::error::ApiError;
use super::expiry::Expiry;
use super::extract::{Params, Session};
use super::key_view::KeyView;
use super::keys::Generated;
use super::openapi::parameters::{IdempotencyKey, IfMatch, KeyPath, Wait};
use super::repeatable::{self, Repeatable};

/// 30 days.
const MAX_OVERLAP: u32 = 30 * 24 * 60 * 60;

/// Within this time Envoys report what they admit, and the report is in the store: a worker settles
/// what it has admitted by itself once a second.
const REPORTED: Duration = Duration::from_secs(2);

/// How often a call waits for reports, if others replace the secret meanwhile.
const ROUNDS: usize = 4;

/// How a key is to get a new secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Regeneration)]
pub(super) struct Request {
    /// For so long the old secret is good as well.
    #[serde(default)]
    #[schema(value_type = u64, maximum = 2_592_000)]
    overlap_seconds: Whole,
    /// Another expiry of the key, or none with null. An expired key needs it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Expiry>)]
    expires_at: Option<Option<Expiry>>,
}

/// Regenerate an API key
///
/// Gives the same key a new secret. Without an overlap, all older secrets stop at once. With an
/// overlap, the old secret is valid until the end of the overlap, but no longer than the key. Both
/// count in the same limits.
///
/// If the answer is lost, repeat the call: while the overlap runs, the same user or key replaces a
/// new secret that is not older than 10 minutes and was not used, and the old secret keeps its end.
/// The call waits 2 seconds for what Envoys have yet to report of its use. Use of the old secret
/// does not count, also if it makes the call: a key that regenerates itself can repeat that with
/// its old secret. Any other call with an overlap is refused until the overlap is over. Repeated
/// with the same `Idempotency-Key` within 24 hours, the call makes no other secret, and is answered
/// without one.
#[utoipa::path(post, path = "/v1/keys/{key_id}/regenerate", operation_id = "regenerateKey", tag = "Keys",
    params(KeyPath, Wait, IdempotencyKey, IfMatch), request_body = Request, security(("credential" = ["account:apikeys:update"])),
    responses(
        (status = 200, description = "The key, with the only sight of its new secret.", body = Answer<Generated>,
            headers(("ETag" = String, description = "Of what can be edited, for `If-Match`."))),
        (status = 409, description = "The key is revoked; an overlap is running; the key has expired and `expires_at` is \
            missing, or another key has its name by now; the `Idempotency-Key` was used with another body."),
    ))]
pub(super) async fn regenerate(
    State(app): State<Arc<App>>,
    session: Session,
    mut params: Params,
    id: Result<Path<String>, PathRejection>,
    Repeatable { request, call }: Repeatable<Request>,
) -> Result<Answer<Generated>, ApiError> {
    let Request {
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
            format_args!("must be {MAX_OVERLAP} at most"),
        ));
    }
    let now = app.clock.now();
    let expires_at = expires_at
        .map(|expiry| {
            expiry
                .map(|expiry| expiry.check("expires_at", now))
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
        let data = move |key: &Key| repeatable::recorded(&KeyView::new(key.clone(), now));
        let acting = session
            .acting(&app, "account:apikeys:update")?
            .repeatable(call.clone());
        match acting.regenerate_key(id.clone(), asked, new, data).await? {
            Regenerated::Done(outcome) => break *outcome,
            // An Envoy that has no stream reports nothing meanwhile: what it has admitted is not
            // known here.
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
    let (data, tag) = Generated::new(&app, outcome, patience, now).await;
    Ok(Answer::ok("API key regenerated successfully", data).tagged(tag))
}
