//! The list of deliveries with their results, which are kept for some days.

use sqlx::{FromRow, QueryBuilder};

use crate::{Store, StoreError};

/// The maximum number of deliveries that are shown.
const SHOWN: u32 = 100;

/// The number of seconds that deliveries are kept once they are done.
pub(super) const KEPT: i64 = 7 * 86_400;

/// A delivery, as the API shows it. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Delivery {
    /// The delivery's id: `msg_…`
    pub id: String,
    /// The type of its event.
    pub event: String,
    /// The time of the event.
    pub created_at: i64,
    /// The time at which it was last requested again.
    pub redelivered_at: Option<i64>,
    /// The number of attempts, counted from the last request to send it again, if any.
    pub attempts: u32,
    /// The time of the next attempt, unless it is done.
    pub next_at: Option<i64>,
    /// The time at which it was delivered or given up.
    pub done_at: Option<i64>,
    /// True if the receiver accepted it.
    pub delivered: bool,
    /// The HTTP status of the last attempt's response.
    pub last_status: Option<u16>,
    /// The error of the last attempt.
    pub last_error: Option<String>,
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is still to be sent.
    Pending,
    /// The receiver accepted it.
    Delivered,
    /// It was given up.
    Failed,
}

impl DeliveryState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    /// Returns the name, such as `pending`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl Delivery {
    /// Returns its state.
    pub fn state(&self) -> DeliveryState {
        match self.done_at {
            None => DeliveryState::Pending,
            Some(_) if self.delivered => DeliveryState::Delivered,
            Some(_) => DeliveryState::Failed,
        }
    }
}

impl Store {
    /// Returns the newest deliveries to one of the account's webhooks: of `state`, or of any. Fails
    /// with [`StoreError::WebhookNotFound`].
    pub async fn webhook_deliveries(
        &self,
        account_id: &str,
        webhook_id: &str,
        state: Option<DeliveryState>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let condition = match state {
            None => "",
            Some(DeliveryState::Pending) => " AND done_at IS NULL",
            Some(DeliveryState::Delivered) => " AND delivered",
            Some(DeliveryState::Failed) => " AND done_at IS NOT NULL AND NOT delivered",
        };
        let mut query = QueryBuilder::new("SELECT * FROM delivery_details WHERE webhook_id = ");
        query.push_bind(webhook_id).push(condition);
        query.push(" ORDER BY seq DESC LIMIT ").push_bind(SHOWN);
        let mut transaction = self.0.lists.begin().await?;
        super::find(&mut *transaction, account_id, webhook_id).await?;
        Ok(query.build_query_as().fetch_all(&mut *transaction).await?)
    }

    /// Deletes deliveries that were done long ago, and the records of announced expiries that are
    /// past.
    pub async fn clean_up_webhooks(&self, now: i64) -> Result<(), StoreError> {
        const DONE: &str = "DELETE FROM webhook_deliveries WHERE seq IN \
             (SELECT seq FROM webhook_deliveries WHERE done_at < ? LIMIT ?)";
        const PAST: &str = "DELETE FROM webhook_expiries WHERE (webhook_id, key_seq, expires_at, days) IN \
             (SELECT webhook_id, key_seq, expires_at, days FROM webhook_expiries WHERE expires_at < ? LIMIT ?)";
        let before = now.saturating_sub(KEPT);
        self.delete(|| sqlx::query(DONE).bind(before)).await?;
        self.delete(|| sqlx::query(PAST).bind(before)).await
    }
}
