//! Sessions. They are found by the SHA-256 of their token, and end after a time without use.

use latchkey_model::client_network::ClientNetwork;
use latchkey_model::secret::TokenHash;

use super::audit::{self, Event, Origin, Target};
use super::{Actor, Authorized, Caller, Credentials, Store, StoreError, callers, logins};

/// The number of seconds without use after which a session ends.
pub const IDLE_SECONDS: i64 = 30 * 60;

/// The minimum number of seconds between two recorded uses. No session ends early because of that,
/// but it can end this much late.
const GRANULARITY_SECONDS: i64 = 30;

impl Store {
    /// Begins a session for a user whose password was verified against `user`, remembers the
    /// client, and deletes sessions that have ended. Returns `false`, and begins no session, if the
    /// user's password was changed since, if the user was deleted, or if the user or the account is
    /// disabled.
    pub async fn begin_session(
        &self,
        token: &TokenHash,
        user: &Credentials,
        client: ClientNetwork,
        origin: &Origin,
        now: i64,
    ) -> Result<bool, StoreError> {
        const INSERT: &str = "INSERT INTO sessions (token_hash, user_id, expires_at) \
             SELECT ?, u.id, ? FROM users u JOIN accounts a ON a.id = u.account_id \
             WHERE u.id = ? AND u.password_hash = ? AND u.deleted_at IS NULL AND NOT u.disabled AND NOT a.disabled \
             AND a.closed_at IS NULL";
        let mut transaction = self.0.begin().await?;
        sqlx::query("DELETE FROM sessions WHERE expires_at <= ?")
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        let begun = sqlx::query(INSERT)
            .bind(token.as_bytes())
            .bind(expiry(now))
            .bind(&user.user_id)
            .bind(&user.password_hash)
            .execute(&mut *transaction)
            .await?;
        let begun = begun.rows_affected() == 1;
        if begun {
            let actor = Actor::User {
                id: user.user_id.clone(),
                email: user.email.clone(),
            };
            let event = Event::done("session.create", Target::the("session"));
            audit::write(
                &mut transaction,
                &user.account_id,
                &actor,
                origin,
                &[event],
                now,
            )
            .await?;
            logins::remember_client(&mut transaction, &user.user_id, client, now).await?;
        }
        transaction.commit().await?;
        Ok(begun)
    }

    /// Returns the caller of a session that has not ended, and records the use.
    pub async fn use_session(
        &self,
        token: &TokenHash,
        now: i64,
    ) -> Result<Option<Caller>, StoreError> {
        let Some((caller, expires_at)) = callers::session(&self.0.readers, token, now).await?
        else {
            return Ok(None);
        };
        if expiry(now) - expires_at >= GRANULARITY_SECONDS {
            sqlx::query("UPDATE sessions SET expires_at = ? WHERE token_hash = ?")
                .bind(expiry(now))
                .bind(token.as_bytes())
                .execute(self.0.writer()?)
                .await?;
        }
        Ok(Some(caller))
    }
}

impl Authorized {
    /// Ends the session of the caller.
    pub async fn end_session(self, token: TokenHash) -> Result<(), StoreError> {
        let mut authorized = self.begin_local().await?;
        let query = sqlx::query("DELETE FROM sessions WHERE token_hash = ?").bind(token.as_bytes());
        query.execute(&mut *authorized.tx).await?;
        authorized
            .commit(&[Event::done("session.delete", Target::the("session"))])
            .await
    }
}

fn expiry(used_at: i64) -> i64 {
    used_at.saturating_add(IDLE_SECONDS + GRANULARITY_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenMode;
    use latchkey_model::secret::SessionToken;

    #[tokio::test]
    async fn session_needs_the_current_password() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(
            &directory.path().join("latchkey.db"),
            OpenMode::CreateIfMissing,
        )
        .await
        .unwrap();
        store
            .add_admin("admin@localhost", "verified", false, 0)
            .await
            .unwrap();
        let verified = store.credentials("admin@localhost").await.unwrap().unwrap();
        let begins = async || {
            let token = SessionToken::generate().unwrap().hash();
            let begun = store
                .begin_session(
                    &token,
                    &verified,
                    ClientNetwork::from_address(None),
                    &Origin::default(),
                    0,
                )
                .await
                .unwrap();
            assert_eq!(store.use_session(&token, 0).await.unwrap().is_some(), begun);
            begun
        };
        let set = async |statement| {
            sqlx::query(statement)
                .execute(&store.0.writer)
                .await
                .unwrap()
        };
        assert!(begins().await);
        for (change, undo) in [
            (
                "UPDATE users SET password_hash = 'another'",
                "UPDATE users SET password_hash = 'verified'",
            ),
            (
                "UPDATE users SET deleted_at = 1",
                "UPDATE users SET deleted_at = NULL",
            ),
            (
                "UPDATE users SET disabled = TRUE",
                "UPDATE users SET disabled = FALSE",
            ),
            (
                "UPDATE accounts SET disabled = TRUE",
                "UPDATE accounts SET disabled = FALSE",
            ),
            (
                "UPDATE accounts SET closed_at = 1",
                "UPDATE accounts SET closed_at = NULL",
            ),
        ] {
            set(change).await;
            assert!(!begins().await, "{change}");
            set(undo).await;
            assert!(begins().await, "{undo}");
        }
    }
}
