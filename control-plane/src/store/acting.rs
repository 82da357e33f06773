//! Changes that somebody who is logged in asks for.
//!
//! **Invariant: such a change is made only if, in its own transaction, the session lives and its user holds what the
//! change takes.** What a handler saw before the request's body was there, or before a password was hashed, can be
//! over by then. The functions of [`Acting`] have their transaction and the caller from [`Acting::begin`] or
//! [`Acting::begin_unseen`], and from nowhere else.

use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::change::Change;
use super::{Caller, Store, StoreError, sessions};
use crate::secret::TokenHash;

/// The store in the hands of a session, for one change.
pub(crate) struct Acting {
    store: Store,
    token: TokenHash,
    permission: &'static str,
    /// Unix seconds.
    pub(super) now: i64,
}

impl Store {
    /// For a change that takes `permission`.
    pub(crate) fn acting(&self, token: TokenHash, permission: &'static str, now: i64) -> Acting {
        Acting { store: self.clone(), token, permission, now }
    }
}

impl Acting {
    /// The transaction of a change that nodes decide by, and on whose behalf it is made.
    pub(super) async fn begin(&self) -> Result<(Change, Caller), StoreError> {
        let mut change = Change::begin(&self.store).await?;
        let caller = self.caller(change.connection()).await?;
        Ok((change, caller))
    }

    /// The same for a change that nodes have nothing to do with.
    pub(super) async fn begin_unseen(&self) -> Result<(Transaction<'static, Sqlite>, Caller), StoreError> {
        let mut transaction = self.store.0.writer.begin_with("BEGIN IMMEDIATE").await?;
        let caller = self.caller(&mut transaction).await?;
        Ok((transaction, caller))
    }

    /// Fails with [`StoreError::SessionEnded`] and [`StoreError::PermissionMissing`].
    async fn caller(&self, transaction: &mut SqliteConnection) -> Result<Caller, StoreError> {
        let session = sessions::find(transaction, &self.token, self.now).await?;
        let (caller, _) = session.ok_or(StoreError::SessionEnded)?;
        if caller.holds(self.permission) { Ok(caller) } else { Err(StoreError::PermissionMissing(self.permission)) }
    }
}
