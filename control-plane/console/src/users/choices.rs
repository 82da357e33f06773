//! The roles, permissions and subaccounts that the logged-in user can grant to users.

use latchkey_policy::permission::Pattern;

use crate::api::Refusal;
use crate::grants::{
    Grantable, Role, Subaccount, grantable, lists_subaccounts, roles, subaccounts,
};
use crate::session::Session;

/// The roles, permissions and subaccounts that a form offers.
pub(super) struct Choices {
    pub(super) roles: Vec<Role>,
    pub(super) grantable: Grantable,
    /// All subaccounts, or those that the user may act on if they may not list them.
    pub(super) subaccounts: Vec<Subaccount>,
    /// True if the user may list all subaccounts.
    pub(super) lists_subaccounts: bool,
}

impl Choices {
    /// Reads the choices of the logged-in user.
    pub(super) async fn load(session: &Session) -> Result<Self, Refusal> {
        let (roles, grantable) = (roles(session).await?, grantable(session).await?);
        let subaccounts = subaccounts(session, &grantable).await?;
        Ok(Self {
            roles,
            grantable,
            subaccounts,
            lists_subaccounts: lists_subaccounts(session),
        })
    }

    /// Returns the roles that the user can grant.
    pub(super) fn grantable_roles(&self) -> impl Iterator<Item = &Role> {
        self.roles
            .iter()
            .filter(|role| self.grantable.roles.contains(&role.name))
    }

    /// Returns the subaccounts that the user can grant.
    pub(super) fn grantable_subaccounts(&self) -> impl Iterator<Item = &Subaccount> {
        self.subaccounts
            .iter()
            .filter(|subaccount| self.grantable.subaccounts.has(&subaccount.subaccount_id))
    }

    /// Returns all permission patterns of the user.
    pub(super) fn held(&self) -> Vec<Pattern> {
        self.grantable
            .patterns
            .iter()
            .filter_map(|text| Pattern::parse(text).ok())
            .collect()
    }

    /// Returns the permission patterns of these roles and permissions; `None` if one of them is
    /// unknown.
    pub(super) fn patterns_of(
        &self,
        roles: &[String],
        permissions: &[String],
    ) -> Option<Vec<Pattern>> {
        let mut texts: Vec<&String> = permissions.iter().collect();
        for name in roles {
            texts.extend(
                &self
                    .roles
                    .iter()
                    .find(|role| role.name == *name)?
                    .permissions,
            );
        }

        texts
            .into_iter()
            .map(|text| Pattern::parse(text).ok())
            .collect()
    }

    /// Returns whether a subaccount of this id is among the choices.
    pub(super) fn has_subaccount(&self, id: &str) -> bool {
        self.subaccounts
            .iter()
            .any(|subaccount| subaccount.subaccount_id == id)
    }

    /// Returns a subaccount's name, or its id if the name is not known.
    pub(super) fn name_of<'c>(&'c self, id: &'c str) -> &'c str {
        let known = self
            .subaccounts
            .iter()
            .find(|subaccount| subaccount.subaccount_id == id);
        known.map_or(id, |subaccount| &subaccount.name)
    }
}
