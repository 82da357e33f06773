//! Accounts, and those who act for them.

use sqlx::{FromRow, SqliteConnection};

use super::audit::{self, Event, Origin};
use super::change::{Change, to_its_end};
use super::policies::{self, Of};
use super::users::{self, NewUser};
use super::{Actor, Store, StoreError};
use crate::authority::Authority;
use crate::random;
use crate::role::Role;
use crate::selection::Selection;

/// The tier of an account that was given no other.
const DEFAULT_TIER: &str = "basic";

/// Who logs in, and what their password is verified against.
#[derive(Debug, FromRow)]
pub struct Credentials {
    /// `usr_…`
    pub user_id: String,
    /// `acc_…`
    pub account_id: String,
    /// In lower case.
    pub email: String,
    /// A PHC string.
    pub password_hash: String,
}

impl Store {
    /// The user with that email address, in whatever case.
    pub async fn credentials(&self, email: &str) -> Result<Option<Credentials>, StoreError> {
        const QUERY: &str = "SELECT id AS user_id, account_id, email, password_hash FROM users WHERE email = ?";
        let email = email.trim().to_lowercase();
        Ok(sqlx::query_as(QUERY).bind(email).fetch_optional(&self.0.readers).await?)
    }

    /// Whether [`add_admin`](Self::add_admin) would add one.
    pub(crate) async fn lacks_admin(&self) -> Result<bool, StoreError> {
        let mut transaction = self.0.readers.begin().await?;
        match first_account(&mut transaction).await? {
            Some(account) => Ok(!users::have_administrator(&mut transaction, &account).await?),
            None => Ok(true),
        }
    }

    /// Adds an administrator to the first account, and that account if there is none yet, unless it has one who is not
    /// disabled, and this is no `recovery`: whether it has is decided in the same transaction.
    pub(crate) async fn add_admin(
        &self,
        email: &str,
        password_hash: &str,
        recovery: bool,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut transaction = self.0.writer.begin_with("BEGIN IMMEDIATE").await?;
        let account = match first_account(&mut transaction).await? {
            Some(account) if !recovery && users::have_administrator(&mut transaction, &account).await? => return Ok(()),
            Some(account) => account,
            None => {
                let account = random::id("acc")?;
                sqlx::query(
                    "INSERT INTO accounts (id, name, tier, operator, created_at) \
                     VALUES (?, 'default', ?, TRUE, ?)",
                )
                .bind(&account)
                .bind(DEFAULT_TIER)
                .bind(now)
                .execute(&mut *transaction)
                .await?;
                account
            }
        };
        let admin = NewUser {
            email: email.trim().to_lowercase(),
            password_hash: password_hash.to_owned(),
            authority: Authority { roles: vec![Role::ADMIN], permissions: Vec::new() },
            subaccounts: Selection::All,
        };
        let admin = users::insert(&mut transaction, &account, admin, now).await?;
        let event = Event::created("user.create", &admin);
        audit::write(&mut transaction, &account, &Actor::System, &Origin::default(), &event, now).await?;
        Ok(transaction.commit().await?)
    }

    /// Lets an account's users and keys act no more, or again. Returns the revision from which on they cannot, or can;
    /// who is logged in is logged out. Fails with [`StoreError::AccountNotFound`].
    pub async fn set_account_disabled(&self, account_id: &str, disabled: bool) -> Result<u64, StoreError> {
        let (store, account_id) = (self.clone(), account_id.to_owned());
        to_its_end(async move {
            let mut change = Change::begin(&store).await?;
            let query = sqlx::query("UPDATE accounts SET disabled = ? WHERE id = ?").bind(disabled).bind(&account_id);
            if query.execute(change.connection()).await?.rows_affected() == 0 {
                return Err(StoreError::AccountNotFound);
            }
            let sessions = "DELETE FROM sessions WHERE user_id IN (SELECT id FROM users WHERE account_id = ?)";
            sqlx::query(sessions).bind(&account_id).execute(change.connection()).await?;
            policies::stamp(&mut change, Of::Account(&account_id)).await?;
            change.commit().await
        })
        .await
    }
}

/// The oldest account's id.
async fn first_account(from: &mut SqliteConnection) -> Result<Option<String>, StoreError> {
    const QUERY: &str = "SELECT id FROM accounts ORDER BY created_at, id LIMIT 1";
    Ok(sqlx::query_scalar(QUERY).fetch_optional(from).await?)
}
