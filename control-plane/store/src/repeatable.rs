//! Calls with an `Idempotency-Key`: the result is recorded in the call's own transaction, so that a
//! repeated call is answered without a second effect. A repeat during the first call waits for it,
//! because there is one writer. (Where there are several, the row's primary key makes the second
//! one wait.)
//!
//! Nothing secret is recorded. Of the header and the body only hashes are stored. The body's hash
//! is keyed with the header, so that the database is not enough to guess a body. Because the body
//! can contain the digest of an imported key, and the header may be guessed as well, the hash is
//! also keyed at rest (`at_rest.rs`).

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::SqliteConnection;

use super::at_rest::AtRest;
use super::{Caller, Store, StoreError, from_json, to_json};

/// The number of seconds for which a call is remembered.
const KEPT_SECONDS: i64 = 24 * 60 * 60;

/// The maximum that an account can have recorded within that time, in calls and in bytes of their
/// responses.
const MAX_CALLS: i64 = 100_000;
const MAX_BYTES: i64 = 256 << 20;

/// A call that can be repeated. It is identified by the hash of its `Idempotency-Key`; the hash of
/// its body shows what it requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatableCall {
    /// The method and the path.
    call: String,
    key_hash: [u8; 32],
    body_hash: [u8; 32],
}

impl RepeatableCall {
    /// Describes a call with this `Idempotency-Key` and body.
    pub fn new(method: &str, path: &str, key: &[u8], body: &[u8]) -> Self {
        // HMAC takes keys of any length.
        let body_hash = Hmac::<Sha256>::new_from_slice(key)
            .map(|mac| mac.chain_update(body).finalize().into_bytes());
        Self {
            call: format!("{method} {path}"),
            key_hash: Sha256::digest(key).into(),
            body_hash: body_hash.map(Into::into).unwrap_or_default(),
        }
    }

    /// Returns the call in the form in which it is stored.
    pub(super) fn stored(&self, at_rest: &AtRest) -> Self {
        Self {
            body_hash: at_rest.body_hash(&self.body_hash),
            ..self.clone()
        }
    }
}

/// The result of a call, made now or earlier.
#[derive(Debug)]
pub enum Outcome<T> {
    /// The call was made now.
    New(T),
    /// The call was made before.
    Repeated(Recorded),
}

impl<T> Outcome<T> {
    /// Applies `change` to the result of a new call.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::New(made) => Outcome::New(change(made)),
            Self::Repeated(recorded) => Outcome::Repeated(recorded),
        }
    }
}

/// The record of a call.
#[derive(Debug)]
pub struct Recorded {
    /// The response's `data`, without secrets.
    pub data: Value,
    /// The revision from which on nodes decide by the change, if it concerns them.
    pub revision: Option<u64>,
}

/// Returns the record of the call, if it was made before.
///
/// # Errors
/// [`StoreError::IdempotencyConflict`] if it had another body then.
pub(super) async fn find(
    from: &mut SqliteConnection,
    at_rest: &AtRest,
    caller: &Caller,
    call: &RepeatableCall,
    now: i64,
) -> Result<Option<Recorded>, StoreError> {
    const QUERY: &str = "SELECT body_hash, data, revision FROM repeatable_calls \
         WHERE account_id = ? AND caller_id = ? AND call = ? AND key_hash = ? AND made_at > ?";
    let query = sqlx::query_as(QUERY)
        .bind(&caller.account_id)
        .bind(caller.actor.id())
        .bind(&call.call);
    let query = query
        .bind(&call.key_hash[..])
        .bind(now.saturating_sub(KEPT_SECONDS));
    let row: Option<(Vec<u8>, String, Option<i64>)> = query.fetch_optional(from).await?;
    let Some((body_hash, data, revision)) = row else {
        return Ok(None);
    };
    // Without an at-rest key the hash was stored unkeyed.
    if body_hash != at_rest.body_hash(&call.body_hash) && body_hash != call.body_hash {
        return Err(StoreError::IdempotencyConflict);
    }
    Ok(Some(Recorded {
        data: from_json(&data, "a recorded answer")?,
        revision: revision.map(i64::cast_unsigned),
    }))
}

/// Records the result of a call, which is given in the form in which it is stored.
///
/// # Errors
/// [`StoreError::IdempotencyLimit`] if the account has too much recorded.
pub(super) async fn record(
    to: &mut SqliteConnection,
    caller: &Caller,
    call: &RepeatableCall,
    recorded: &Recorded,
    now: i64,
) -> Result<(), StoreError> {
    const KEPT: &str = "SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM repeatable_calls WHERE account_id = ? AND made_at > ?";
    // An existing row is older than the period for which calls are kept.
    const RECORD: &str = "INSERT OR REPLACE INTO repeatable_calls \
         (account_id, caller_id, call, key_hash, body_hash, data, bytes, revision, made_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let data = to_json(&recorded.data)?;
    let bytes = i64::try_from(data.len()).unwrap_or(i64::MAX);
    let kept = sqlx::query_as(KEPT)
        .bind(&caller.account_id)
        .bind(now.saturating_sub(KEPT_SECONDS));
    let (calls, kept): (i64, i64) = kept.fetch_one(&mut *to).await?;
    if calls >= MAX_CALLS || kept.saturating_add(bytes) > MAX_BYTES {
        return Err(StoreError::IdempotencyLimit);
    }
    let record = sqlx::query(RECORD)
        .bind(&caller.account_id)
        .bind(caller.actor.id())
        .bind(&call.call);
    let record = record
        .bind(&call.key_hash[..])
        .bind(&call.body_hash[..])
        .bind(data)
        .bind(bytes);
    record
        .bind(recorded.revision.map(u64::cast_signed))
        .bind(now)
        .execute(to)
        .await?;
    Ok(())
}

impl Store {
    /// Deletes the records of calls that were made more than a day ago.
    pub async fn clean_up_repeatable_calls(&self, now: i64) -> Result<(), StoreError> {
        const OLD: &str = "DELETE FROM repeatable_calls WHERE rowid IN \
             (SELECT rowid FROM repeatable_calls WHERE made_at <= ? LIMIT ?)";
        self.delete(|| sqlx::query(OLD).bind(now.saturating_sub(KEPT_SECONDS)))
            .await
    }
}
