//! What callers may do: what they hold, and nothing beyond that for anyone else.

use super::error::ApiError;
use crate::authority::Authority;
use crate::selection::Selection;
use crate::store::{Caller, Key, KeySettings, User};

impl Caller {
    /// Refuses a caller who does not hold `permission`.
    pub(super) fn require(&self, permission: &str) -> Result<(), ApiError> {
        if self.holds(permission) { Ok(()) } else { Err(ApiError::missing_permission(permission)) }
    }

    /// Refuses a caller who does not hold all that `authority` gives.
    pub(super) fn may_grant(&self, authority: &Authority) -> Result<(), ApiError> {
        match authority.beyond(&self.grants) {
            None => Ok(()),
            Some((field, name)) => Err(ApiError::grants_more(field, name)),
        }
    }

    /// Refuses services that a key which is kept to some may not act on.
    pub(super) fn may_scope(&self, scope: &Selection) -> Result<(), ApiError> {
        if self.scope.has_all(scope) { Ok(()) } else { Err(ApiError::scope_denied()) }
    }

    /// Refuses subaccounts that the account does not have, and such as the caller may not act on. To select all is to
    /// select all that the owner of what is made may act on.
    pub(super) fn may_select(
        &self,
        field: &str,
        subaccounts: &Selection,
        there_are: &[String],
    ) -> Result<(), ApiError> {
        for (index, id) in subaccounts.listed().unwrap_or_default().iter().enumerate() {
            let field = format!("{field}[{index}]");
            if !there_are.contains(id) {
                return Err(ApiError::field(&field, "is no subaccount of the account"));
            }
            if !self.subaccounts.has(id) {
                return Err(ApiError::subaccount_denied(&field));
            }
        }
        Ok(())
    }

    /// A key of theirs with these settings; refuses what they could not give it.
    pub(super) fn may_make(&self, mut settings: KeySettings, there_are: &[String]) -> Result<KeySettings, ApiError> {
        self.may_grant(&settings.authority)?;
        self.may_scope(&settings.scope)?;
        self.may_select("allowed_subaccounts", &settings.subaccounts, there_are)?;
        if settings.subaccounts == Selection::All {
            settings.subaccounts = self.own_subaccounts();
        }
        Ok(settings)
    }

    /// Refuses a selection for somebody else that is more than the caller's own.
    pub(super) fn may_hand_on(&self, field: &str, subaccounts: &Selection) -> Result<(), ApiError> {
        if self.subaccounts.has_all(subaccounts) { Ok(()) } else { Err(ApiError::subaccount_denied(field)) }
    }

    /// Refuses a caller who could not give `key` what it has. A key that lists no subaccounts has those of its owner.
    pub(super) fn may_widen(&self, key: &Key) -> Result<(), ApiError> {
        if let Some((_, name)) = key.settings.authority.beyond(&self.grants) {
            return Err(ApiError::key_has_more(name));
        }
        self.may_scope(&key.settings.scope)?;
        let own = key.user_id == self.user_id && key.settings.subaccounts == self.own_subaccounts();
        if own || self.subaccounts.has_all(&key.settings.subaccounts) {
            Ok(())
        } else {
            Err(ApiError::key_selects_more())
        }
    }

    /// Refuses a caller who does not hold all that `user` does: who can change a user can act as them.
    pub(super) fn may_change(&self, user: &User) -> Result<(), ApiError> {
        if let Some((_, name)) = user.authority.beyond(&self.grants) {
            return Err(ApiError::holds_more(name));
        }
        if self.subaccounts.has_all(&user.subaccounts) { Ok(()) } else { Err(ApiError::selects_more()) }
    }
}
