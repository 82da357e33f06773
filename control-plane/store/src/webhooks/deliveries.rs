//! Deliveries, between the outbox and the process that sends them.
//!
//! A webhook with something due is *held* by the process that sends to it, until the process
//! records the result or its time is over. So no other process sends to it during that time, and an
//! unfinished delivery is sent again by another process.

use latchkey_model::secret::WebhookSecret;
use sqlx::{FromRow, SqliteConnection, SqliteExecutor};
use std::iter;

use crate::revision::run_to_completion;
use crate::{Store, StoreError};

/// The number of seconds for an attempt, and for recording its result.
const HELD: i64 = 30;

/// The number of seconds without an attempt after one that failed, because other deliveries would
/// fail as well. It is not longer than a delivery waits for its second attempt.
const REST: i64 = 5;

/// A delivery that this process sends now, and no other one.
#[derive(Debug, FromRow)]
pub struct Claim {
    /// The webhook's id.
    pub webhook_id: String,
    /// The id of the delivery, which is unique and the same for each attempt.
    pub id: String,
    /// The URL to send it to.
    pub url: String,
    #[sqlx(try_from = "Vec<u8>")]
    secret: WebhookSecret,
    /// The previous secret, if it still signs.
    old_secret: Option<Vec<u8>>,
    old_secret_ends_at: Option<i64>,
    /// The body to send.
    pub body: String,
    /// The time of the event, or of the request to send it again: three days later the delivery is
    /// given up.
    pub since: i64,
    /// The number of attempts since then, including this one.
    pub attempts: u32,
    /// The last attempt to send something to the webhook failed.
    pub failing: bool,
    /// The end of the hold, which also identifies its holder.
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

/// The result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The receiver accepted it.
    Delivered {
        /// The status of the response.
        status: u16,
    },
    /// The delivery is to be tried again.
    Retry {
        /// The status of the response, if there was one.
        status: Option<u16>,
        /// The reason, for people.
        error: String,
        /// The time of the next attempt, in Unix seconds.
        next_at: i64,
    },
    /// The delivery is given up.
    Failed {
        /// The status of the response, if there was one.
        status: Option<u16>,
        /// The reason, for people.
        error: String,
    },
    /// The receiver has ended the webhook: it gets no delivery until the webhook is activated
    /// again.
    Gone {
        /// The status of the response.
        status: u16,
    },
}

/// The pending deliveries of all accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Backlog {
    /// The number of deliveries.
    pub pending: i64,
    /// The time of the oldest event, or of the request to send it again.
    pub oldest: Option<i64>,
}

impl Store {
    /// Takes the delivery that has been due for the longest time, of webhooks that no process
    /// holds. Failing webhooks are included only if `failing`.
    pub async fn claim_delivery(
        &self,
        now: i64,
        failing: bool,
    ) -> Result<Option<Claim>, StoreError> {
        const HOLD: &str = "UPDATE webhooks SET held_until = ? WHERE id = ?";
        // Only the delivery that is due first has a turn.
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
        run_to_completion(async move {
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
                // The webhook's turn came too early.
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

    /// Records the result of an attempt. If another process holds the webhook by now, or it was
    /// deleted, nothing is recorded.
    pub async fn settle_delivery(
        &self,
        claim: Claim,
        settled: Settled,
        now: i64,
    ) -> Result<(), StoreError> {
        const HELD_BY: &str =
            "SELECT EXISTS (SELECT 1 FROM webhooks WHERE id = ? AND held_until = ?)";
        let store = self.clone();
        run_to_completion(async move {
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

    /// Returns the number and age of pending deliveries.
    pub async fn webhook_backlog(&self) -> Result<Backlog, StoreError> {
        const QUERY: &str = "SELECT COUNT(*) AS pending, MIN(COALESCE(redelivered_at, created_at)) AS oldest FROM webhook_deliveries WHERE done_at IS NULL";
        Ok(sqlx::query_as(QUERY).fetch_one(&self.0.readers).await?)
    }
}

/// Returns the webhook whose turn it is. A webhook is never held for longer than [`HELD`], except
/// by a clock that has been set back since.
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

/// Schedules the webhook's next turn: not before others that have waited until now.
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

/// Clears the webhook's error, and allows sending to it at once.
pub(super) async fn works(to: &mut SqliteConnection, id: &str) -> Result<(), StoreError> {
    const WORKS: &str = "UPDATE webhooks SET failures = 0, last_error = NULL, last_error_at = NULL, held_until = 0 \
         WHERE id = ?";
    sqlx::query(WORKS).bind(id).execute(to).await?;
    Ok(())
}

/// Gives up all pending deliveries of the webhook.
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
