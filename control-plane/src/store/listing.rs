//! Keys page by page: which of them are wanted, and in which order.

use latchkey_policy::key::Environment;
use sqlx::{QueryBuilder, Sqlite};

use super::keys::{self, ListedKey};
use super::page::{List, Order, PageQuery, Paged};
use super::removals::NOT_ENDED;
use super::{Store, StoreError};
use crate::role::Role;
use crate::text;

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

const KEYS: List =
    List { columns: "keys.seq", table: "keys", joins: "", searched: &["keys.name", "description", "id", "masked"] };

/// What becomes of a key that is presented, as far as the key alone decides it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum KeyState {
    /// Not revoked.
    #[default]
    Live,
    /// Live, neither switched off nor expired.
    Active,
    /// Live and switched off.
    Disabled,
    /// Live and expired.
    Expired,
    /// Revoked.
    Revoked,
    /// Any.
    All,
}

impl KeyState {
    /// With the words that ask for them.
    pub(crate) const ALL: [(&'static str, Self); 6] = [
        ("live", Self::Live),
        ("active", Self::Active),
        ("disabled", Self::Disabled),
        ("expired", Self::Expired),
        ("revoked", Self::Revoked),
        ("all", Self::All),
    ];
}

/// What keys are ordered by. Those that have none come last, in both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum KeySort {
    /// When they were made.
    #[default]
    CreatedAt,
    /// In whatever case.
    Name,
    /// When they expire.
    ExpiresAt,
    /// When they were used last.
    LastUsedAt,
}

impl KeySort {
    fn order(self, descending: bool) -> Order {
        // No time is so early or so late.
        let by = match (self, descending) {
            (Self::CreatedAt, _) => "created_at",
            (Self::Name, _) => "keys.name COLLATE NOCASE",
            (Self::ExpiresAt, false) => "COALESCE(expires_at, 9223372036854775807)",
            (Self::ExpiresAt, true) => "COALESCE(expires_at, -1)",
            (Self::LastUsedAt, false) => "COALESCE(last_used_at, 9223372036854775807)",
            (Self::LastUsedAt, true) => "COALESCE(last_used_at, -1)",
        };
        Order { by, descending }
    }
}

/// Which of an account's keys are wanted, and in which order.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyQuery {
    pub(crate) state: KeyState,
    /// That have this role.
    pub(crate) role: Option<Role>,
    /// Of this tier.
    pub(crate) tier: Option<String>,
    pub(crate) environment: Option<Environment>,
    /// Of the user of this id or email address.
    pub(crate) owner: Option<String>,
    /// That expire within so many days, and have not yet.
    pub(crate) expires_within_days: Option<u32>,
    /// That were never used, or were.
    pub(crate) unused: Option<bool>,
    /// Whether the entries of their IP lists are read.
    pub(crate) ip_lists: bool,
    pub(crate) sort: KeySort,
    pub(crate) descending: bool,
}

impl Store {
    /// A page of the account's keys.
    pub(crate) async fn keys(
        &self,
        account_id: &str,
        query: &KeyQuery,
        page: &PageQuery,
        now: i64,
    ) -> Result<Paged<ListedKey>, StoreError> {
        let filter = |select: &mut QueryBuilder<Sqlite>| query.write(select, account_id, now);
        let found: Paged<(i64,)> = KEYS.page(&self.0.lists, query.sort.order(query.descending), page, filter).await?;
        let seqs: Vec<i64> = found.rows.iter().map(|(seq,)| *seq).collect();
        let mut read = self.0.lists.begin().await?;
        let rows = keys::numbered(&mut read, &seqs, query.ip_lists).await?;
        Ok(Paged { rows, total: found.total, next: found.next })
    }
}

impl KeyQuery {
    fn write(&self, to: &mut QueryBuilder<Sqlite>, account_id: &str, now: i64) {
        to.push("account_id = ").push_bind(account_id.to_owned());
        match self.state {
            KeyState::All => {}
            KeyState::Revoked => _ = to.push(" AND (revoked_at IS NOT NULL OR NOT ").push(NOT_ENDED).push(")"),
            _ => _ = to.push(" AND revoked_at IS NULL AND ").push(NOT_ENDED),
        }
        match self.state {
            KeyState::Active => {
                to.push(" AND NOT disabled AND (expires_at IS NULL OR expires_at > ");
                to.push_bind(now).push(")")
            }
            KeyState::Disabled => to.push(" AND disabled"),
            KeyState::Expired => to.push(" AND expires_at <= ").push_bind(now),
            KeyState::Live | KeyState::Revoked | KeyState::All => to,
        };
        if let Some(role) = self.role {
            to.push(" AND EXISTS (SELECT 1 FROM json_each(roles) WHERE value = ").push_bind(role.as_str()).push(")");
        }
        if let Some(tier) = &self.tier {
            to.push(" AND tier = ").push_bind(tier.clone());
        }
        if let Some(environment) = self.environment {
            to.push(" AND environment = ").push_bind(environment.as_str());
        }
        if let Some(owner) = &self.owner {
            to.push(" AND user_id = (SELECT id FROM users WHERE account_id = ").push_bind(account_id.to_owned());
            to.push(" AND (id = ").push_bind(owner.clone());
            to.push(" OR email = ").push_bind(text::normalized_email(owner)).push("))");
        }
        if let Some(days) = self.expires_within_days {
            let until = now.saturating_add(i64::from(days).saturating_mul(SECONDS_PER_DAY));
            to.push(" AND expires_at > ").push_bind(now).push(" AND expires_at <= ").push_bind(until);
        }
        match self.unused {
            None => {}
            Some(true) => _ = to.push(" AND last_used_at IS NULL"),
            Some(false) => _ = to.push(" AND last_used_at IS NOT NULL"),
        }
    }
}
