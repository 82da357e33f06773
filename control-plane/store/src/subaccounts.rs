//! Subaccounts: the parts of an account to which users and keys can be restricted.

use latchkey_model::random;
use latchkey_model::selection::Selection;
use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteExecutor};

use super::audit::Event;
use super::page::{BY_CREATION, List, PageQuery, Paged};
use super::policies::{self, PolicyScope};
use super::revision::run_to_completion;
use super::{Authorized, Caller, Store, StoreError, listed_to_json};

/// The maximum number of subaccounts in an account: every policy for all of them lists each one.
pub const MAX_SUBACCOUNTS: i64 = 1_000;

const SUBACCOUNTS: List = List {
    columns: "id, name, created_at",
    table: "subaccounts",
    number: "rowid",
    searched: &["name", "id"],
};

/// A part of an account.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Subaccount {
    /// The subaccount's id: `sub_…`. It is never reused.
    pub id: String,
    /// The name, unique in the account.
    pub name: String,
    /// The time of creation, in Unix seconds.
    pub created_at: i64,
}

impl Store {
    /// Returns a page of the account's subaccounts that are among `selected`, the oldest first.
    pub async fn subaccounts(
        &self,
        account_id: &str,
        selected: &Selection,
        page: &PageQuery,
    ) -> Result<Paged<Subaccount>, StoreError> {
        let listed = listed_to_json(selected)?;
        let filter = |select: &mut QueryBuilder<Sqlite>| {
            select
                .push("account_id = ")
                .push_bind(account_id.to_owned());
            if let Some(ids) = &listed {
                select
                    .push(" AND id IN (SELECT value FROM json_each(")
                    .push_bind(ids.clone())
                    .push("))");
            }
        };
        SUBACCOUNTS
            .page(&self.0.lists, BY_CREATION, page, filter)
            .await
    }

    /// Returns one of the account's subaccounts.
    pub async fn subaccount(&self, account_id: &str, id: &str) -> Result<Subaccount, StoreError> {
        find(&self.0.readers, account_id, id).await
    }
}

impl Authorized {
    /// Adds a subaccount, and returns it with the revision from which on keys for all subaccounts
    /// can act on it. Fails with [`StoreError::SubaccountNameTaken`], and with
    /// [`StoreError::SubaccountLimit`] at [`MAX_SUBACCOUNTS`].
    pub async fn create_subaccount(self, name: String) -> Result<(Subaccount, u64), StoreError> {
        run_to_completion(async move {
            let subaccount = Subaccount {
                id: random::id("sub")?,
                name,
                created_at: self.now,
            };
            let mut authorized = self.begin().await?;
            let (change, account_id) = (&mut authorized.tx, &authorized.caller.account_id);
            let count: i64 =
                sqlx::query_scalar("SELECT COUNT(*) FROM subaccounts WHERE account_id = ?")
                    .bind(account_id)
                    .fetch_one(change.connection())
                    .await?;
            if count >= MAX_SUBACCOUNTS {
                return Err(StoreError::SubaccountLimit);
            }
            sqlx::query(
                "INSERT INTO subaccounts (id, account_id, name, created_at) VALUES (?, ?, ?, ?)",
            )
            .bind(&subaccount.id)
            .bind(account_id)
            .bind(&subaccount.name)
            .bind(subaccount.created_at)
            .execute(change.connection())
            .await?;
            policies::stamp(change, PolicyScope::Account(account_id)).await?;
            let revision = authorized
                .commit(&[Event::created("subaccount.create", &subaccount)])
                .await?;
            Ok((subaccount, revision))
        })
        .await
    }

    /// Renames a subaccount, if `name` is given. Fails with [`StoreError::SubaccountNameTaken`],
    /// and with [`StoreError::SubaccountNotFound`], also if the caller may not act on it.
    pub async fn edit_subaccount(
        self,
        id: String,
        name: Option<String>,
    ) -> Result<Subaccount, StoreError> {
        run_to_completion(async move {
            let mut authorized = self.begin_local().await?;
            if !authorized.caller.subaccounts.has(&id) {
                return Err(StoreError::SubaccountNotFound);
            }
            let before = find(&mut *authorized.tx, &authorized.caller.account_id, &id).await?;
            let mut after = before.clone();
            after.name = name.unwrap_or(after.name);
            if after == before {
                return Ok(after);
            }
            let query = sqlx::query("UPDATE subaccounts SET name = ? WHERE id = ?")
                .bind(&after.name)
                .bind(&id);
            query.execute(&mut *authorized.tx).await?;
            authorized
                .commit(&[Event::edited("subaccount.update", &before, &after)])
                .await?;
            Ok(after)
        })
        .await
    }

    /// Removes a subaccount, and returns the revision from which on no key can act on it. Users and
    /// keys that list it keep it in their lists, so that the removal widens none of them. Fails
    /// with [`StoreError::SubaccountNotFound`], also if the caller may not act on it.
    pub async fn delete_subaccount(self, id: String) -> Result<u64, StoreError> {
        run_to_completion(async move {
            let mut authorized = self.begin().await?;
            let (change, Caller { account_id, subaccounts, .. }) = (&mut authorized.tx, &authorized.caller);
            if !subaccounts.has(&id) {
                return Err(StoreError::SubaccountNotFound);
            }
            let query = "DELETE FROM subaccounts WHERE account_id = ? AND id = ? RETURNING id, name, created_at";
            let query = sqlx::query_as(query).bind(account_id).bind(id);
            let deleted: Option<Subaccount> = query.fetch_optional(change.connection()).await?;
            let deleted = deleted.ok_or(StoreError::SubaccountNotFound)?;
            policies::stamp(change, PolicyScope::Account(account_id)).await?;
            authorized.commit(&[Event::deleted("subaccount.delete", &deleted)]).await
        })
        .await
    }
}

async fn find(
    from: impl SqliteExecutor<'_>,
    account_id: &str,
    id: &str,
) -> Result<Subaccount, StoreError> {
    const QUERY: &str =
        "SELECT id, name, created_at FROM subaccounts WHERE account_id = ? AND id = ?";
    let subaccount = sqlx::query_as(QUERY)
        .bind(account_id)
        .bind(id)
        .fetch_optional(from)
        .await?;
    subaccount.ok_or(StoreError::SubaccountNotFound)
}

/// Returns the ids of the account's subaccounts.
pub(super) async fn ids(
    from: impl SqliteExecutor<'_>,
    account_id: &str,
) -> Result<Vec<String>, StoreError> {
    const QUERY: &str = "SELECT id FROM subaccounts WHERE account_id = ?";
    Ok(sqlx::query_scalar(QUERY)
        .bind(account_id)
        .fetch_all(from)
        .await?)
}
