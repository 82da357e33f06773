//! Changes that are made on behalf of a caller with a credential.
//!
//! **Invariant: such a change is made only if, in its own transaction, the credential is valid and
//! its holder has the permission that the change needs; and it is committed only with its audit
//! entry.** What a handler checked earlier can be outdated, because reading the request's body and
//! hashing a password take time. The functions of [`Authorized`] get their transaction and the caller
//! from [`Authorized::begin`] or [`Authorized::begin_local`], and from nowhere else.

use latchkey_model::entity_tag::{IfMatch, Tagged};
use serde_json::Value;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::audit::{self, Event, Origin};
use super::repeatable::{self, Outcome, Recorded, RepeatableCall};
use super::revision::RevisionTx;
use super::{Caller, Credential, Lasting, Store, StoreError, callers};

/// The store, used by the holder of one credential for one change.
pub struct Authorized {
    store: Store,
    pub(super) credential: Credential,
    permission: Option<&'static str>,
    lasting: Option<Lasting>,
    origin: Origin,
    if_match: Option<IfMatch>,
    call: Option<RepeatableCall>,
    /// The present time, in Unix seconds.
    pub(super) now: i64,
}

impl Store {
    /// Returns the store for a change that needs `permission`, or none.
    pub fn acting(
        &self,
        credential: Credential,
        permission: Option<&'static str>,
        origin: Origin,
        now: i64,
    ) -> Authorized {
        Authorized {
            store: self.clone(),
            credential,
            permission,
            lasting: None,
            origin,
            if_match: None,
            call: None,
            now,
        }
    }
}

/// A change that a caller is making. Dropping it rolls everything back.
pub(super) struct AuthorizedTx<T> {
    /// The transaction in which the change is made.
    pub(super) tx: T,
    /// The caller on whose behalf it is made.
    pub(super) caller: Caller,
    pub(super) origin: Origin,
    /// The `If-Match` condition of the caller. `None` once it was compared.
    if_match: Option<IfMatch>,
    /// The repeatable call, in the form in which it is stored.
    call: Option<RepeatableCall>,
    /// The present time, in Unix seconds.
    pub(super) now: i64,
}

impl Authorized {
    /// Marks the change as one that creates or edits something lasting, to which the restrictions
    /// of a calling key would not apply.
    pub fn lasting(self, lasting: Lasting) -> Self {
        Self {
            lasting: Some(lasting),
            ..self
        }
    }

    /// Makes the change conditional on `If-Match`.
    pub fn conditional(self, if_match: Option<IfMatch>) -> Self {
        Self { if_match, ..self }
    }

    /// Marks the call as repeatable: repeating it has no second effect.
    pub fn repeatable(self, call: Option<RepeatableCall>) -> Self {
        Self { call, ..self }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Begins a change that nodes decide by, which advances the revision.
    pub(super) async fn begin(&self) -> Result<AuthorizedTx<RevisionTx>, StoreError> {
        let mut change = RevisionTx::begin(&self.store).await?;
        let caller = self.caller(change.connection()).await?;
        Ok(self.authorized(change, caller))
    }

    /// Begins a change that does not concern nodes, which keeps the revision.
    pub(super) async fn begin_local(
        &self,
    ) -> Result<AuthorizedTx<Transaction<'static, Sqlite>>, StoreError> {
        let mut transaction = self.store.0.begin().await?;
        let caller = self.caller(&mut transaction).await?;
        Ok(self.authorized(transaction, caller))
    }

    /// Begins as [`begin`](Self::begin) does, unless the call is a repeated one.
    pub(super) async fn begin_repeatable(
        &self,
    ) -> Result<Outcome<AuthorizedTx<RevisionTx>>, StoreError> {
        let mut authorized = self.begin().await?;
        let recorded = self
            .recorded(authorized.tx.connection(), &authorized.caller)
            .await?;
        Ok(recorded.map_or(Outcome::New(authorized), Outcome::Repeated))
    }

    /// Begins as [`begin_local`](Self::begin_local) does, unless the call is a repeated one.
    pub(super) async fn begin_repeatable_local(
        &self,
    ) -> Result<Outcome<AuthorizedTx<Transaction<'static, Sqlite>>>, StoreError> {
        let mut authorized = self.begin_local().await?;
        let recorded = self
            .recorded(&mut authorized.tx, &authorized.caller)
            .await?;
        Ok(recorded.map_or(Outcome::New(authorized), Outcome::Repeated))
    }

    async fn recorded(
        &self,
        from: &mut SqliteConnection,
        caller: &Caller,
    ) -> Result<Option<Recorded>, StoreError> {
        match &self.call {
            Some(call) => {
                repeatable::find(from, &self.store.0.at_rest, caller, call, self.now).await
            }
            None => Ok(None),
        }
    }

    fn authorized<T>(&self, tx: T, caller: Caller) -> AuthorizedTx<T> {
        let call = self
            .call
            .as_ref()
            .map(|call| call.stored(&self.store.0.at_rest));
        let if_match = self.if_match.clone();
        AuthorizedTx {
            tx,
            caller,
            origin: self.origin.clone(),
            if_match,
            call,
            now: self.now,
        }
    }

    /// Fails with [`StoreError::SessionEnded`], [`StoreError::KeyRefused`],
    /// [`StoreError::PermissionMissing`] and [`StoreError::KeyRestricted`].
    async fn caller(&self, transaction: &mut SqliteConnection) -> Result<Caller, StoreError> {
        let at_rest = &self.store.0.at_rest;
        let caller = callers::find(
            transaction,
            at_rest,
            &self.credential,
            self.origin.address,
            self.now,
        )
        .await?;
        if let Some(permission) = self
            .permission
            .filter(|permission| !caller.holds(permission))
        {
            return Err(StoreError::PermissionMissing(permission));
        }
        if let Some(lasting) = self.lasting
            && let Some(what) = caller.kept_to(lasting)
        {
            return Err(StoreError::KeyRestricted { what, lasting });
        }
        Ok(caller)
    }
}

impl<T> AuthorizedTx<T> {
    /// Compares `before`, the present resource, with the caller's `If-Match`, and refuses the
    /// change if they differ.
    ///
    /// # Errors
    /// [`StoreError::PreconditionFailed`].
    pub(super) fn expect(&mut self, before: &(impl Tagged + ?Sized)) -> Result<(), StoreError> {
        match self.if_match.take() {
            Some(if_match) if !if_match.matches(&before.entity_tag()) => {
                Err(StoreError::PreconditionFailed)
            }
            _ => Ok(()),
        }
    }

    /// Refuses to commit a change of a resource without an entity tag if the caller's `If-Match`
    /// names tags, because none of them can match.
    fn ensure_compared(&self) -> Result<(), StoreError> {
        match self.if_match {
            Some(IfMatch::Tags(_)) => Err(StoreError::PreconditionFailed),
            Some(IfMatch::Any) | None => Ok(()),
        }
    }
}

impl AuthorizedTx<RevisionTx> {
    /// Records the result of a repeatable call: `data` of its response, without secrets.
    pub(super) async fn record(&mut self, data: impl FnOnce() -> Value) -> Result<(), StoreError> {
        let Some(call) = &self.call else {
            return Ok(());
        };
        let recorded = Recorded {
            data: data(),
            revision: Some(self.tx.revision().cast_unsigned()),
        };
        repeatable::record(
            self.tx.connection(),
            &self.caller,
            call,
            &recorded,
            self.now,
        )
        .await
    }

    /// Returns the revision that is in force until this is committed. No other change is under way.
    pub(super) fn revision_before(&self) -> u64 {
        self.tx.revision().cast_unsigned().saturating_sub(1)
    }

    /// Writes some of the change's audit entries, for changes with too many of them to keep in
    /// memory until the end.
    pub(super) async fn record_audit(&mut self, events: &[Event]) -> Result<(), StoreError> {
        let Self {
            tx,
            caller,
            origin,
            now,
            ..
        } = self;
        audit::write(
            tx.connection(),
            &caller.account_id,
            &caller.actor,
            origin,
            events,
            *now,
        )
        .await
    }

    /// Writes the audit entries, commits, and returns the revision that is now in force.
    pub(super) async fn commit(mut self, events: &[Event]) -> Result<u64, StoreError> {
        self.ensure_compared()?;
        self.record_audit(events).await?;
        self.tx.commit().await
    }
}

impl AuthorizedTx<Transaction<'static, Sqlite>> {
    /// Records the result of a repeatable call: `data` of its response, without secrets.
    pub(super) async fn record(&mut self, data: impl FnOnce() -> Value) -> Result<(), StoreError> {
        let Some(call) = &self.call else {
            return Ok(());
        };
        let recorded = Recorded {
            data: data(),
            revision: None,
        };
        repeatable::record(&mut self.tx, &self.caller, call, &recorded, self.now).await
    }

    pub(super) async fn commit(mut self, events: &[Event]) -> Result<(), StoreError> {
        self.ensure_compared()?;
        let Self {
            tx,
            caller,
            origin,
            now,
            ..
        } = &mut self;
        audit::write(tx, &caller.account_id, &caller.actor, origin, events, *now).await?;
        Ok(self.tx.commit().await?)
    }
}
