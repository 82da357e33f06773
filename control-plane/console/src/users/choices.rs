//! What users can be given by who is logged in.

use latchkey_policy::permission::Pattern;

use super::super::api::Refusal;
use super::super::grants::{
    Grantable, Role, Subaccount, grantable, lists_subaccounts, roles, subaccounts,
};
use super::super::session::Session;

pub(super) struct Choices {
    pub(super) roles: Vec<Role>,
    pub(super) grantable: Grantable,
    /// Those that there are, or of those that one may not list the ones that one may act on.
    pub(super) subaccounts: Vec<Subaccount>,
    /// Whether one may list all of them.
    pub(super) lists_subaccounts: bool,
}

impl Choices {
    pub(super) async fn of(session: &Session) -> Result<Self, Refusal> {
        let (roles, grantable) = (roles(session).await?, grantable(session).await?);
        let subaccounts = subaccounts(session, &grantable).await?;
        Ok(Self {
            roles,
            grantable,
            subaccounts,
            lists_subaccounts: lists_subaccounts(session),
        })
    }

    /// The roles that one can give.
    pub(super) fn grantable_roles(&self) -> impl Iterator<Item = &Role> {
        self.roles
            .iter()
            .filter(|role| self.grantable.roles.contains(&role.name))
    }

    /// The subaccounts that one can give.
    pub(super) fn grantable_subaccounts(&self) -> impl Iterator<Item = &Subaccount> {
        self.subaccounts
            .iter()
            .filter(|subaccount| self.grantable.subaccounts.has(&subaccount.subaccount_id))
    }

    /// All that one holds.
    pub(super) fn held(&self) -> Vec<Pattern> {
        self.grantable
            .patterns
            .iter()
            .filter_map(|text| Pattern::parse(text).ok())
            .collect()
    }

    /// All that somebody with these holds; nothing if one of them is not known.
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

    pub(super) fn has_subaccount(&self, id: &str) -> bool {
        self.subaccounts
            .iter()
            .any(|subaccount| subaccount.subaccount_id == id)
    }

    /// A subaccount's name, or its id where it is not known.
    pub(super) fn name_of<'c>(&'c self, id: &'c str) -> &'c str {
        let known = self
            .subaccounts
            .iter()
            .find(|subaccount| subaccount.subaccount_id == id);
        known.map_or(id, |subaccount| &subaccount.name)
    }
}
