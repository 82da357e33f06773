//! Deleting users. Their rows stay, because keys and the audit refer to them, but no query returns
//! them as users any longer.

use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection};

use super::{User, UserRow, find, have_administrator};
use crate::audit::Event;
use crate::keys::KeyOwner;
use crate::revision::run_to_completion;
use crate::{Authorized, Caller, StoreError, to_json};

/// A deleted user.
#[derive(Debug)]
pub struct DeletedUser {
    /// The user.
    pub user: User,
    /// The number of keys that are revoked with the user.
    pub revoked_keys: u64,
    /// The revision from which on nodes refuse those keys.
    pub revision: u64,
}

impl Authorized {
    /// Deletes one of the account's users, unless `may` refuses; `may` gets the caller and the
    /// present user. Nodes refuse the user's keys from the returned revision on, and the keys are
    /// removed in steps. A user who is already deleted is returned unchanged. Fails with
    /// [`StoreError::DeletesThemselves`], and with [`StoreError::LastAdministrator`] if the account
    /// would have no user left who can undo every change.
    pub async fn delete_user<E: From<StoreError> + Send + 'static>(
        self,
        id: String,
        may: impl FnOnce(&Caller, &User) -> Result<(), E> + Send + 'static,
    ) -> Result<DeletedUser, E> {
        run_to_completion(async move {
            let mut authorized = self.begin().await?;
            let account_id = authorized.caller.account_id.clone();
            if let Some((user, revoked_keys)) =
                find_deleted(authorized.tx.connection(), &account_id, &id).await?
            {
                may(&authorized.caller, &user)?;
                return Ok(DeletedUser {
                    user,
                    revoked_keys,
                    revision: authorized.revision_before(),
                });
            }
            let user = find(authorized.tx.connection(), &account_id, &id).await?;
            if authorized.caller.user_id == id {
                return Err(StoreError::DeletesThemselves.into());
            }
            authorized.expect(&user)?;
            may(&authorized.caller, &user)?;
            let revoked_keys = authorized
                .remove_keys_of(&account_id, KeyOwner::User(&id))
                .await?;
            delete(authorized.tx.connection(), &id, revoked_keys, self.now).await?;
            if user.is_administrator()
                && !have_administrator(authorized.tx.connection(), &account_id).await?
            {
                return Err(StoreError::LastAdministrator.into());
            }
            let revision = authorized
                .commit(&[Event::deleted("user.delete", &user)])
                .await?;
            Ok(DeletedUser {
                user,
                revoked_keys,
                revision,
            })
        })
        .await
    }
}

/// Returns a user who is already deleted, and the number of keys they had.
async fn find_deleted(
    from: &mut SqliteConnection,
    account_id: &str,
    id: &str,
) -> Result<Option<(User, u64)>, StoreError> {
    #[derive(FromRow)]
    struct DeletedRow {
        #[sqlx(flatten)]
        user: UserRow,
        deleted_keys: i64,
    }
    const QUERY: &str = "SELECT * FROM deleted_users WHERE account_id = ? AND id = ?";
    let row: Option<DeletedRow> = sqlx::query_as(QUERY)
        .bind(account_id)
        .bind(id)
        .fetch_optional(from)
        .await?;
    row.map(|row| Ok((row.user.try_into()?, row.deleted_keys.cast_unsigned())))
        .transpose()
}

/// Marks a user as deleted: they can no longer log in, and their email address is free. The caller
/// has to remove their keys.
async fn delete(
    from: &mut SqliteConnection,
    id: &str,
    keys: u64,
    now: i64,
) -> Result<(), StoreError> {
    const DELETE: &str = "UPDATE users SET email = id, password_hash = '', deleted_at = ?, deleted_keys = ? WHERE id = ?";
    log_out(&mut *from, KeyOwner::User(id)).await?;
    sqlx::query(DELETE)
        .bind(now)
        .bind(keys.cast_signed())
        .bind(id)
        .execute(from)
        .await?;
    Ok(())
}

/// Deletes at most `limit` users of a closed account, and returns how many there were.
pub(crate) async fn delete_some(
    from: &mut SqliteConnection,
    account_id: &str,
    limit: u32,
    now: i64,
) -> Result<u64, StoreError> {
    const SOME: &str = "SELECT id FROM users WHERE account_id = ? AND deleted_at IS NULL LIMIT ?";
    const LOG_OUT: &str = "DELETE FROM sessions WHERE user_id IN (SELECT value FROM json_each(?))";
    const DELETE: &str = "UPDATE users SET email = id, password_hash = '', deleted_at = ? \
         WHERE id IN (SELECT value FROM json_each(?))";
    let ids: Vec<String> = sqlx::query_scalar(SOME)
        .bind(account_id)
        .bind(limit)
        .fetch_all(&mut *from)
        .await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let json = to_json(&ids)?;
    sqlx::query(LOG_OUT).bind(&json).execute(&mut *from).await?;
    Ok(sqlx::query(DELETE)
        .bind(now)
        .bind(&json)
        .execute(from)
        .await?
        .rows_affected())
}

/// Ends all sessions of a user, or of an account's users.
pub(crate) async fn log_out(
    from: &mut SqliteConnection,
    owner: KeyOwner<'_>,
) -> Result<(), StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "DELETE FROM sessions WHERE user_id IN (SELECT id FROM users WHERE ",
    );
    match owner {
        KeyOwner::Account(id) => query.push("account_id = ").push_bind(id),
        KeyOwner::User(id) => query.push("id = ").push_bind(id),
    };
    query.push(")");
    query.build().execute(from).await?;
    Ok(())
}
