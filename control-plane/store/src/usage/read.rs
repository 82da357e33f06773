//! The present usage of a key.

use latchkey_policy::limit::Window;
use latchkey_policy::meter::Outcome;
use latchkey_policy::verdict::Code;
use sqlx::SqliteConnection;

use super::{HOUR, kind};
use crate::{Store, StoreError};

/// The present usage of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUsage {
    /// The requests that were admitted since midnight, UTC.
    pub requests_today: u64,
    /// The requests that were admitted since midnight on the first of the month, UTC.
    pub requests_this_month: u64,
    /// The requests that were reported since then, by the code of their verdict, in the order in
    /// which verdicts are reported.
    pub by_code: [(&'static str, u64); Outcome::ALL.len()],
}

impl Store {
    /// Returns the usage of the account's key at `now`. A key of another account has none.
    pub async fn key_usage(
        &self,
        account_id: &str,
        key_id: &str,
        now: i64,
    ) -> Result<KeyUsage, StoreError> {
        const BY_CODE: &str = "SELECT code, SUM(requests) FROM usage_buckets WHERE key_seq = ? AND hour >= ? GROUP BY code";
        let mut transaction = self.0.readers.begin().await?;
        let query = sqlx::query_scalar("SELECT seq FROM keys WHERE account_id = ? AND id = ?");
        let key: Option<i64> = query
            .bind(account_id)
            .bind(key_id)
            .fetch_optional(&mut *transaction)
            .await?;
        let requests_today = admitted(&mut transaction, key, Window::Day, now).await?;
        let requests_this_month = admitted(&mut transaction, key, Window::Month, now).await?;
        let month = Window::Month.number(now);
        let begin = Window::Month.end(month.saturating_sub(1));
        let query = sqlx::query_as(BY_CODE)
            .bind(key)
            .bind(begin.div_euclid(HOUR));
        let rows: Vec<(String, i64)> = query.fetch_all(&mut *transaction).await?;
        let by_code = Outcome::ALL.map(|outcome| {
            let code = Code::from(outcome).as_str();
            let requests = rows
                .iter()
                .find_map(|(stored, requests)| (stored == code).then_some(*requests));
            (code, requests.unwrap_or(0).cast_unsigned())
        });
        Ok(KeyUsage {
            requests_today,
            requests_this_month,
            by_code,
        })
    }
}

/// Returns how many requests all nodes together have admitted with a key in the window that
/// contains `now`, or 0 without a key.
pub(crate) async fn admitted(
    from: &mut SqliteConnection,
    key: Option<i64>,
    window: Window,
    now: i64,
) -> Result<u64, StoreError> {
    const QUERY: &str =
        "SELECT count FROM window_counts WHERE kind = ? AND number = ? AND key_seq = ?";
    let query = sqlx::query_scalar(QUERY)
        .bind(kind(window))
        .bind(window.number(now))
        .bind(key);
    let count: Option<i64> = query.fetch_optional(from).await?;
    Ok(count.unwrap_or(0).cast_unsigned())
}
