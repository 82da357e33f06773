//! Accounts and users.

use sqlx::FromRow;

use super::{Store, StoreError};
use crate::random;
use crate::tier::Tier;

/// Who logs in, and what their password is verified against.
#[derive(Debug, FromRow)]
pub struct Credentials {
    /// `usr_…`
    pub user_id: String,
    /// `acc_…`
    pub account_id: String,
    /// As it was first given, in lower case.
    pub email: String,
    /// A PHC string.
    pub password_hash: String,
    /// The user or the account may not act at present.
    pub disabled: bool,
}

/// On whose behalf a request is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// `acc_…`
    pub account_id: String,
    /// `usr_…`
    pub user_id: String,
    /// The account's, and so that of a key which names none.
    pub tier: Tier,
}

impl Store {
    /// The user with that email address, in whatever case.
    pub async fn credentials(&self, email: &str) -> Result<Option<Credentials>, StoreError> {
        const QUERY: &str = "SELECT u.id AS user_id, u.account_id, u.email, u.password_hash, u.disabled OR a.disabled AS disabled \
             FROM users u JOIN accounts a ON a.id = u.account_id WHERE u.email = ?";
        let email = email.trim().to_lowercase();
        Ok(sqlx::query_as(QUERY).bind(email).fetch_optional(&self.0.readers).await?)
    }

    /// Adds a user to the first account, and that account if there is none yet.
    pub(crate) async fn add_admin(&self, email: &str, password_hash: &str, now: i64) -> Result<(), StoreError> {
        let mut transaction = self.0.writer.begin_with("BEGIN IMMEDIATE").await?;
        let account = sqlx::query_scalar("SELECT id FROM accounts ORDER BY created_at, id LIMIT 1")
            .fetch_optional(&mut *transaction)
            .await?;
        let account: String = match account {
            Some(account) => account,
            None => {
                let account = random::id("acc")?;
                sqlx::query("INSERT INTO accounts (id, name, tier, created_at) VALUES (?, 'default', ?, ?)")
                    .bind(&account)
                    .bind(Tier::Basic.as_str())
                    .bind(now)
                    .execute(&mut *transaction)
                    .await?;
                account
            }
        };
        sqlx::query("INSERT INTO users (id, account_id, email, password_hash, created_at) VALUES (?, ?, ?, ?, ?)")
            .bind(random::id("usr")?)
            .bind(account)
            .bind(email.trim().to_lowercase())
            .bind(password_hash)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }
}
