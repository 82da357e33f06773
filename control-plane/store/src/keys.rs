//! Keys as the API shows them.

use latchkey_model::authority::Authority;
use latchkey_model::ceilings::Ceilings;
use latchkey_model::ip_list::IpList;
use latchkey_model::issues::Issues;
use latchkey_model::limits::DeclaredLimits;
use latchkey_model::selection::Selection;
use latchkey_policy::address::{AddressLists, AddressRule};
use latchkey_policy::key::{Environment, KeyDigest};
use latchkey_policy::limit::{Limits, Window};
use std::collections::{BTreeMap, HashMap};

use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection, SqliteExecutor};

use super::at_rest::AtRest;
use super::users::Whose;
use super::{Secret, Store, StoreError, authority, from_json, selection, to_json};

/// The attributes of a key that a caller sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySettings {
    /// The name, unique among the account's live keys.
    pub name: String,
    /// A description in free text.
    pub description: Option<String>,
    /// The environment, which is also part of the key itself.
    pub environment: Environment,
    /// The tier, which limits the windows that `limits` leaves out.
    pub tier: String,
    /// The services that it may be used for.
    pub scope: Selection,
    /// Its permissions, as far as its owner has them.
    pub authority: Authority,
    /// The subaccounts that it may act on, if its owner may.
    pub subaccounts: Selection,
    /// Its own limits, which replace those of the tier.
    pub limits: DeclaredLimits,
    /// The second from which on it is refused.
    pub expires_at: Option<i64>,
    /// The addresses from which it may be used.
    pub allowed_ips: IpList,
    /// The addresses from which it may not be used, while nothing is enabled in `allowed_ips`.
    pub denied_ips: IpList,
    /// The bounds of the keys that it creates, which replace its own attributes.
    pub issues: Option<Issues>,
    /// The tiers that bound its limits, because another key created, edited or regenerated it.
    pub ceilings: Ceilings,
    /// It was created by a key with `issues`, or by a key that such a key created.
    pub issued: bool,
}

impl KeySettings {
    /// Returns the addresses that both lists together admit.
    pub fn addresses(&self) -> AddressRule {
        let (allow, deny) = (self.allowed_ips.enabled(), self.denied_ips.enabled());
        AddressRule::compile(&AddressLists { allow, deny })
    }
}

/// A key as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key's id: `key_…`
    pub id: String,
    /// The owner's id: `usr_…`
    pub user_id: String,
    /// The current secret.
    pub secret: Secret,
    /// The previous secret, while nodes know it.
    pub old_secret: Option<Secret>,
    /// The attributes that its owner sets.
    pub settings: KeySettings,
    /// The effective limits: its own, otherwise its tier's, but none above those of its ceilings
    /// and of its account's tier.
    pub limits: Limits,
    /// It is disabled at present.
    pub disabled: bool,
    /// The time of creation, in Unix seconds.
    pub created_at: i64,
    /// The time of the last change, in Unix seconds.
    pub updated_at: i64,
    /// The last time that nodes have reported at which a request was admitted, with any of its
    /// secrets, in Unix seconds.
    pub last_used_at: Option<i64>,
    /// The address of that request.
    pub last_used_ip: Option<String>,
    /// The time of its revocation, in Unix seconds. `None` while it is live.
    pub revoked_at: Option<i64>,
}

impl Key {
    /// Returns the first field by which the key may be valid for more than `before`, the same key:
    /// it is enabled again, expires later, admits other addresses, has a higher limit, or lacks a
    /// limit that it had.
    pub fn wider_than(&self, before: &Self) -> Option<String> {
        let lasts = |key: &Self| key.settings.expires_at.unwrap_or(i64::MAX);
        let raised = |window: &Window| {
            let of = |key: &Self| key.settings.limits.0.get(*window);
            match (of(before), of(self)) {
                (Some(_), None) => true,
                // A window without the key's own limit had the tier's limit.
                (_, Some(limit)) => before
                    .limits
                    .get(*window)
                    .is_some_and(|before| limit > before),
                (None, None) => false,
            }
        };
        if before.disabled && !self.disabled {
            Some("active".to_owned())
        } else if lasts(self) > lasts(before) {
            Some("expires_at".to_owned())
        } else if self
            .settings
            .addresses()
            .beyond(&before.settings.addresses())
            .is_some()
        {
            Some("allowed_ips".to_owned())
        } else {
            let window = Window::ALL.into_iter().find(raised)?;
            Some(format!("limits.{}", window.as_str()))
        }
    }
}

/// The columns that a [`Row`] is read from. A key is revoked as soon as its owner is deleted, even
/// before its row says so ([`removals`](super::removals)). The tier of a revoked key, or of a
/// closed account, may no longer exist.
macro_rules! columns {
    ($ip_lists:literal) => {
        concat!("id, user_id, masked, secret_created_at, secret_used_at, secret_used_ip, old_masked, old_created_at, \
         old_ends_at, old_used_at, old_used_ip, keys.name, description, environment, tier, scope, roles, permissions, subaccounts, \
         keys.limits, COALESCE(tiers.limits, '{}') AS tier_limits, COALESCE((SELECT bound.limits FROM accounts \
         JOIN tiers AS bound ON bound.name = accounts.tier WHERE accounts.id = keys.account_id \
         AND NOT accounts.operator), '{}') AS account_limits, ceilings, ", $crate::tiers::ceiling_limits!("ceilings"),
         " AS ceiling_limits, expires_at, issues, issued, disabled, created_at, updated_at, \
         last_used_at, last_used_ip, \
         COALESCE(revoked_at, (SELECT deleted_at FROM users WHERE users.id = keys.user_id)) AS revoked_at, ", $ip_lists)
    };
    () => {
        columns!("allowed_ips, denied_ips")
    };
}
macro_rules! joins {
    () => {
        "LEFT JOIN tiers ON tiers.name = tier \
         LEFT JOIN (SELECT key_seq, masked AS old_masked, created_at AS old_created_at, ends_at AS old_ends_at, \
         last_used_at AS old_used_at, last_used_ip AS old_used_ip FROM old_secrets WHERE NOT removed) ON key_seq = seq"
    };
}
/// The columns that a [`ListedRow`] is read from.
macro_rules! numbered {
    ($ip_lists:literal) => {
        concat!(
            "SELECT keys.seq, json_array_length(allowed_ips) AS allowed_ips_count, \
             json_array_length(denied_ips) AS denied_ips_count, ",
            columns!($ip_lists),
            " FROM keys ",
            joins!(),
            " WHERE keys.seq IN (SELECT value FROM json_each(?))"
        )
    };
}

/// The queries for keys by their numbers: complete, and without the entries of their IP lists.
const NUMBERED: &str = numbered!("allowed_ips, denied_ips");
const SUMMARIES: &str = numbered!("'[]' AS allowed_ips, '[]' AS denied_ips");

/// Selects keys of the account, with `$rest` as the condition.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM keys ",
            joins!(),
            " WHERE account_id = ? ",
            $rest
        )
    };
}

impl Store {
    /// Returns one of the account's keys, revoked or not.
    pub async fn key(&self, account_id: &str, id: &str) -> Result<Key, StoreError> {
        find(&self.0.readers, account_id, id).await
    }
}

/// Returns one of the account's keys, revoked or not.
pub(super) async fn find(
    from: impl SqliteExecutor<'_>,
    account_id: &str,
    id: &str,
) -> Result<Key, StoreError> {
    const QUERY: &str = select!("AND id = ?");
    let row: Option<Row> = sqlx::query_as(QUERY)
        .bind(account_id)
        .bind(id)
        .fetch_optional(from)
        .await?;
    row.ok_or(StoreError::KeyNotFound)?.try_into()
}

/// Returns at most `limit` live keys of a user or an account.
pub(super) async fn some_of(
    from: impl SqliteExecutor<'_>,
    whose: Whose<'_>,
    limit: u32,
) -> Result<Vec<Key>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(concat!(
        "SELECT ",
        columns!(),
        " FROM keys ",
        joins!(),
        " WHERE "
    ));
    query.push("revoked_at IS NULL AND ");
    match whose {
        Whose::Account(id) => query.push("account_id = ").push_bind(id),
        Whose::User(id) => query.push("user_id = ").push_bind(id),
    };
    query.push(" LIMIT ").push_bind(limit);
    let rows: Vec<Row> = query.build_query_as().fetch_all(from).await?;
    rows.into_iter().map(Key::try_from).collect()
}

/// A key in a list.
#[derive(Debug)]
pub struct ListedKey {
    /// The key. Its IP lists are empty unless they were read.
    pub key: Key,
    /// The number of entries in the allow list.
    pub allowed_ips: u64,
    /// The number of entries in the deny list.
    pub denied_ips: u64,
    /// True if the IP lists were read.
    pub with_ip_lists: bool,
}

/// The approximate maximum number of bytes of texts and lists in a page of keys. The key that
/// exceeds it is the last one.
const PAGE_BYTES: i64 = 1_000_000;

/// Returns the keys of these numbers, in this order: all of them, or as many as fit into a page.
pub(super) async fn numbered(
    from: &mut SqliteConnection,
    seqs: &[i64],
    with_ip_lists: bool,
) -> Result<Vec<ListedKey>, StoreError> {
    let query = if with_ip_lists { NUMBERED } else { SUMMARIES };
    let fitting = seqs
        .get(..fitting(from, seqs, with_ip_lists).await?)
        .unwrap_or(seqs);
    let rows: Vec<ListedRow> = sqlx::query_as(query)
        .bind(to_json(&fitting)?)
        .fetch_all(from)
        .await?;
    let mut rows: HashMap<_, _> = rows.into_iter().map(|row| (row.seq, row)).collect();
    let listed = |row: ListedRow| {
        let (allowed_ips, denied_ips) = (
            row.allowed_ips_count.cast_unsigned(),
            row.denied_ips_count.cast_unsigned(),
        );
        Ok(ListedKey {
            key: row.key.try_into()?,
            allowed_ips,
            denied_ips,
            with_ip_lists,
        })
    };
    fitting
        .iter()
        .filter_map(|seq| rows.remove(seq))
        .map(listed)
        .collect()
}

/// Returns how many of these keys fit into a page.
async fn fitting(
    from: &mut SqliteConnection,
    seqs: &[i64],
    with_ip_lists: bool,
) -> Result<usize, StoreError> {
    // The length of a text is known without reading it.
    const BYTES: &str = "SELECT COALESCE(octet_length(description), 0) + COALESCE(octet_length(scope), 0) \
         + octet_length(roles) + octet_length(permissions) + COALESCE(octet_length(subaccounts), 0) \
         + COALESCE(octet_length(issues), 0) \
         + CASE WHEN ?2 THEN octet_length(allowed_ips) + octet_length(denied_ips) ELSE 0 END \
         FROM json_each(?1) AS listed CROSS JOIN keys ON keys.seq = listed.value ORDER BY listed.key";
    let sizes: Vec<i64> = sqlx::query_scalar(BYTES)
        .bind(to_json(&seqs)?)
        .bind(with_ip_lists)
        .fetch_all(from)
        .await?;
    let (mut bytes, mut keys) = (0_i64, 0);
    for size in sizes {
        bytes = bytes.saturating_add(size);
        keys += 1;
        if bytes > PAGE_BYTES {
            break;
        }
    }
    Ok(keys)
}

/// A live key that was found by one of its secrets.
pub(super) struct Found {
    pub(super) account_id: String,
    pub(super) key: Key,
    /// The second from which on the secret is refused: that of the key's expiry, or an earlier one.
    pub(super) expires_at: Option<i64>,
}

/// Returns the live key of this digest.
pub(super) async fn by_digest(
    from: &mut SqliteConnection,
    at_rest: &AtRest,
    digest: &KeyDigest,
) -> Result<Option<Found>, StoreError> {
    const QUERY: &str = "SELECT account_id, id, NULL AS ends_at FROM keys WHERE digest IN (?1, ?2) AND slot IS NOT NULL \
         UNION ALL SELECT k.account_id, k.id, o.ends_at FROM old_secrets o CROSS JOIN keys k ON k.seq = o.key_seq \
         WHERE o.digest IN (?1, ?2) AND NOT o.removed";
    let [plain, keyed] = at_rest.forms(digest);
    let query = sqlx::query_as(QUERY).bind(&plain[..]).bind(&keyed[..]);
    let found: Option<(String, String, Option<i64>)> = query.fetch_optional(&mut *from).await?;
    let Some((account_id, id, ends_at)) = found else {
        return Ok(None);
    };
    let key = find(from, &account_id, &id).await?;
    let expires_at = [key.settings.expires_at, ends_at]
        .into_iter()
        .flatten()
        .min();
    Ok(Some(Found {
        account_id,
        key,
        expires_at,
    }))
}

/// A key in a list, as it is stored.
#[derive(FromRow)]
struct ListedRow {
    seq: i64,
    allowed_ips_count: i64,
    denied_ips_count: i64,
    #[sqlx(flatten)]
    key: Row,
}

/// A key as it is stored.
#[derive(FromRow)]
pub(super) struct Row {
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

impl TryFrom<Row> for Key {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let limits: DeclaredLimits = from_json(&row.limits, "a key's limits")?;
        let tier_limits: DeclaredLimits = from_json(&row.tier_limits, "a tier's limits")?;
        let account_limits: DeclaredLimits = from_json(&row.account_limits, "a tier's limits")?;
        let ceilings: Ceilings = from_json(&row.ceilings, "a key's ceilings")?;
        let ceiling_limits: BTreeMap<String, DeclaredLimits> =
            from_json(&row.ceiling_limits, "tiers' limits")?;
        let of_tier = |name: &str| ceiling_limits.get(name).copied().unwrap_or_default().0;
        let bounded = ceilings.bound(limits.over(tier_limits.0), of_tier);
        let secret = Secret {
            masked: row.masked,
            created_at: row.secret_created_at,
            ends_at: None,
            last_used_at: row.secret_used_at,
            last_used_ip: row.secret_used_ip,
        };
        let old_secret = row
            .old_masked
            .zip(row.old_created_at)
            .map(|(masked, created_at)| Secret {
                masked,
                created_at,
                // The old secret never outlasts the key.
                ends_at: row
                    .old_ends_at
                    .map(|end| row.expires_at.map_or(end, |expiry| expiry.min(end))),
                last_used_at: row.old_used_at,
                last_used_ip: row.old_used_ip,
            });
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
            limits: account_limits.bound(bounded),
            disabled: row.disabled,
            created_at: row.created_at,
            updated_at: row.updated_at,
            last_used_at: row.last_used_at,
            last_used_ip: row.last_used_ip,
            revoked_at: row.revoked_at,
        })
    }
}
