//! Accounts, and those who act for them.

mod change;

use latchkey_model::{random, text};
use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection};

use super::audit::{self, Event, Origin};
use super::page::{BY_CREATION, List, PageQuery, Paged};
use super::users::{self, NewUser};
use super::{Actor, Store, StoreError, disclosures, expired};

pub use change::{AccountChange, NewAccount};

/// The tier of an account that is created without one.
const DEFAULT_TIER: &str = "basic";

/// An account, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Account {
    /// The account's id: `acc_…`
    pub id: String,
    /// The name that the operator gave it.
    pub name: String,
    /// The highest tier that its keys may have. It does not bind the operator's account.
    pub tier: String,
    /// The number of keys that it may have, not counting expired ones. `None`: any number.
    pub max_keys: Option<u32>,
    /// Its users and keys are refused at present.
    pub disabled: bool,
    /// It is the operator's account: its users decide about what all accounts share.
    pub operator: bool,
    /// The time of creation, in Unix seconds.
    pub created_at: i64,
    /// The time of closing, in Unix seconds. `None` while the account is open.
    pub closed_at: Option<i64>,
    /// The number of keys that count towards `max_keys`: neither revoked nor expired.
    pub keys: i64,
    /// The number of its users, not counting deleted ones.
    pub users: i64,
}

const ACCOUNTS: List = List {
    columns: "*",
    table: "account_details",
    number: "seq",
    searched: &["name", "id"],
};

impl Store {
    /// Returns whether [`add_admin`](Self::add_admin) would add an administrator.
    pub async fn lacks_admin(&self) -> Result<bool, StoreError> {
        let mut transaction = self.0.readers.begin().await?;
        match operators_account(&mut transaction).await? {
            Some(account) => Ok(!users::have_administrator(&mut transaction, &account).await?),
            None => Ok(true),
        }
    }

    /// Adds an administrator to the operator's account, and creates that account if there is none.
    /// If the account has an administrator who is not disabled, it adds none, except for a
    /// `recovery`. The check is made in the same transaction.
    pub async fn add_admin(
        &self,
        email: &str,
        password_hash: &str,
        recovery: bool,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut transaction = self.0.begin().await?;
        let account = match operators_account(&mut transaction).await? {
            Some(account)
                if !recovery && users::have_administrator(&mut transaction, &account).await? =>
            {
                return Ok(());
            }
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
        let admin = NewUser::administrator(text::normalized_email(email), password_hash.to_owned());
        disclosures::free_email(&mut transaction, &admin.email).await?;
        let admin = users::insert(&mut transaction, &account, admin, now).await?;
        let event = Event::created("user.create", &admin);
        audit::write(
            &mut transaction,
            &account,
            &Actor::System,
            &Origin::default(),
            &[event],
            now,
        )
        .await?;
        Ok(transaction.commit().await?)
    }
}

impl Store {
    /// Returns a page of the accounts that are not closed, the oldest first.
    pub async fn accounts(&self, page: &PageQuery, now: i64) -> Result<Paged<Account>, StoreError> {
        let open = |select: &mut QueryBuilder<Sqlite>| _ = select.push("closed_at IS NULL");
        let mut found: Paged<Account> = ACCOUNTS
            .page(&self.0.lists, BY_CREATION, page, open)
            .await?;
        let mut read = self.0.lists.begin().await?;
        for account in &mut found.rows {
            account.leave_out_expired(&mut read, now).await?;
        }
        Ok(found)
    }

    /// Returns one account, closed or not.
    pub async fn account(&self, id: &str, now: i64) -> Result<Account, StoreError> {
        find(&mut *self.0.readers.begin().await?, id, now).await
    }
}

impl Account {
    /// Subtracts the expired keys from `keys`, which counts all keys in the snapshot.
    async fn leave_out_expired(
        &mut self,
        from: &mut SqliteConnection,
        now: i64,
    ) -> Result<(), StoreError> {
        let expired = expired::count(from, &self.id, now).await?;
        self.keys = self.keys.saturating_sub(expired).max(0);
        Ok(())
    }
}

async fn find(from: &mut SqliteConnection, id: &str, now: i64) -> Result<Account, StoreError> {
    const QUERY: &str = "SELECT * FROM account_details WHERE id = ?";
    let account = sqlx::query_as(QUERY)
        .bind(id)
        .fetch_optional(&mut *from)
        .await?;
    let mut account: Account = account.ok_or(StoreError::AccountNotFound)?;
    account.leave_out_expired(from, now).await?;
    Ok(account)
}

/// Returns the id of the operator's account, which is the first account.
async fn operators_account(from: &mut SqliteConnection) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar("SELECT id FROM accounts WHERE operator")
        .fetch_optional(from)
        .await?)
}
