//! Deliveries on request: tests, and deliveries that are sent again. Their number is bounded for
//! each webhook.

use serde_json::json;
use sqlx::SqliteConnection;

use super::listing::KEPT;
use super::{Webhook, find, outbox};
use crate::audit::{Audited as _, Event};
use crate::revision::run_to_completion;
use crate::webhooks::event;
use crate::{Authorized, StoreError};

/// The maximum number of deliveries that can be requested in a minute, for each webhook.
pub const MAX_PER_MINUTE: i64 = 60;

const MINUTE: i64 = 60;

impl Authorized {
    /// Sends `webhook.test` to a webhook, and returns the delivery's id. Fails with
    /// [`StoreError::WebhookNotFound`], [`StoreError::WebhookInactive`] and
    /// [`StoreError::WebhookBusy`].
    pub async fn test_webhook(self, id: String) -> Result<String, StoreError> {
        run_to_completion(async move {
            let mut authorized = self.begin_local().await?;
            let (transaction, account_id) = (&mut authorized.tx, &authorized.caller.account_id);
            let webhook = find(&mut **transaction, account_id, &id).await?;
            admit(transaction, &webhook, self.now).await?;
            let event = event::Event::Test {
                account_id: account_id.clone(),
                webhook_id: id.clone(),
            };
            let delivery = outbox::write(transaction, &[(id, event)], self.now)
                .await?
                .pop();
            let delivery = delivery.ok_or(StoreError::Damaged("a delivery that was written"))?;
            authorized
                .commit(&[Event::done("webhook.test", webhook.target())])
                .await?;
            Ok(delivery)
        })
        .await
    }

    /// Sends a delivery again, whether it succeeded or failed. It is treated as new, and sent at
    /// once, or after the webhook's pause if an attempt failed. Fails as
    /// [`test_webhook`](Self::test_webhook), and with [`StoreError::DeliveryNotFound`].
    pub async fn redeliver(self, webhook_id: String, id: String) -> Result<(), StoreError> {
        const AGAIN: &str = "UPDATE webhook_deliveries SET delivered = FALSE, attempts = 0, next_at = ?1, \
             done_at = NULL, redelivered_at = ?1 \
             WHERE id = ?2 AND webhook_id = ?3 AND (done_at IS NULL OR done_at >= ?4)";
        run_to_completion(async move {
            let mut authorized = self.begin_local().await?;
            let (transaction, account_id) = (&mut authorized.tx, &authorized.caller.account_id);
            let webhook = find(&mut **transaction, account_id, &webhook_id).await?;
            let again = sqlx::query(AGAIN)
                .bind(self.now)
                .bind(&id)
                .bind(&webhook_id);
            let again = again
                .bind(self.now.saturating_sub(KEPT))
                .execute(&mut **transaction)
                .await?;
            if again.rows_affected() == 0 {
                return Err(StoreError::DeliveryNotFound);
            }
            admit(transaction, &webhook, self.now).await?;
            outbox::set_due(transaction, [&webhook_id], self.now).await?;
            let event = Event::done("webhook.redeliver", webhook.target());
            authorized
                .commit(&[event.with("delivery_id", json!(id))])
                .await
        })
        .await
    }
}

/// Counts a requested delivery, and refuses it beyond the maximum.
async fn admit(to: &mut SqliteConnection, webhook: &Webhook, now: i64) -> Result<(), StoreError> {
    const COUNT: &str = "UPDATE webhooks SET manual_count = CASE WHEN manual_minute = ?1 THEN manual_count + 1 ELSE 1 \
         END, manual_minute = ?1 WHERE id = ?2 AND (manual_minute <> ?1 OR manual_count < ?3)";
    if !webhook.active {
        return Err(StoreError::WebhookInactive);
    }
    let count = sqlx::query(COUNT)
        .bind(now.div_euclid(MINUTE))
        .bind(&webhook.id)
        .bind(MAX_PER_MINUTE);
    if count.execute(to).await?.rows_affected() == 0 {
        let seconds = MINUTE - now.rem_euclid(MINUTE);
        return Err(StoreError::WebhookBusy {
            seconds: u32::try_from(seconds).unwrap_or(1),
        });
    }
    Ok(())
}
