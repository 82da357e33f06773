//! Webhooks: their configuration. The modules below write and send their events.
//!
//! [`outbox`] writes events in the transaction of the change itself, and [`expiries`] announces
//! future ones. [`deliveries`] hands out due deliveries and records the results, so that no two
//! processes send the same one at the same time.

mod deliveries;
mod event;
mod expiries;
mod listing;
mod manual;
pub(super) mod outbox;
mod rotation;

pub use deliveries::{Backlog, Claim, Settled};
pub use event::{EventType, KeyFacts};
pub use listing::{Delivery, DeliveryState};
pub use manual::MAX_PER_MINUTE as MAX_MANUAL_DELIVERIES;

use latchkey_model::random;
use latchkey_model::secret::WebhookSecret;
use serde_json::Value;
use sqlx::{FromRow, SqliteConnection, SqliteExecutor};

use super::audit::Event;
use super::insert::{Columns, NewRow, insert};
use super::revision::run_to_completion;
use super::{Authorized, Outcome, Store, StoreError, from_json, to_json};

/// The maximum number of webhooks in an account.
pub const MAX_WEBHOOKS: i64 = 20;

/// A receiver, and the events that it subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The webhook's id: `whk_…`
    pub id: String,
    /// The URL to which deliveries are sent.
    pub url: String,
    /// The types of events that are sent to it.
    pub events: Vec<EventType>,
    /// The number of days before a key expires.
    pub expiring_days: Vec<u32>,
    /// True if deliveries are sent to it.
    pub active: bool,
    /// The time of creation, in Unix seconds.
    pub created_at: i64,
    /// The time of the last change, in Unix seconds.
    pub updated_at: i64,
    /// Creation of the current secret, in Unix seconds.
    pub secret_created_at: i64,
    /// The second from which on the old secret no longer signs, if there is one.
    pub old_secret_ends_at: Option<i64>,
    /// The error, if the last attempt failed, or if its receiver has ended the webhook.
    pub last_error: Option<String>,
    /// The time of that error, in Unix seconds.
    pub last_error_at: Option<i64>,
}

/// A webhook to create.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// The URL that deliveries are sent to.
    pub url: String,
    /// The secret that signs them.
    pub secret: WebhookSecret,
    /// The types of events to send.
    pub events: Vec<EventType>,
    /// The numbers of days before its expiry at which a key is announced.
    pub expiring_days: Vec<u32>,
}

/// The fields of a webhook to change.
#[derive(Debug, Clone, Default)]
pub struct WebhookChange {
    /// The URL.
    pub url: Option<String>,
    /// The types of events.
    pub events: Option<Vec<EventType>>,
    /// The numbers of days before a key's expiry.
    pub expiring_days: Option<Vec<u32>>,
    /// The new active state. An inactive webhook gets no deliveries.
    pub active: Option<bool>,
}

impl WebhookChange {
    fn apply(self, webhook: &mut Webhook) {
        webhook.url = self.url.unwrap_or_else(|| webhook.url.clone());
        webhook.events = self.events.unwrap_or_else(|| webhook.events.clone());
        webhook.expiring_days = self
            .expiring_days
            .unwrap_or_else(|| webhook.expiring_days.clone());
        webhook.active = self.active.unwrap_or(webhook.active);
    }
}

impl Store {
    /// Returns the account's webhooks, the oldest first.
    pub async fn webhooks(&self, account_id: &str) -> Result<Vec<Webhook>, StoreError> {
        const QUERY: &str = "SELECT * FROM webhook_details WHERE account_id = ? ORDER BY seq";
        let rows: Vec<WebhookRow> = sqlx::query_as(QUERY)
            .bind(account_id)
            .fetch_all(&self.0.readers)
            .await?;
        rows.into_iter().map(Webhook::try_from).collect()
    }

    /// Returns one of the account's webhooks. Fails with [`StoreError::WebhookNotFound`].
    pub async fn webhook(&self, account_id: &str, id: &str) -> Result<Webhook, StoreError> {
        find(&self.0.readers, account_id, id).await
    }
}

impl Authorized {
    /// Adds a webhook. Fails with [`StoreError::WebhookLimit`] at [`MAX_WEBHOOKS`]. A repeatable
    /// call is recorded with the value that `data` returns for the webhook.
    pub async fn create_webhook(
        self,
        new: NewWebhook,
        data: impl FnOnce(&Webhook) -> Value + Send + 'static,
    ) -> Result<Outcome<Webhook>, StoreError> {
        run_to_completion(async move {
            let mut authorized = match self.begin_repeatable_local().await? {
                Outcome::New(authorized) => authorized,
                Outcome::Repeated(recorded) => return Ok(Outcome::Repeated(recorded)),
            };
            let (transaction, account_id) = (&mut authorized.tx, &authorized.caller.account_id);
            let count: i64 =
                sqlx::query_scalar("SELECT COUNT(*) FROM webhooks WHERE account_id = ?")
                    .bind(account_id)
                    .fetch_one(&mut **transaction)
                    .await?;
            if count >= MAX_WEBHOOKS {
                return Err(StoreError::WebhookLimit);
            }
            let id = random::id("whk")?;
            let row = NewWebhookRow {
                id: &id,
                account_id,
                webhook: &new,
                now: self.now,
            };
            insert(&mut *transaction, &[row]).await?;
            let webhook = find(&mut **transaction, account_id, &id).await?;
            authorized.record(|| data(&webhook)).await?;
            authorized
                .commit(&[Event::created("webhook.create", &webhook)])
                .await?;
            Ok(Outcome::New(webhook))
        })
        .await
    }

    /// Edits a webhook. Deactivating it gives up its pending deliveries, and activating it clears
    /// its error. Fails with [`StoreError::WebhookNotFound`].
    pub async fn edit_webhook(
        self,
        id: String,
        change: WebhookChange,
    ) -> Result<Webhook, StoreError> {
        run_to_completion(async move {
            let mut authorized = self.begin_local().await?;
            let (transaction, account_id) = (&mut authorized.tx, &authorized.caller.account_id);
            let before = find(&mut **transaction, account_id, &id).await?;
            let mut webhook = before.clone();
            change.apply(&mut webhook);
            if webhook == before {
                return Ok(webhook);
            }
            update(transaction, &webhook, self.now).await?;
            match (before.active, webhook.active) {
                (true, false) => {
                    deliveries::give_up(transaction, &id, "webhook deactivated", self.now).await?;
                }
                (false, true) => deliveries::works(transaction, &id).await?,
                _ => {}
            }
            let webhook = find(&mut **transaction, account_id, &id).await?;
            authorized
                .commit(&[Event::edited("webhook.update", &before, &webhook)])
                .await?;
            Ok(webhook)
        })
        .await
    }

    /// Removes a webhook with all of its deliveries. Fails with [`StoreError::WebhookNotFound`].
    pub async fn delete_webhook(self, id: String) -> Result<(), StoreError> {
        run_to_completion(async move {
            let mut authorized = self.begin_local().await?;
            let (transaction, account_id) = (&mut authorized.tx, &authorized.caller.account_id);
            let webhook = find(&mut **transaction, account_id, &id).await?;
            sqlx::query("DELETE FROM webhooks WHERE id = ?")
                .bind(id)
                .execute(&mut **transaction)
                .await?;
            authorized
                .commit(&[Event::deleted("webhook.delete", &webhook)])
                .await
        })
        .await
    }
}

/// A webhook with the values that the store assigns.
struct NewWebhookRow<'a> {
    id: &'a str,
    account_id: &'a str,
    webhook: &'a NewWebhook,
    now: i64,
}

impl NewRow for NewWebhookRow<'_> {
    const TABLE: &'static str = "webhooks";

    fn columns(&self, columns: &mut Columns) -> Result<(), StoreError> {
        columns
            .set("id", self.id)?
            .set("account_id", self.account_id)?
            .set("url", &self.webhook.url)?
            .set("secret", self.webhook.secret.as_bytes())?
            .set("events", to_json(&self.webhook.events)?)?
            .set("expiring_days", to_json(&self.webhook.expiring_days)?)?
            .set("created_at", self.now)?
            .set("updated_at", self.now)?
            .set("secret_created_at", self.now)?;
        Ok(())
    }
}

async fn update(to: &mut SqliteConnection, webhook: &Webhook, now: i64) -> Result<(), StoreError> {
    const UPDATE: &str = "UPDATE webhooks SET url = ?, events = ?, expiring_days = ?, active = ?, updated_at = ? WHERE id = ?";
    sqlx::query(UPDATE)
        .bind(&webhook.url)
        .bind(to_json(&webhook.events)?)
        .bind(to_json(&webhook.expiring_days)?)
        .bind(webhook.active)
        .bind(now)
        .bind(&webhook.id)
        .execute(to)
        .await?;
    Ok(())
}

async fn find(
    from: impl SqliteExecutor<'_>,
    account_id: &str,
    id: &str,
) -> Result<Webhook, StoreError> {
    const QUERY: &str = "SELECT * FROM webhook_details WHERE account_id = ? AND id = ?";
    let row: Option<WebhookRow> = sqlx::query_as(QUERY)
        .bind(account_id)
        .bind(id)
        .fetch_optional(from)
        .await?;
    row.ok_or(StoreError::WebhookNotFound)?.try_into()
}

#[derive(FromRow)]
struct WebhookRow {
    id: String,
    url: String,
    events: String,
    expiring_days: String,
    active: bool,
    created_at: i64,
    updated_at: i64,
    secret_created_at: i64,
    old_secret_ends_at: Option<i64>,
    last_error: Option<String>,
    last_error_at: Option<i64>,
}

impl TryFrom<WebhookRow> for Webhook {
    type Error = StoreError;

    fn try_from(row: WebhookRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            url: row.url,
            events: from_json(&row.events, "a webhook's events")?,
            expiring_days: from_json(&row.expiring_days, "a webhook's days")?,
            active: row.active,
            created_at: row.created_at,
            updated_at: row.updated_at,
            secret_created_at: row.secret_created_at,
            old_secret_ends_at: row.old_secret_ends_at,
            last_error: row.last_error,
            last_error_at: row.last_error_at,
        })
    }
}
