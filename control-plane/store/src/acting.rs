//! Changes that somebody who has presented a credential asks for.
//!
//! **Invariant: such a change is made only if, in its own transaction, the credential is good and
//! whoever it stands for holds what the change takes; and it is committed only with its entry in
//! the audit.** What a handler saw before the request's body was there, or before a password was
//! hashed, can be over by then. The functions of [`Acting`] have their transaction and the caller
//! from [`Acting::begin`] or [`Acting::begin_unseen`], and from nowhere else.

use latchkey_model::entity_tag::{IfMatch, Tagged};
use serde_json::Value;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::audit::{self, Event, Origin};
use super::change::Change;
use super::repeatable::{self, Outcome, Recorded, RepeatableCall};
use super::{Caller, Credential, Lasting, Store, StoreError, callers};

/// The store in the hands of somebody, for one change.
pub struct Acting {
    store: Store,
    pub(super) credential: Credential,
    permission: Option<&'static str>,
    lasting: Option<Lasting>,
    origin: Origin,
    if_match: Option<IfMatch>,
    call: Option<RepeatableCall>,
    /// Unix seconds.
    pub(super) now: i64,
}

impl Store {
    /// For a change that takes `permission`, if it takes one.
    pub fn acting(
        &self,
        credential: Credential,
        permission: Option<&'static str>,
        origin: Origin,
        now: i64,
    ) -> Acting {
        Acting {
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

/// A change that somebody is making. Dropped, it leaves everything as it was.
pub(super) struct Deed<T> {
    /// Where it is made.
    pub(super) on: T,
    /// On whose behalf.
    pub(super) caller: Caller,
    pub(super) origin: Origin,
    /// What the caller means to change. None once that was compared.
    if_match: Option<IfMatch>,
    /// As it is stored.
    call: Option<RepeatableCall>,
    /// Unix seconds.
    pub(super) now: i64,
}

impl Acting {
    /// For a change that makes or edits something that lasts without what restricts a calling key.
    pub fn lasting(self, lasting: Lasting) -> Self {
        Self {
            lasting: Some(lasting),
            ..self
        }
    }

    /// The same, for what the caller means by `If-Match` alone.
    pub fn conditional(self, if_match: Option<IfMatch>) -> Self {
        Self { if_match, ..self }
    }

    /// The same, for a call that has no second effect if it is repeated.
    pub fn repeatable(self, call: Option<RepeatableCall>) -> Self {
        Self { call, ..self }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// For a change that nodes decide by.
    pub(super) async fn begin(&self) -> Result<Deed<Change>, StoreError> {
        let mut change = Change::begin(&self.store).await?;
        let caller = self.caller(change.connection()).await?;
        Ok(self.deed(change, caller))
    }

    /// For a change that nodes have nothing to do with.
    pub(super) async fn begin_unseen(
        &self,
    ) -> Result<Deed<Transaction<'static, Sqlite>>, StoreError> {
        let mut transaction = self.store.0.begin().await?;
        let caller = self.caller(&mut transaction).await?;
        Ok(self.deed(transaction, caller))
    }

    /// Begins as [`begin`](Self::begin) does, unless the call is a repeated one.
    pub(super) async fn begin_repeatable(&self) -> Result<Outcome<Deed<Change>>, StoreError> {
        let mut deed = self.begin().await?;
        let recorded = self.recorded(deed.on.connection(), &deed.caller).await?;
        Ok(recorded.map_or(Outcome::New(deed), Outcome::Repeated))
    }

    /// Begins as [`begin_unseen`](Self::begin_unseen) does, unless the call is a repeated one.
    pub(super) async fn begin_repeatable_unseen(
        &self,
    ) -> Result<Outcome<Deed<Transaction<'static, Sqlite>>>, StoreError> {
        let mut deed = self.begin_unseen().await?;
        let recorded = self.recorded(&mut deed.on, &deed.caller).await?;
        Ok(recorded.map_or(Outcome::New(deed), Outcome::Repeated))
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

    fn deed<T>(&self, on: T, caller: Caller) -> Deed<T> {
        let call = self
            .call
            .as_ref()
            .map(|call| call.stored(&self.store.0.at_rest));
        let if_match = self.if_match.clone();
        Deed {
            on,
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

impl<T> Deed<T> {
    /// Refuses to change something else than the caller means.
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

    /// Refuses to commit a change of something that has no tag, as no tag of the caller's matches
    /// it.
    fn ensure_compared(&self) -> Result<(), StoreError> {
        match self.if_match {
            Some(IfMatch::Tags(_)) => Err(StoreError::PreconditionFailed),
            Some(IfMatch::Any) | None => Ok(()),
        }
    }
}

impl Deed<Change> {
    /// Records what came of a repeatable call: `data` of its answer, without secrets.
    pub(super) async fn record(&mut self, data: impl FnOnce() -> Value) -> Result<(), StoreError> {
        let Some(call) = &self.call else {
            return Ok(());
        };
        let recorded = Recorded {
            data: data(),
            revision: Some(self.on.revision().cast_unsigned()),
        };
        repeatable::record(
            self.on.connection(),
            &self.caller,
            call,
            &recorded,
            self.now,
        )
        .await
    }

    /// The revision that is in force while this is not committed. No other change is under way.
    pub(super) fn revision_before(&self) -> u64 {
        self.on.revision().cast_unsigned().saturating_sub(1)
    }

    /// Writes some of the entries of what is changed, where they are too many to be held until the
    /// end.
    pub(super) async fn tell(&mut self, events: &[Event]) -> Result<(), StoreError> {
        let Self {
            on,
            caller,
            origin,
            now,
            ..
        } = self;
        audit::write(
            on.connection(),
            &caller.account_id,
            &caller.actor,
            origin,
            events,
            *now,
        )
        .await
    }

    /// Returns the revision that is now in force.
    pub(super) async fn commit(mut self, events: &[Event]) -> Result<u64, StoreError> {
        self.ensure_compared()?;
        self.tell(events).await?;
        self.on.commit().await
    }
}

impl Deed<Transaction<'static, Sqlite>> {
    /// Records what came of a repeatable call: `data` of its answer, without secrets.
    pub(super) async fn record(&mut self, data: impl FnOnce() -> Value) -> Result<(), StoreError> {
        let Some(call) = &self.call else {
            return Ok(());
        };
        let recorded = Recorded {
            data: data(),
            revision: None,
        };
        repeatable::record(&mut self.on, &self.caller, call, &recorded, self.now).await
    }

    pub(super) async fn commit(mut self, events: &[Event]) -> Result<(), StoreError> {
        self.ensure_compared()?;
        let Self {
            on,
            caller,
            origin,
            now,
            ..
        } = &mut self;
        audit::write(on, &caller.account_id, &caller.actor, origin, events, *now).await?;
        Ok(self.on.commit().await?)
    }
}
