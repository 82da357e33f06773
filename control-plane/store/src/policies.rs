//! Policies: the settings that keys share. Keys with the same settings have the same policy, which
//! is found by the SHA-256 of its content.
//!
//! A policy's row holds the grants of its keys. Their effect also depends on other rows (the owner,
//! the account and its subaccounts, the tier), and is resolved when the policy is sent. So a change
//! of one of those rows has to [`stamp`] the policies that depend on it.

use latchkey_model::authority::Authority;
use sha2::{Digest as _, Sha256};
use sqlx::{QueryBuilder, Sqlite};

use super::insert::{Columns, NewRow, insert};
use super::revision::RevisionTx;
use super::{KeySettings, StoreError, listed_to_json, to_json};

/// The content of a policy, in the form in which it is stored.
pub(super) struct Content<'a> {
    account_id: &'a str,
    user_id: &'a str,
    settings: &'a KeySettings,
    lists: Lists,
    digest: [u8; 32],
}

/// The lists as JSON, in one form for all lists with the same meaning.
struct Lists {
    allowed_ips: String,
    denied_ips: String,
    scope: Option<String>,
    roles: String,
    permissions: String,
    subaccounts: Option<String>,
    limits: String,
    ceilings: String,
}

impl Lists {
    fn new(settings: &KeySettings) -> Result<Self, StoreError> {
        let allowed = settings.allowed_ips.enabled();
        // An allow list makes a deny list irrelevant.
        let denied = if allowed.is_empty() {
            settings.denied_ips.enabled()
        } else {
            Vec::new()
        };
        let Authority {
            mut roles,
            mut permissions,
        } = settings.authority.clone();
        roles.sort_unstable();
        roles.dedup();
        permissions.sort_unstable();
        permissions.dedup();
        Ok(Self {
            allowed_ips: to_json(&allowed)?,
            denied_ips: to_json(&denied)?,
            scope: listed_to_json(&settings.scope.canonical())?,
            roles: to_json(&roles)?,
            permissions: to_json(&permissions)?,
            subaccounts: listed_to_json(&settings.subaccounts.canonical())?,
            limits: to_json(&settings.limits)?,
            ceilings: to_json(&settings.ceilings)?,
        })
    }
}

impl<'a> Content<'a> {
    /// Returns the content for keys of that account and owner with those settings.
    pub(super) fn new(
        account_id: &'a str,
        user_id: &'a str,
        settings: &'a KeySettings,
    ) -> Result<Self, StoreError> {
        let lists = Lists::new(settings)?;
        // No list of names has this form, so it distinguishes all from any list.
        let all = "*";
        let mut digest = Sha256::new();
        for part in [
            account_id,
            user_id,
            &settings.tier,
            settings.environment.as_str(),
            &lists.allowed_ips,
            &lists.denied_ips,
            lists.scope.as_deref().unwrap_or(all),
            &lists.roles,
            &lists.permissions,
            lists.subaccounts.as_deref().unwrap_or(all),
            &lists.limits,
        ] {
            // The lengths are included, so that no two lists of parts give the same bytes.
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        // Policies without ceilings keep the digest that they had before there were any.
        if !settings.ceilings.is_empty() {
            digest.update(lists.ceilings.len().to_le_bytes());
            digest.update(&lists.ceilings);
        }
        Ok(Self {
            account_id,
            user_id,
            settings,
            lists,
            digest: digest.finalize().into(),
        })
    }

    /// Returns the digest that identifies the content.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Returns the id of the policy, and creates it if it does not exist. A policy that no key in
    /// the snapshot had is sent to nodes again.
    pub(super) async fn policy(&self, change: &mut RevisionTx) -> Result<i64, StoreError> {
        const SELECT: &str = "SELECT id FROM policies WHERE content = ?";
        let row = NewPolicyRow {
            content: self,
            revision: change.revision(),
        };
        insert(change.connection(), &[row]).await?;
        Ok(sqlx::query_scalar(SELECT)
            .bind(&self.digest[..])
            .fetch_one(change.connection())
            .await?)
    }
}

/// A policy to add, or to stamp if it exists and no key in the snapshot has it.
struct NewPolicyRow<'a> {
    content: &'a Content<'a>,
    revision: i64,
}

impl NewRow for NewPolicyRow<'_> {
    const TABLE: &'static str = "policies";
    const ON_CONFLICT: &'static str = "ON CONFLICT (content) DO UPDATE SET revision = excluded.revision \
         WHERE NOT EXISTS (SELECT 1 FROM keys WHERE policy_id = policies.id AND slot IS NOT NULL)";

    fn columns(&self, columns: &mut Columns) -> Result<(), StoreError> {
        let (content, lists) = (self.content, &self.content.lists);
        columns
            .set("account_id", content.account_id)?
            .set("user_id", content.user_id)?
            .set("tier", &content.settings.tier)?
            .set("environment", content.settings.environment.as_str())?
            .set("allowed_ips", &lists.allowed_ips)?
            .set("denied_ips", &lists.denied_ips)?
            .set("scope", lists.scope.as_ref())?
            .set("roles", &lists.roles)?
            .set("permissions", &lists.permissions)?
            .set("subaccounts", lists.subaccounts.as_ref())?
            .set("limits", &lists.limits)?
            .set("ceilings", &lists.ceilings)?
            .set("content", &content.digest[..])?
            .set("revision", self.revision)?;
        Ok(())
    }
}

/// The account, user or tier whose policies have another effect after a change.
#[derive(Debug, Clone, Copy)]
pub(super) enum PolicyScope<'a> {
    Account(&'a str),
    User(&'a str),
    Tier(&'a str),
}

/// Marks the policies of keys in the snapshot as changed, so that nodes receive them again. A tier
/// also bounds the keys of its accounts, and keys whose ceilings name it.
pub(super) async fn stamp(
    change: &mut RevisionTx,
    scope: PolicyScope<'_>,
) -> Result<(), StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new("UPDATE policies SET revision = ");
    query.push_bind(change.revision());
    match scope {
        PolicyScope::Account(id) => query.push(" WHERE (account_id = ").push_bind(id),
        PolicyScope::User(id) => query.push(" WHERE (user_id = ").push_bind(id),
        PolicyScope::Tier(name) => {
            query.push(" WHERE (tier = ").push_bind(name);
            query.push(
                " OR (ceilings <> '{}' AND EXISTS (SELECT 1 FROM json_each(ceilings) AS w, json_each(w.value) AS t \
                WHERE t.value = ",
            );
            query.push_bind(name).push("))");
            query
                .push(" OR account_id IN (SELECT id FROM accounts WHERE NOT operator AND tier = ")
                .push_bind(name);
            query.push(")")
        }
    };
    query.push(
        ") AND EXISTS (SELECT 1 FROM keys WHERE policy_id = policies.id AND slot IS NOT NULL)",
    );
    query.build().execute(change.connection()).await?;
    Ok(())
}

/// Stamps a policy that a key is about to return to the snapshot, if no other key in it has the
/// policy: nodes have forgotten it.
pub(super) async fn reuse(change: &mut RevisionTx, id: i64) -> Result<(), StoreError> {
    const REUSE: &str = "UPDATE policies SET revision = ? WHERE id = ? \
         AND NOT EXISTS (SELECT 1 FROM keys WHERE policy_id = policies.id AND slot IS NOT NULL)";
    sqlx::query(REUSE)
        .bind(change.revision())
        .bind(id)
        .execute(change.connection())
        .await?;
    Ok(())
}

/// Stamps those of the policies that have lost their last key in the snapshot, so that nodes are
/// instructed to forget them.
pub(super) async fn retire(
    change: &mut RevisionTx,
    ids: impl IntoIterator<Item = i64>,
) -> Result<(), StoreError> {
    const RETIRE: &str = "UPDATE policies SET revision = ? WHERE id = ? \
         AND NOT EXISTS (SELECT 1 FROM keys WHERE policy_id = policies.id AND slot IS NOT NULL)";
    let revision = change.revision();
    for id in ids {
        sqlx::query(RETIRE)
            .bind(revision)
            .bind(id)
            .execute(change.connection())
            .await?;
    }
    Ok(())
}
