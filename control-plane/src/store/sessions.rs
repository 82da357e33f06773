//! Sessions: found by the SHA-256 of their token, gone after a time without use.

use super::{Caller, Store, StoreError};
use crate::secret::TokenHash;
use crate::tier::Tier;

/// A session ends when it has not been used for so many seconds.
pub(crate) const IDLE_SECONDS: i64 = 30 * 60;

/// Use is written down at most so often; so that no session ends early, it can end this much late.
const GRANULARITY_SECONDS: i64 = 30;

impl Store {
    /// Begins a session, and clears away those that have ended.
    pub(crate) async fn begin_session(&self, token: &TokenHash, user_id: &str, now: i64) -> Result<(), StoreError> {
        let mut transaction = self.0.writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM sessions WHERE expires_at <= ?").bind(now).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO sessions (token_hash, user_id, expires_at) VALUES (?, ?, ?)")
            .bind(token.as_bytes())
            .bind(user_id)
            .bind(expiry(now))
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Whose session it is, if it is still one; this is also a use of it.
    pub(crate) async fn use_session(&self, token: &TokenHash, now: i64) -> Result<Option<Caller>, StoreError> {
        const QUERY: &str = "SELECT s.expires_at, u.account_id, u.id, a.tier \
             FROM sessions s JOIN users u ON u.id = s.user_id JOIN accounts a ON a.id = u.account_id \
             WHERE s.token_hash = ? AND s.expires_at > ? AND NOT u.disabled AND NOT a.disabled";
        let found: Option<(i64, String, String, String)> =
            sqlx::query_as(QUERY).bind(token.as_bytes()).bind(now).fetch_optional(&self.0.readers).await?;
        let Some((expires_at, account_id, user_id, tier)) = found else {
            return Ok(None);
        };
        if expiry(now) - expires_at >= GRANULARITY_SECONDS {
            sqlx::query("UPDATE sessions SET expires_at = ? WHERE token_hash = ?")
                .bind(expiry(now))
                .bind(token.as_bytes())
                .execute(&self.0.writer)
                .await?;
        }
        let tier = Tier::parse(&tier).ok_or(StoreError::Damaged("an account's tier"))?;
        Ok(Some(Caller { account_id, user_id, tier }))
    }

    /// Ends a session.
    pub(crate) async fn end_session(&self, token: &TokenHash) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM sessions WHERE token_hash = ?").bind(token.as_bytes()).execute(&self.0.writer).await?;
        Ok(())
    }
}

fn expiry(used_at: i64) -> i64 {
    used_at.saturating_add(IDLE_SECONDS + GRANULARITY_SECONDS)
}
