//! Deleting users. Their rows stay, as keys and the audit refer to them, and are found by nobody any more.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{User, find, have_administrator};
use crate::store::audit::Event;
use crate::store::change::to_its_end;
use crate::store::{Acting, Caller, StoreError};

/// One user, or all of an account.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum Whose<'a> {
    Account(&'a str),
    User(&'a str),
}

impl Whose<'_> {
    /// The condition on rows of `users`.
    fn push(self, query: &mut QueryBuilder<Sqlite>) {
        match self {
            Self::Account(id) => query.push("account_id = ").push_bind(id),
            Self::User(id) => query.push("id = ").push_bind(id),
        };
    }
}

/// A user who was deleted.
#[derive(Debug)]
pub(crate) struct DeletedUser {
    /// Who it was.
    pub(crate) user: User,
    /// So many keys of theirs went along.
    pub(crate) revoked_keys: u64,
    /// From this revision on nodes refuse those.
    pub(crate) revision: u64,
}

impl Acting {
    /// Deletes one of the account's users with all their keys, unless `may` refuses; it sees the caller and the user as
    /// they are. Fails with [`StoreError::DeletesThemselves`], and with [`StoreError::LastAdministrator`] if the account
    /// would be left without a user who can undo everything.
    pub(crate) async fn delete_user<E: From<StoreError> + Send + 'static>(
        self,
        id: String,
        may: impl FnOnce(&Caller, &User) -> Result<(), E> + Send + 'static,
    ) -> Result<DeletedUser, E> {
        to_its_end(async move {
            let mut deed = self.begin().await?;
            let account_id = deed.caller.account_id.clone();
            let user = find(deed.on.connection(), &account_id, &id).await?;
            if deed.caller.user_id == id {
                return Err(StoreError::DeletesThemselves.into());
            }
            may(&deed.caller, &user)?;
            let revoked_keys = deed.revoke_keys_of(&account_id, Whose::User(&id)).await?;
            delete(deed.on.connection(), Whose::User(&id), self.now).await?;
            if user.is_administrator() && !have_administrator(deed.on.connection(), &account_id).await? {
                return Err(StoreError::LastAdministrator.into());
            }
            let revision = deed.commit(&[Event::deleted("user.delete", &user)]).await?;
            Ok(DeletedUser { user, revoked_keys, revision })
        })
        .await
    }
}

/// Deletes a user or an account's users: they log in no more, and their email addresses are free. Their keys have to be
/// revoked in the same change.
pub(in crate::store) async fn delete(
    from: &mut SqliteConnection,
    whose: Whose<'_>,
    now: i64,
) -> Result<(), StoreError> {
    log_out(from, whose).await?;
    let mut query = QueryBuilder::<Sqlite>::new("UPDATE users SET email = id, password_hash = '', deleted_at = ");
    query.push_bind(now).push(" WHERE deleted_at IS NULL AND ");
    whose.push(&mut query);
    query.build().execute(from).await?;
    Ok(())
}

/// Ends all sessions of a user, or of an account's users.
pub(in crate::store) async fn log_out(from: &mut SqliteConnection, whose: Whose<'_>) -> Result<(), StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM sessions WHERE user_id IN (SELECT id FROM users WHERE ");
    whose.push(&mut query);
    query.push(")");
    query.build().execute(from).await?;
    Ok(())
}
