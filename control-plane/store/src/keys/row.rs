//! Rows of keys: those of the views that keys are read from, and those that are added.

use latchkey_model::ceilings::Ceilings;
use latchkey_model::limits::DeclaredLimits;
use latchkey_policy::key::Environment;
use latchkey_policy::limit::Limits;
use sqlx::FromRow;
use std::collections::BTreeMap;

use crate::at_rest::StoredDigest;
use crate::insert::{Columns, NewRow};
use crate::{Key, KeySettings, NewKey, Secret, StoreError};
use crate::{authority, from_json, listed_to_json, selection, to_json};

/// A row of `key_summaries`: the IP lists are empty.
#[derive(FromRow)]
pub(super) struct KeySummaryRow {
    pub(super) allowed_ips_count: i64,
    pub(super) denied_ips_count: i64,
    #[sqlx(flatten)]
    pub(super) key: KeyRow,
}

/// A row of `key_details`.
#[derive(FromRow)]
pub(super) struct KeyRow {
    pub(super) seq: i64,
    id: String,
    user_id: String,
    masked: String,
    secret_created_at: i64,
    secret_used_at: Option<i64>,
    secret_used_ip: Option<String>,
    old_masked: Option<String>,
    old_created_at: Option<i64>,
    old_ends_at: Option<i64>,
    old_used_at: Option<i64>,
    old_used_ip: Option<String>,
    name: String,
    description: Option<String>,
    environment: String,
    tier: String,
    scope: Option<String>,
    roles: String,
    permissions: String,
    subaccounts: Option<String>,
    limits: String,
    tier_limits: String,
    account_limits: String,
    ceilings: String,
    ceiling_limits: String,
    expires_at: Option<i64>,
    allowed_ips: String,
    denied_ips: String,
    issues: Option<String>,
    issued: bool,
    disabled: bool,
    created_at: i64,
    updated_at: i64,
    last_used_at: Option<i64>,
    last_used_ip: Option<String>,
    revoked_at: Option<i64>,
}

impl KeyRow {
    /// Returns the effective limits: the key's own, otherwise the tier's, but none above those of
    /// its ceilings and of its account's tier.
    fn effective_limits(
        &self,
        own: DeclaredLimits,
        ceilings: &Ceilings,
    ) -> Result<Limits, StoreError> {
        let tier_limits: DeclaredLimits = from_json(&self.tier_limits, "a tier's limits")?;
        let account_limits: DeclaredLimits = from_json(&self.account_limits, "a tier's limits")?;
        let ceiling_limits: BTreeMap<String, DeclaredLimits> =
            from_json(&self.ceiling_limits, "tiers' limits")?;
        let limits_of = |name: &str| ceiling_limits.get(name).copied().unwrap_or_default().0;
        let bounded = ceilings.bound(own.over(tier_limits.0), limits_of);
        Ok(account_limits.bound(bounded))
    }

    fn current_secret(&mut self) -> Secret {
        Secret {
            masked: std::mem::take(&mut self.masked),
            created_at: self.secret_created_at,
            ends_at: None,
            last_used_at: self.secret_used_at,
            last_used_ip: self.secret_used_ip.take(),
        }
    }

    fn old_secret(&mut self) -> Option<Secret> {
        let (masked, created_at) = self.old_masked.take().zip(self.old_created_at)?;
        Some(Secret {
            masked,
            created_at,
            // The old secret never outlasts the key.
            ends_at: self
                .old_ends_at
                .map(|end| self.expires_at.map_or(end, |expiry| expiry.min(end))),
            last_used_at: self.old_used_at,
            last_used_ip: self.old_used_ip.take(),
        })
    }
}

impl TryFrom<KeyRow> for Key {
    type Error = StoreError;

    fn try_from(mut row: KeyRow) -> Result<Self, StoreError> {
        let limits: DeclaredLimits = from_json(&row.limits, "a key's limits")?;
        let ceilings: Ceilings = from_json(&row.ceilings, "a key's ceilings")?;
        let effective_limits = row.effective_limits(limits, &ceilings)?;
        let (secret, old_secret) = (row.current_secret(), row.old_secret());

        Ok(Self {
            id: row.id,
            user_id: row.user_id,
            secret,
            old_secret,
            settings: KeySettings {
                name: row.name,
                description: row.description,
                environment: Environment::parse(&row.environment)
                    .ok_or(StoreError::Damaged("an environment"))?,
                tier: row.tier,
                scope: selection(row.scope.as_deref())?,
                authority: authority(&row.roles, &row.permissions)?,
                subaccounts: selection(row.subaccounts.as_deref())?,
                limits,
                expires_at: row.expires_at,
                allowed_ips: from_json(&row.allowed_ips, "an IP list")?,
                denied_ips: from_json(&row.denied_ips, "an IP list")?,
                issues: row
                    .issues
                    .as_deref()
                    .map(|issues| from_json(issues, "a key's `issues`"))
                    .transpose()?,
                ceilings,
                issued: row.issued,
            },
            limits: effective_limits,
            disabled: row.disabled,
            created_at: row.created_at,
            updated_at: row.updated_at,
            last_used_at: row.last_used_at,
            last_used_ip: row.last_used_ip,
            revoked_at: row.revoked_at,
        })
    }
}

/// A key with the values that the store assigns.
pub(crate) struct NewKeyRow {
    pub(crate) id: String,
    pub(crate) policy_id: i64,
    pub(crate) slot: u32,
    pub(crate) digest: StoredDigest,
    pub(crate) key: NewKey,
    /// The time of creation, in Unix seconds.
    pub(crate) now: i64,
    /// The revision of the change that creates it.
    pub(crate) revision: i64,
}

impl NewRow for NewKeyRow {
    const TABLE: &'static str = "keys";

    fn columns(&self, columns: &mut Columns) -> Result<(), StoreError> {
        let (key, settings) = (&self.key, &self.key.settings);
        let issues = settings.issues.as_ref().map(to_json).transpose()?;
        columns
            .set("id", &self.id)?
            .set("policy_id", self.policy_id)?
            .set("slot", self.slot)?
            .set("account_id", &key.account_id)?
            .set("user_id", &key.user_id)?
            .set("digest", &self.digest.digest[..])?
            .set("sealed", self.digest.sealed.as_deref())?
            .set("masked", &key.masked)?
            .set("imported", key.imported)?
            .set("name", &settings.name)?
            .set("description", settings.description.as_ref())?
            .set("environment", settings.environment.as_str())?
            .set("tier", &settings.tier)?
            .set("scope", listed_to_json(&settings.scope)?)?
            .set("roles", to_json(&settings.authority.roles)?)?
            .set("permissions", to_json(&settings.authority.permissions)?)?
            .set("subaccounts", listed_to_json(&settings.subaccounts)?)?
            .set("limits", to_json(&settings.limits)?)?
            .set("allowed_ips", to_json(&settings.allowed_ips)?)?
            .set("denied_ips", to_json(&settings.denied_ips)?)?
            .set("issues", issues)?
            .set("ceilings", to_json(&settings.ceilings)?)?
            .set("issued", settings.issued)?
            .set("expires_at", settings.expires_at)?
            .set("created_at", self.now)?
            .set("updated_at", self.now)?
            .set("secret_created_at", self.now)?
            .set("revision", self.revision)?;
        Ok(())
    }
}

impl NewKeyRow {
    /// Returns the key as it is once the row is added, with these effective limits.
    pub(crate) fn into_key(self, limits: Limits) -> Key {
        Key {
            id: self.id,
            user_id: self.key.user_id,
            secret: Secret {
                masked: self.key.masked,
                created_at: self.now,
                ends_at: None,
                last_used_at: None,
                last_used_ip: None,
            },
            old_secret: None,
            settings: self.key.settings,
            limits,
            disabled: false,
            created_at: self.now,
            updated_at: self.now,
            last_used_at: None,
            last_used_ip: None,
            revoked_at: None,
        }
    }
}
