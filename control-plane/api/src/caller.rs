//! The permission checks of callers: a caller can grant only permissions that they hold.

use super::error::ApiError;
use latchkey_model::authority::{Authority, Grants};
use latchkey_model::selection::Selection;
use latchkey_policy::limit::Window;
use latchkey_store::{Actor, Caller, Key, KeySettings, User};

/// Returns a caller without any restrictions, for checks without a credential.
pub(crate) fn anybody() -> Caller {
    Caller {
        actor: Actor::System,
        account_id: String::new(),
        user_id: String::new(),
        tier: String::new(),
        operator: false,
        grants: Grants::new(&Authority::default()),
        subaccounts: Selection::All,
        scope: Selection::All,
        restrictions: None,
    }
}

/// The permission rules for [`Caller`], a type of the store.
pub(crate) trait Rules {
    /// Returns the caller that the rules apply to.
    fn caller(&self) -> &Caller;

    /// Refuses a caller who does not hold `permission`.
    fn require(&self, permission: &str) -> Result<(), ApiError> {
        if self.caller().holds(permission) {
            Ok(())
        } else {
            Err(ApiError::missing_permission(permission))
        }
    }

    /// Refuses a caller who does not hold everything that `authority` grants.
    fn ensure_can_grant(&self, authority: &Authority) -> Result<(), ApiError> {
        match authority.beyond(&self.caller().grants) {
            None => Ok(()),
            Some((field, name)) => Err(ApiError::grants_more(field, name)),
        }
    }

    /// Refuses services outside the scope of a calling key.
    fn ensure_can_scope(&self, scope: &Selection) -> Result<(), ApiError> {
        if self.caller().scope.has_all(scope) {
            Ok(())
        } else {
            Err(ApiError::scope_denied())
        }
    }

    /// Refuses subaccounts that do not exist or that the caller may not act on. Selecting all means
    /// everything that the owner of the new key or user may act on.
    fn ensure_can_select(
        &self,
        field: &str,
        subaccounts: &Selection,
        existing: &[String],
    ) -> Result<(), ApiError> {
        for (index, id) in subaccounts.listed().unwrap_or_default().iter().enumerate() {
            let field = format!("{field}[{index}]");
            if !existing.contains(id) {
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

    /// Returns the settings of a new key that the caller creates. Refuses settings that the caller
    /// may not give.
    fn ensure_can_create(
        &self,
        mut settings: KeySettings,
        existing: &[String],
    ) -> Result<KeySettings, ApiError> {
        self.ensure_can_grant(&settings.authority)?;
        self.ensure_can_scope(&settings.scope)?;
        self.ensure_can_select("allowed_subaccounts", &settings.subaccounts, existing)?;
        if settings.subaccounts == Selection::All {
            settings.subaccounts = self.caller().own_subaccounts();
        }
        if settings.subaccounts.listed().is_some_and(<[_]>::is_empty) {
            // In the API an empty list means all subaccounts, so a key without any is refused.
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

    /// Refuses a selection for another user or key that exceeds the caller's own.
    fn ensure_can_delegate(&self, field: &str, subaccounts: &Selection) -> Result<(), ApiError> {
        if self.caller().subaccounts.has_all(subaccounts) {
            Ok(())
        } else {
            Err(ApiError::subaccount_denied(field))
        }
    }

    /// Refuses a caller who could not grant everything that `key` has. A key that lists no
    /// subaccounts has those of its owner.
    fn ensure_can_widen(&self, key: &Key) -> Result<(), ApiError> {
        if let Some((_, name)) = key.settings.authority.beyond(&self.caller().grants) {
            return Err(ApiError::key_has_more(name));
        }
        self.ensure_can_scope(&key.settings.scope)?;
        // Both are restricted to what their owner may act on.
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

    /// Refuses a caller who could not create `key` in its present or future form. A key's `issues`
    /// bound only the keys that it creates, so its own attributes count here.
    fn ensure_could_create(&self, key: &Key) -> Result<(), ApiError> {
        self.ensure_can_widen(key)?;
        let exceeded = self
            .caller()
            .restrictions
            .as_ref()
            .and_then(|own| own.exceeded_by_key(key));
        exceeded.map_or(Ok(()), |exceeded| Err(ApiError::exceeds_own_key(&exceeded)))
    }

    /// Refuses a caller who could not create `key` as it will be with a new secret. A key that lost
    /// the response to its own call may repeat the call with its old secret, which has an end by
    /// then, but only with an overlap: that replaces at most an unused newest secret. From then on
    /// the key follows the bounds of the calling key.
    fn ensure_can_regenerate(&self, key: &mut Key, overlap: bool) -> Result<(), ApiError> {
        match &self.caller().restrictions {
            Some(own) if overlap && own.is_own(key) => {
                self.ensure_can_widen(key)?;
                own.outlasted_by(key)
                    .map_or(Ok(()), |exceeded| Err(ApiError::exceeds_own_key(&exceeded)))
            }
            Some(own) => {
                self.ensure_could_create(key)?;
                own.bind(key);
                Ok(())
            }
            None => self.ensure_could_create(key),
        }
    }

    /// Refuses an edit that widens a key, unless the caller could create the resulting key. A key
    /// never widens itself. An edit that only narrows a key is allowed. `limited` are the windows
    /// whose limits the edit names: a session sets them independently of tiers, while limits
    /// narrowed by a key keep following their tier.
    fn ensure_can_edit(
        &self,
        before: &Key,
        after: &mut Key,
        limited: &[Window],
    ) -> Result<(), ApiError> {
        let wider = after.wider_than(before);
        let Some(own) = &self.caller().restrictions else {
            limited
                .iter()
                .for_each(|window| after.settings.ceilings.clear(*window));
            return wider.map_or(Ok(()), |_| self.ensure_could_create(after));
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
        self.ensure_could_create(after)?;
        if own.is_own(after) {
            return Err(ApiError::widens_itself(&field));
        }
        own.bind(after);
        Ok(())
    }

    /// Refuses a caller who does not hold all of `user`'s permissions, because a caller who changes
    /// a user can act as that user.
    fn ensure_can_change(&self, user: &User) -> Result<(), ApiError> {
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
