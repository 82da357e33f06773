//! Policies as nodes receive them: with the grants of their keys resolved as of now.

use latchkey_model::ceilings::Ceilings;
use latchkey_model::limits::DeclaredLimits;
use latchkey_model::role::Role;
use latchkey_policy::address::AddressLists;
use latchkey_policy::key::Environment;
use latchkey_policy::record::PolicyRecord;
use sqlx::{FromRow, SqliteExecutor};
use std::collections::BTreeMap;
use tokio_stream::StreamExt as _;

use crate::{Chunks, StoreError, authority, from_json, selection};

#[derive(FromRow)]
struct PolicyRow {
    id: i64,
    account_id: String,
    user_id: String,
    tier: String,
    environment: String,
    allowed_ips: String,
    denied_ips: String,
    scope: Option<String>,
    roles: String,
    permissions: String,
    limits: String,
    ceilings: String,
    ceiling_limits: String,
    tier_limits: Option<String>,
    account_limits: Option<String>,
    owner_roles: String,
    owner_permissions: String,
    owner_disabled: bool,
    account_disabled: bool,
    confined: bool,
    subaccounts: String,
    used: bool,
}

/// Returns every policy that a live key has. No other one is read: one look-up in the index of live
/// keys leads to the next.
pub(super) async fn live_policies(from: impl SqliteExecutor<'_>) -> Result<Chunks, StoreError> {
    const QUERY: &str = "WITH RECURSIVE live (id) AS ( \
         SELECT MIN(policy_id) FROM keys WHERE slot IS NOT NULL \
         UNION ALL \
         SELECT (SELECT MIN(policy_id) FROM keys WHERE slot IS NOT NULL AND policy_id > live.id) FROM live \
         WHERE live.id IS NOT NULL) \
         SELECT policy_details.* FROM live CROSS JOIN policy_details WHERE policy_details.id = live.id";
    let mut rows = sqlx::query_as(QUERY).fetch(from);
    let mut policies = Chunks::default();
    while let Some(row) = rows.try_next().await? {
        let row: PolicyRow = row;
        let record = PolicyRecord::try_from(row)?;
        policies.push(|out| record.encode(out))?;
    }
    Ok(policies)
}

/// Returns the policies that have changed since `revision`: those that live keys have, and the ids
/// of those that none has.
pub(super) async fn changed_policies(
    from: impl SqliteExecutor<'_>,
    revision: i64,
) -> Result<(Chunks, Chunks), StoreError> {
    const QUERY: &str = "SELECT * FROM policy_details WHERE revision > ? ORDER BY id";
    let mut rows = sqlx::query_as(QUERY).bind(revision).fetch(from);
    let (mut policies, mut unused) = (Chunks::default(), Chunks::default());
    while let Some(row) = rows.try_next().await? {
        let row: PolicyRow = row;
        if row.used {
            let record = PolicyRecord::try_from(row)?;
            policies.push(|out| record.encode(out))?;
        } else {
            unused.push(|out| {
                out.extend_from_slice(&row.id.cast_unsigned().to_le_bytes());
                Ok::<_, StoreError>(())
            })?;
        }
    }
    Ok((policies, unused))
}

/// Returns one policy that a live key has.
pub(super) async fn policy(
    from: impl SqliteExecutor<'_>,
    id: i64,
) -> Result<PolicyRecord, StoreError> {
    const QUERY: &str = "SELECT * FROM policy_details WHERE id = ?";
    let row: Option<PolicyRow> = sqlx::query_as(QUERY).bind(id).fetch_optional(from).await?;
    row.ok_or(StoreError::Damaged("a key's policy"))?.try_into()
}

impl TryFrom<PolicyRow> for PolicyRecord {
    type Error = StoreError;

    fn try_from(row: PolicyRow) -> Result<Self, StoreError> {
        let mut subaccounts: Vec<String> = from_json(&row.subaccounts, "a list of subaccounts")?;
        subaccounts.sort_unstable();
        let granted = authority(&row.roles, &row.permissions)?;
        let limits: DeclaredLimits = from_json(&row.limits, "a policy's limits")?;
        let tier_limits = row
            .tier_limits
            .ok_or(StoreError::Damaged("a policy's tier"))?;
        let tier_limits: DeclaredLimits = from_json(&tier_limits, "a tier's limits")?;
        let account_limits = row
            .account_limits
            .ok_or(StoreError::Damaged("an account's tier"))?;
        let account_limits: DeclaredLimits = from_json(&account_limits, "a tier's limits")?;
        let ceilings: Ceilings = from_json(&row.ceilings, "a policy's ceilings")?;
        let ceiling_limits: BTreeMap<String, DeclaredLimits> =
            from_json(&row.ceiling_limits, "tiers' limits")?;
        let of_tier = |name: &str| ceiling_limits.get(name).copied().unwrap_or_default().0;
        let bounded = ceilings.bound(limits.over(tier_limits.0), of_tier);
        Ok(Self {
            id: row.id.cast_unsigned(),
            account: row.account_id,
            user: row.user_id,
            tier: row.tier,
            environment: Environment::parse(&row.environment)
                .ok_or(StoreError::Damaged("an environment"))?,
            owner_disabled: row.owner_disabled,
            account_disabled: row.account_disabled,
            addresses: AddressLists {
                allow: from_json(&row.allowed_ips, "a policy's ranges")?,
                deny: from_json(&row.denied_ips, "a policy's ranges")?,
            },
            services: selection(row.scope.as_deref())?
                .listed()
                .map(<[String]>::to_vec),
            roles: granted
                .roles
                .iter()
                .copied()
                .map(Role::as_str)
                .map(str::to_owned)
                .collect(),
            grants: granted.patterns(),
            owner_grants: authority(&row.owner_roles, &row.owner_permissions)?.patterns(),
            subaccounts,
            confined: row.confined,
            limits: account_limits.bound(bounded),
        })
    }
}
