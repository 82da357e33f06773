//! Rotation of a webhook's secret: deliveries are signed with each secret until the old one ends.

use latchkey_model::secret::WebhookSecret;
use serde_json::{Value, json};
use sqlx::{FromRow, SqliteConnection};

use super::{Webhook, find};
use crate::audit::{Audited as _, Event};
use crate::revision::run_to_completion;
use crate::{Authorized, Outcome, Store, StoreError, clock};

/// The number of seconds within which the same caller can repeat a rotation, for example after a
/// lost response.
const RETRY: i64 = 10 * 60;

/// The number of seconds for which an old secret is kept after its end: a clock that is trusted can
/// be ahead by less.
const KEPT: i64 = 24 * 60 * 60;

impl Authorized {
    /// Replaces a webhook's secret by `new`. The previous secret signs for `overlap` more seconds;
    /// with an overlap of 0, every older secret ends at once. While an overlap runs, the caller of
    /// the last rotation can replace its secret within [`RETRY`] seconds, and the old one keeps its
    /// end. Fails with [`StoreError::OverlapRunning`] for all others, and with
    /// [`StoreError::WebhookNotFound`]. A repeatable call is recorded with the value that `data`
    /// returns for the webhook.
    pub async fn rotate_webhook_secret(
        self,
        id: String,
        new: WebhookSecret,
        overlap: u32,
        data: impl FnOnce(&Webhook) -> Value + Send + 'static,
    ) -> Result<Outcome<Webhook>, StoreError> {
        run_to_completion(async move {
            let mut authorized = match self.begin_repeatable_local().await? {
                Outcome::New(authorized) => authorized,
                Outcome::Repeated(recorded) => return Ok(Outcome::Repeated(recorded)),
            };
            let (transaction, account_id) = (&mut authorized.tx, &authorized.caller.account_id);
            find(&mut **transaction, account_id, &id).await?;
            let secrets = Secrets::read(transaction, &id).await?;
            let actor = authorized.caller.actor.id().unwrap_or_default();
            let (old_secret, old_ends_at) = secrets.old_after(overlap, actor, self.now)?;
            write(
                transaction,
                &id,
                &new,
                (old_secret, old_ends_at),
                actor,
                self.now,
            )
            .await?;
            let webhook = find(&mut **transaction, account_id, &id).await?;
            let event = Event::done("webhook.rotate_secret", webhook.target());
            authorized.record(|| data(&webhook)).await?;
            authorized
                .commit(&[event.with("overlap_seconds", json!(overlap))])
                .await?;
            Ok(Outcome::New(webhook))
        })
        .await
    }
}

/// The secrets of a webhook, and the creator of the current one.
#[derive(FromRow)]
struct Secrets {
    secret: Vec<u8>,
    secret_created_at: i64,
    rotated_by: Option<String>,
    old_secret: Option<Vec<u8>>,
    old_secret_ends_at: Option<i64>,
}

impl Secrets {
    async fn read(from: &mut SqliteConnection, id: &str) -> Result<Self, StoreError> {
        const QUERY: &str = "SELECT secret, secret_created_at, rotated_by, old_secret, old_secret_ends_at \
             FROM webhooks WHERE id = ?";
        Ok(sqlx::query_as(QUERY).bind(id).fetch_one(from).await?)
    }

    /// Returns the old secret and its end after a rotation by `actor`.
    fn old_after(
        self,
        overlap: u32,
        actor: &str,
        now: i64,
    ) -> Result<(Option<Vec<u8>>, Option<i64>), StoreError> {
        let running = self.old_secret_ends_at.filter(|ends_at| *ends_at > now);
        match running {
            _ if overlap == 0 => Ok((None, None)),
            None => Ok((Some(self.secret), Some(now.saturating_add(overlap.into())))),
            Some(ends_at) => {
                let since = now.saturating_sub(self.secret_created_at);
                let again =
                    self.rotated_by.as_deref() == Some(actor) && (0..=RETRY).contains(&since);
                if again {
                    Ok((self.old_secret, Some(ends_at)))
                } else {
                    Err(StoreError::OverlapRunning)
                }
            }
        }
    }
}

async fn write(
    to: &mut SqliteConnection,
    id: &str,
    new: &WebhookSecret,
    (old_secret, old_ends_at): (Option<Vec<u8>>, Option<i64>),
    actor: &str,
    now: i64,
) -> Result<(), StoreError> {
    const WRITE: &str = "UPDATE webhooks SET secret = ?, secret_created_at = ?, rotated_by = ?, old_secret = ?, \
         old_secret_ends_at = ?, updated_at = ? WHERE id = ?";
    sqlx::query(WRITE)
        .bind(new.as_bytes())
        .bind(now)
        .bind(actor)
        .bind(old_secret)
        .bind(old_ends_at)
        .bind(now)
        .bind(id)
        .execute(to)
        .await?;
    Ok(())
}

impl Store {
    /// Deletes old secrets of webhooks that ended a day ago, unless the clock may be wrong by more:
    /// they could not be restored.
    pub async fn clean_up_webhook_secrets(&self, now: i64) -> Result<(), StoreError> {
        const ENDED: &str = "SELECT EXISTS (SELECT 1 FROM webhooks WHERE old_secret_ends_at <= ?)";
        const DELETE: &str = "UPDATE webhooks SET old_secret = NULL, old_secret_ends_at = NULL WHERE old_secret_ends_at <= ?";
        let before = now.saturating_sub(KEPT);
        let ended: bool = sqlx::query_scalar(ENDED)
            .bind(before)
            .fetch_one(&self.0.readers)
            .await?;
        if !ended || !clock::trusts(&self.0.readers, now).await? {
            return Ok(());
        }
        let store = self.clone();
        run_to_completion(async move {
            let mut transaction = store.0.begin().await?;
            sqlx::query(DELETE)
                .bind(before)
                .execute(&mut *transaction)
                .await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}
