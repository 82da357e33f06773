//! Calls with an `Idempotency-Key`: what came of them is recorded in their own transaction, so that
//! a repeated call is answered without a second effect. A repeat while the first call runs waits
//! for it, as there is one writer. (Where there are several, the row's primary key makes the second
//! one wait.)
//!
//! Nothing secret is recorded. Of the header and the body only hashes are: that of the body is
//! keyed with the header, so that a body cannot be guessed by whoever has only the database. As it
//! can hold the digest of an imported key, and the header may be guessed as well, it is also keyed
//! at rest (`at_rest.rs`).

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::SqliteConnection;

use super::at_rest::AtRest;
use super::{Caller, Store, StoreError, from_json, to_json};

/// How long a call is remembered.
const KEPT_SECONDS: i64 = 24 * 60 * 60;

/// What an account can have recorded within that time, in calls and in bytes of their answers.
const MAX_CALLS: i64 = 100_000;
const MAX_BYTES: i64 = 256 << 20;

/// A call that can be repeated: which one it is, by the hash of its `Idempotency-Key`, and what it
/// asks for.
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

    /// The same, as it is stored.
    pub(super) fn stored(&self, at_rest: &AtRest) -> Self {
        Self {
            body_hash: at_rest.body_hash(&self.body_hash),
            ..self.clone()
        }
    }
}

/// What a call did, whether now or when it was made first.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It did so now.
    New(T),
    /// It had done so before.
    Repeated(Recorded),
}

impl<T> Outcome<T> {
    /// The same, of what `change` makes of something new.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::New(made) => Outcome::New(change(made)),
            Self::Repeated(recorded) => Outcome::Repeated(recorded),
        }
    }
}

/// What is recorded of a call.
#[derive(Debug)]
pub struct Recorded {
    /// `data` of its answer, without secrets.
    pub data: Value,
    /// From this revision on nodes go by it, if they do.
    pub revision: Option<u64>,
}

/// Returns what is recorded of the call, if it was made before.
///
/// # Errors
/// [`StoreError::IdempotencyConflict`] if it asked for something else then.
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
    // Without an at-rest key it was stored as it is.
    if body_hash != at_rest.body_hash(&call.body_hash) && body_hash != call.body_hash {
        return Err(StoreError::IdempotencyConflict);
    }
    Ok(Some(Recorded {
        data: from_json(&data, "a recorded answer")?,
        revision: revision.map(i64::cast_unsigned),
    }))
}

/// Records what came of a call, which is given as it is stored.
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
    // One that is there is older than what is kept.
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
    /// Deletes what is recorded of calls that were made more than a day ago.
    pub async fn tidy_repeatable_calls(&self, now: i64) -> Result<(), StoreError> {
        const OLD: &str = "DELETE FROM repeatable_calls WHERE rowid IN \
             (SELECT rowid FROM repeatable_calls WHERE made_at <= ? LIMIT ?)";
        self.delete(|| sqlx::query(OLD).bind(now.saturating_sub(KEPT_SECONDS)))
            .await
    }
}
