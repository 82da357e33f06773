//! The request for a new key, and the checks of its fields.

use latchkey_model::authority::{Authority, Grant};
use latchkey_model::ceilings::Ceilings;
use latchkey_model::ip_list::IpList;
use latchkey_model::issues::Issues;
use latchkey_model::json::{Object, given};
use latchkey_model::limits::{DeclaredLimits, LimitsChange};
use latchkey_model::role::Role;
use latchkey_model::selection::Selection;
use latchkey_policy::key::Environment;
use latchkey_store::{Caller, KeyRestrictions, KeySettings};
use serde::Deserialize;
use utoipa::ToSchema;

use super::error::ApiError;
use super::expiry::Expiry;
use super::fields;
use super::openapi::texts;

/// A new API key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewKey)]
pub(crate) struct Request {
    #[schema(value_type = texts::Name)]
    pub(crate) name: String,
    #[schema(value_type = Option<texts::Description>)]
    pub(crate) description: Option<String>,
    #[schema(value_type = Option<texts::Environment>)]
    pub(crate) environment: Option<String>,
    #[schema(value_type = Option<texts::Word>)]
    pub(crate) tier: Option<String>,
    /// Default: all services, or the calling key's scope.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<texts::Scope>)]
    pub(crate) scope: Option<Selection>,
    #[serde(default)]
    #[schema(max_items = 256)]
    pub(crate) roles: Vec<Role>,
    #[serde(default)]
    #[schema(max_items = 256)]
    pub(crate) permissions: Vec<Grant>,
    /// Ids of subaccounts; empty for all that the creator may act on.
    #[serde(default)]
    #[schema(value_type = Vec<texts::SubaccountId>, max_items = 256)]
    pub(crate) allowed_subaccounts: Vec<String>,
    pub(crate) limits: Option<LimitsChange>,
    pub(crate) expires_at: Option<Expiry>,
    #[serde(default)]
    pub(crate) allowed_ips: IpList,
    #[serde(default)]
    pub(crate) denied_ips: IpList,
    /// Limits for keys that the new key creates. Only a session may set it.
    pub(crate) issues: Option<Object<Issues>>,
}

impl Request {
    /// Checks every field that can be checked without the store. An omitted field defaults to the
    /// account's tier, or to what a calling key has or can give.
    pub(crate) fn check(self, now: i64, caller: &Caller) -> Result<KeySettings, ApiError> {
        let own = caller.restrictions.as_ref();
        let environment = match self.environment {
            None => own.map_or(Environment::Live, KeyRestrictions::default_environment),
            Some(word) => Environment::parse(&word)
                .ok_or_else(|| ApiError::field("environment", "must be one of live, test"))?,
        };
        let scope = self.scope.unwrap_or_else(|| caller.scope.clone());
        fields::scope("scope", &scope)?;
        fields::bounded("roles", &self.roles)?;
        fields::bounded("permissions", &self.permissions)?;
        fields::bounded("allowed_subaccounts", &self.allowed_subaccounts)?;
        let listed = (!self.allowed_subaccounts.is_empty()).then_some(self.allowed_subaccounts);
        let default_tier =
            || own.map_or_else(|| caller.tier.clone(), KeyRestrictions::default_tier);
        let tier = self.tier.unwrap_or_else(default_tier);
        let given = self
            .limits
            .unwrap_or_default()
            .applied_to(DeclaredLimits::default());
        let (limits, ceilings) = own.map_or_else(
            || (given, Ceilings::default()),
            |own| own.default_limits(&tier, given),
        );
        let expires_at = self
            .expires_at
            .map(|expiry| expiry.check("expires_at", now))
            .transpose()?;
        let mut lists = (self.allowed_ips, self.denied_ips);
        if let Some(own) = own.filter(|_| lists == <(IpList, IpList)>::default()) {
            lists = own.default_lists();
        }
        Ok(KeySettings {
            name: fields::name("name", &self.name)?,
            description: fields::description(self.description)?,
            environment,
            limits,
            tier,
            scope,
            authority: Authority {
                roles: self.roles,
                permissions: self.permissions,
            },
            subaccounts: listed.into(),
            expires_at: expires_at.or_else(|| own?.default_expiry()),
            allowed_ips: lists.0,
            denied_ips: lists.1,
            issues: self
                .issues
                .map(|Object(issues)| checked(issues))
                .transpose()?,
            ceilings,
            issued: false,
        })
    }
}

fn checked(issues: Issues) -> Result<Issues, ApiError> {
    match issues.check() {
        Ok(()) => Ok(issues),
        Err((field, reason)) => Err(ApiError::field(field, reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::caller::anybody;
    use super::*;

    fn check(json: &str) -> Result<KeySettings, String> {
        let request: Request = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let caller = Caller {
            tier: "basic".to_owned(),
            ..anybody()
        };
        request
            .check(1_800_000_000, &caller)
            .map_err(|error| match error {
                ApiError::Invalid { error, .. } => error,
                other => format!("{other:?}"),
            })
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let checked = check(r#"{"name":"  CI\u00e9  ","description":null}"#).unwrap();
        assert_eq!(checked.name, "CIé");
        assert_eq!(checked.environment, Environment::Live);
        assert_eq!(
            (
                checked.description,
                checked.tier.as_str(),
                checked.expires_at
            ),
            (None, "basic", None)
        );
        assert_eq!(
            (checked.scope, checked.subaccounts),
            (Selection::All, Selection::All)
        );
        assert_eq!(
            (checked.authority, checked.limits),
            (Authority::default(), DeclaredLimits::default())
        );
    }

    #[test]
    fn lengths_are_counted_in_characters() {
        let name = |len| check(&format!(r#"{{"name":"{}"}}"#, "é".repeat(len)));
        assert!(name(100).is_ok());
        assert_eq!(
            name(101).unwrap_err(),
            "Field `name` must have 1 to 100 characters."
        );
        let description = |len| {
            check(&format!(
                r#"{{"name":"CI","description":"{}"}}"#,
                "é".repeat(len)
            ))
        };
        assert!(description(500).is_ok());
        assert_eq!(
            description(501).unwrap_err(),
            "Field `description` must have at most 500 characters."
        );
    }
}
