//! Deliveries, between the outbox and whoever sends them.
//!
//! A webhook with something due is *held* by whoever sends to it, until they say what came of it or
//! their time is over: so nobody else sends to it meanwhile, and what somebody did not finish is
//! sent again by somebody else.

use latchkey_model::secret::WebhookSecret;
use sqlx::{FromRow, SqliteConnection, SqliteExecutor};
use std::iter;

use crate::change::to_its_end;
use crate::{Store, StoreError};

/// Seconds for an attempt, and for writing down what came of it.
const HELD: i64 = 30;

/// Seconds without an attempt after one that failed: other deliveries would fail as well. Not
/// longer than a delivery waits for its second attempt.
const REST: i64 = 5;

/// Something that is to be sent, now and by nobody else.
#[derive(Debug, FromRow)]
pub struct Claim {
    /// The webhook's id.
    pub webhook_id: String,
    /// Tells it from every other, and itself from no repetition.
    pub id: String,
    /// The URL to send it to.
    pub url: String,
    #[sqlx(try_from = "Vec<u8>")]
    secret: WebhookSecret,
    /// The secret before it, if it still signs.
    old_secret: Option<Vec<u8>>,
    old_secret_ends_at: Option<i64>,
    /// The body to send.
    pub body: String,
    /// When it happened, or somebody asked for it again: three days from then it is given up.
    pub since: i64,
    /// How often it was tried since, with this one.
    pub attempts: u32,
    /// The last attempt to send something to the webhook failed.
    pub failing: bool,
    /// Whoever holds the webhook is told by it.
    held_until: i64,
}

impl Claim {
    /// Returns the secrets that sign what is sent at `now`, the newest first.
    pub fn secrets(&self, now: i64) -> impl Iterator<Item = WebhookSecret> {
        let old = self
            .old_secret
            .clone()
            .filter(|_| self.old_secret_ends_at.is_some_and(|ends_at| now < ends_at));
        iter::once(self.secret.clone()).chain(old.map(WebhookSecret::from))
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The receiver has it.
    Delivered {
        /// The status of the answer.
        status: u16,
    },
    /// It is to be tried again.
    Retry {
        /// The status of the answer, if there was one.
        status: Option<u16>,
        /// The reason, for people.
        error: String,
        /// Unix seconds.
        next_at: i64,
    },
    /// It is given up.
    Failed {
        /// The status of the answer, if there was one.
        status: Option<u16>,
        /// The reason, for people.
        error: String,
    },
    /// The receiver wants nothing any more: it gets nothing until somebody switches it on again.
    Gone {
        /// The status of the answer.
        status: u16,
    },
}

/// What is still to be sent, of all accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Backlog {
    /// The number of deliveries.
    pub pending: i64,
    /// When the oldest of it happened, or was asked for again.
    pub oldest: Option<i64>,
}

impl Store {
    /// Takes what has been due for longest, of webhooks that nobody holds; of those that are
    /// failing only if `failing`.
    pub async fn claim_delivery(
        &self,
        now: i64,
        failing: bool,
    ) -> Result<Option<Claim>, StoreError> {
        const HOLD: &str = "UPDATE webhooks SET held_until = ? WHERE id = ?";
        // Of what is due the earliest; only that has a turn.
        const TAKE: &str = "UPDATE webhook_deliveries SET attempts = attempts + 1 WHERE seq = \
             (SELECT seq FROM webhook_deliveries WHERE webhook_id = ? AND done_at IS NULL AND next_at <= ? \
             ORDER BY next_at LIMIT 1) RETURNING id";
        const CLAIM: &str = "SELECT w.id AS webhook_id, d.id, w.url, w.secret, w.old_secret, \
             w.old_secret_ends_at, d.body, COALESCE(d.redelivered_at, d.created_at) AS since, d.attempts, w.failures > 0 AS failing, w.held_until FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id \
             WHERE d.id = ?";
        if due(&self.0.readers, now, failing).await?.is_none() {
            return Ok(None);
        }
        let store = self.clone();
        to_its_end(async move {
            let mut transaction = store.0.begin().await?;
            let Some(webhook_id) = due(&mut *transaction, now, failing).await? else {
                return Ok(None);
            };
            let take = sqlx::query_scalar(TAKE).bind(&webhook_id).bind(now);
            let taken: Option<String> = take.fetch_optional(&mut *transaction).await?;
            let claim = match taken {
                Some(id) => {
                    let until = now.saturating_add(HELD);
                    sqlx::query(HOLD)
                        .bind(until)
                        .bind(&webhook_id)
                        .execute(&mut *transaction)
                        .await?;
                    Some(
                        sqlx::query_as(CLAIM)
                            .bind(id)
                            .fetch_one(&mut *transaction)
                            .await?,
                    )
                }
                // Its turn was early.
                None => {
                    plan(&mut transaction, &webhook_id, now).await?;
                    None
                }
            };
            transaction.commit().await?;
            Ok(claim)
        })
        .await
    }

    /// Writes down what came of an attempt. If the webhook is held by somebody else by now, or is
    /// no more, that is left to them.
    pub async fn settle_delivery(
        &self,
        claim: Claim,
        settled: Settled,
        now: i64,
    ) -> Result<(), StoreError> {
        const HELD_BY: &str =
            "SELECT EXISTS (SELECT 1 FROM webhooks WHERE id = ? AND held_until = ?)";
        let store = self.clone();
        to_its_end(async move {
            let mut transaction = store.0.begin().await?;
            let query = sqlx::query_scalar(HELD_BY)
                .bind(&claim.webhook_id)
                .bind(claim.held_until);
            let ours: bool = query.fetch_one(&mut *transaction).await?;
            if !ours {
                return Ok(());
            }
            write_delivery(&mut transaction, &claim.id, &settled, now).await?;
            write_webhook(&mut transaction, &claim.webhook_id, &settled, now).await?;
            plan(&mut transaction, &claim.webhook_id, now).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// What is still to be sent.
    pub async fn webhook_backlog(&self) -> Result<Backlog, StoreError> {
        const QUERY: &str = "SELECT COUNT(*) AS pending, MIN(COALESCE(redelivered_at, created_at)) AS oldest FROM webhook_deliveries WHERE done_at IS NULL";
        Ok(sqlx::query_as(QUERY).fetch_one(&self.0.readers).await?)
    }
}

/// The webhook whose turn it is. Nobody holds one for longer than [`HELD`], but by a clock that has
/// been set back since.
async fn due(
    from: impl SqliteExecutor<'_>,
    now: i64,
    failing: bool,
) -> Result<Option<String>, StoreError> {
    const QUERY: &str = "SELECT id FROM webhooks WHERE due_at <= ?1 AND NOT (held_until > ?1 AND held_until <= ?2) \
         AND (failures = 0 OR ?3) ORDER BY due_at LIMIT 1";
    let query = sqlx::query_scalar(QUERY)
        .bind(now)
        .bind(now.saturating_add(HELD))
        .bind(failing);
    Ok(query.fetch_optional(from).await?)
}

/// Says when it is the webhook's turn again: not before others that have waited until now.
async fn plan(to: &mut SqliteConnection, webhook_id: &str, now: i64) -> Result<(), StoreError> {
    const PLAN: &str = "UPDATE webhooks SET due_at = (SELECT MAX(?1, MIN(next_at)) FROM webhook_deliveries \
         WHERE webhook_id = ?2 AND done_at IS NULL) WHERE id = ?2";
    sqlx::query(PLAN)
        .bind(now)
        .bind(webhook_id)
        .execute(to)
        .await?;
    Ok(())
}

async fn write_delivery(
    to: &mut SqliteConnection,
    id: &str,
    settled: &Settled,
    now: i64,
) -> Result<(), StoreError> {
    const UPDATE: &str = "UPDATE webhook_deliveries SET delivered = ?, next_at = ?, done_at = ?, last_status = ?, \
         last_error = ? WHERE id = ? AND done_at IS NULL";
    let (status, error) = match settled {
        Settled::Delivered { status } => (Some(*status), None),
        Settled::Gone { status } => (Some(*status), Some(GONE)),
        Settled::Retry { status, error, .. } | Settled::Failed { status, error } => {
            (*status, Some(error.as_str()))
        }
    };
    let (next_at, done_at) = match settled {
        Settled::Retry { next_at, .. } => (Some(*next_at), None),
        _ => (None, Some(now)),
    };
    sqlx::query(UPDATE)
        .bind(matches!(settled, Settled::Delivered { .. }))
        .bind(next_at)
        .bind(done_at)
        .bind(status)
        .bind(error)
        .bind(id)
        .execute(to)
        .await?;
    Ok(())
}

const GONE: &str = "the receiver responded with 410 and no longer accepts deliveries";

async fn write_webhook(
    to: &mut SqliteConnection,
    id: &str,
    settled: &Settled,
    now: i64,
) -> Result<(), StoreError> {
    const FAILS: &str = "UPDATE webhooks SET failures = failures + 1, last_error = ?, last_error_at = ?, \
         held_until = ? WHERE id = ?";
    const ENDS: &str = "UPDATE webhooks SET active = FALSE, last_error = ?, last_error_at = ?, held_until = 0, \
         updated_at = ? WHERE id = ?";
    match settled {
        Settled::Delivered { .. } => works(to, id).await?,
        Settled::Retry { error, .. } | Settled::Failed { error, .. } => {
            let rest = now.saturating_add(REST);
            sqlx::query(FAILS)
                .bind(error)
                .bind(now)
                .bind(rest)
                .bind(id)
                .execute(to)
                .await?;
        }
        Settled::Gone { .. } => {
            sqlx::query(ENDS)
                .bind(GONE)
                .bind(now)
                .bind(now)
                .bind(id)
                .execute(&mut *to)
                .await?;
            give_up(to, id, "the receiver no longer accepts deliveries", now).await?;
        }
    }
    Ok(())
}

/// Forgets what went wrong with the webhook, and lets it be sent to at once.
pub(super) async fn works(to: &mut SqliteConnection, id: &str) -> Result<(), StoreError> {
    const WORKS: &str = "UPDATE webhooks SET failures = 0, last_error = NULL, last_error_at = NULL, held_until = 0 \
         WHERE id = ?";
    sqlx::query(WORKS).bind(id).execute(to).await?;
    Ok(())
}

/// Gives up all that the webhook was still to be told.
pub(super) async fn give_up(
    to: &mut SqliteConnection,
    webhook_id: &str,
    reason: &str,
    now: i64,
) -> Result<(), StoreError> {
    const GIVE_UP: &str = "UPDATE webhook_deliveries SET next_at = NULL, done_at = ?, last_error = ? \
         WHERE webhook_id = ? AND done_at IS NULL";
    sqlx::query(GIVE_UP)
        .bind(now)
        .bind(reason)
        .bind(webhook_id)
        .execute(&mut *to)
        .await?;
    plan(to, webhook_id, now).await
}

#[cfg(test)]
mod tests;
