//! The permission checks of callers: nobody grants what they do not hold.

use super::error::ApiError;
use latchkey_model::authority::{Authority, Grants};
use latchkey_model::selection::Selection;
use latchkey_policy::limit::Window;
use latchkey_store::{Actor, Caller, Key, KeySettings, User};

/// Returns somebody by whom nothing is bounded, for checks without a credential.
pub(super) fn anybody() -> Caller {
    Caller {
        actor: Actor::System,
        account_id: String::new(),
        user_id: String::new(),
        tier: String::new(),
        operator: false,
        grants: Grants::of(&Authority::default()),
        subaccounts: Selection::All,
        scope: Selection::All,
        restrictions: None,
    }
}

/// The rules for a caller, whose type is the store's.
pub(super) trait Rules {
    /// The caller that they are about.
    fn caller(&self) -> &Caller;

    /// Refuses a caller who does not hold `permission`.
    fn require(&self, permission: &str) -> Result<(), ApiError> {
        if self.caller().holds(permission) {
            Ok(())
        } else {
            Err(ApiError::missing_permission(permission))
        }
    }

    /// Refuses a caller who does not hold all that `authority` gives.
    fn may_grant(&self, authority: &Authority) -> Result<(), ApiError> {
        match authority.beyond(&self.caller().grants) {
            None => Ok(()),
            Some((field, name)) => Err(ApiError::grants_more(field, name)),
        }
    }

    /// Refuses services that a key which is kept to some may not act on.
    fn may_scope(&self, scope: &Selection) -> Result<(), ApiError> {
        if self.caller().scope.has_all(scope) {
            Ok(())
        } else {
            Err(ApiError::scope_denied())
        }
    }

    /// Refuses subaccounts that the account does not have, and such as the caller may not act on.
    /// To select all is to select all that the owner of what is made may act on.
    fn may_select(
        &self,
        field: &str,
        subaccounts: &Selection,
        there_are: &[String],
    ) -> Result<(), ApiError> {
        for (index, id) in subaccounts.listed().unwrap_or_default().iter().enumerate() {
            let field = format!("{field}[{index}]");
            if !there_are.contains(id) {
                return Err(ApiError::field(
                    &field,
                    "is not a subaccount of the account",
                ));
            }
            if !self.caller().subaccounts.has(id) {
                return Err(ApiError::subaccount_denied(&field));
            }
        }
        Ok(())
    }

    /// A key of theirs with these settings; refuses what they could not give it.
    fn may_make(
        &self,
        mut settings: KeySettings,
        there_are: &[String],
    ) -> Result<KeySettings, ApiError> {
        self.may_grant(&settings.authority)?;
        self.may_scope(&settings.scope)?;
        self.may_select("allowed_subaccounts", &settings.subaccounts, there_are)?;
        if settings.subaccounts == Selection::All {
            settings.subaccounts = self.caller().own_subaccounts();
        }
        if settings.subaccounts.listed().is_some_and(<[_]>::is_empty) {
            // To people a key with an empty list is one that is good for all.
            return Err(ApiError::subaccount_denied("allowed_subaccounts"));
        }
        if let Some(own) = &self.caller().restrictions {
            if let Some(exceeded) = own.exceeded_by_new(&settings) {
                return Err(ApiError::exceeds_own_key(&exceeded));
            }
            own.bind_new(&mut settings);
        }
        Ok(settings)
    }

    /// Refuses a selection for somebody else that is more than the caller's own.
    fn may_hand_on(&self, field: &str, subaccounts: &Selection) -> Result<(), ApiError> {
        if self.caller().subaccounts.has_all(subaccounts) {
            Ok(())
        } else {
            Err(ApiError::subaccount_denied(field))
        }
    }

    /// Refuses a caller who could not give `key` what it has. A key that lists no subaccounts has
    /// those of its owner.
    fn may_widen(&self, key: &Key) -> Result<(), ApiError> {
        if let Some((_, name)) = key.settings.authority.beyond(&self.caller().grants) {
            return Err(ApiError::key_has_more(name));
        }
        self.may_scope(&key.settings.scope)?;
        // Both are kept to what their owner may act on.
        let declared = self
            .caller()
            .restrictions
            .as_ref()
            .map_or(&Selection::All, |own| &own.subaccounts);
        let own =
            key.user_id == self.caller().user_id && declared.has_all(&key.settings.subaccounts);
        if own || self.caller().subaccounts.has_all(&key.settings.subaccounts) {
            Ok(())
        } else {
            Err(ApiError::key_selects_more())
        }
    }

    /// Refuses a caller who could not make `key`, or what it will be, as it is. What a key issues
    /// to others bounds only what it makes, so here its own attributes count.
    fn may_have(&self, key: &Key) -> Result<(), ApiError> {
        self.may_widen(key)?;
        let exceeded = self
            .caller()
            .restrictions
            .as_ref()
            .and_then(|own| own.exceeded_by_key(key));
        exceeded.map_or(Ok(()), |exceeded| Err(ApiError::exceeds_own_key(&exceeded)))
    }

    /// Refuses a caller who could not make `key`, as it will be with another secret. A key that
    /// lost the answer to its own call repeats it with a secret that has an end by now: with an
    /// overlap, as then it replaces a newest secret that nobody used, or nothing. The key follows
    /// what bounds the calling key from then on.
    fn may_regenerate(&self, key: &mut Key, overlap: bool) -> Result<(), ApiError> {
        match &self.caller().restrictions {
            Some(own) if overlap && own.is_own(key) => {
                self.may_widen(key)?;
                own.outlasted_by(key)
                    .map_or(Ok(()), |exceeded| Err(ApiError::exceeds_own_key(&exceeded)))
            }
            Some(own) => {
                self.may_have(key)?;
                own.bind(key);
                Ok(())
            }
            None => self.may_have(key),
        }
    }

    /// Refuses an edit by which a key is valid for more, unless the caller could make the key that
    /// it becomes. A key never widens itself. An edit that only narrows a key hands nothing on.
    /// `limited` are the windows whose limits the edit names: a session decides them anew, and what
    /// a key narrows goes on following the tier that it followed.
    fn may_edit(&self, before: &Key, after: &mut Key, limited: &[Window]) -> Result<(), ApiError> {
        let wider = after.wider_than(before);
        let Some(own) = &self.caller().restrictions else {
            limited
                .iter()
                .for_each(|window| after.settings.ceilings.clear(*window));
            return wider.map_or(Ok(()), |_| self.may_have(after));
        };
        let settings = &mut after.settings;
        for window in limited
            .iter()
            .filter(|window| before.settings.limits.0.get(**window).is_none())
        {
            if settings.limits.0.get(*window).is_some() {
                settings.ceilings.add(*window, &settings.tier);
            }
        }
        let Some(field) = wider else { return Ok(()) };
        self.may_have(after)?;
        if own.is_own(after) {
            return Err(ApiError::widens_itself(&field));
        }
        own.bind(after);
        Ok(())
    }

    /// Refuses a caller who does not hold all that `user` does: who can change a user can act as
    /// them.
    fn may_change(&self, user: &User) -> Result<(), ApiError> {
        if let Some((_, name)) = user.authority.beyond(&self.caller().grants) {
            return Err(ApiError::holds_more(name));
        }
        if self.caller().subaccounts.has_all(&user.subaccounts) {
            Ok(())
        } else {
            Err(ApiError::selects_more())
        }
    }
}

impl Rules for Caller {
    fn caller(&self) -> &Caller {
        self
    }
}
