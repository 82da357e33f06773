//! Keys as the API shows them.

mod row;

use latchkey_model::authority::Authority;
use latchkey_model::ceilings::Ceilings;
use latchkey_model::ip_list::IpList;
use latchkey_model::issues::Issues;
use latchkey_model::limits::DeclaredLimits;
use latchkey_model::selection::Selection;
use latchkey_policy::address::{AddressLists, AddressRule};
use latchkey_policy::key::{Environment, KeyDigest, PlainKey};
use latchkey_policy::limit::{Limits, Window};
use sqlx::{SqliteConnection, SqliteExecutor};
use std::collections::HashMap;

use super::at_rest::AtRest;
use super::{Store, StoreError, to_json};
pub(super) use row::NewKeyRow;
use row::{KeyRow, KeySummaryRow};

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

/// A key to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The account's id: `acc_…`
    pub account_id: String,
    /// The owner's id: `usr_…`
    pub user_id: String,
    /// The digest, which is all that is kept of the secret.
    pub digest: KeyDigest,
    /// The masked form, by which people recognise the key.
    pub masked: String,
    /// The key was made elsewhere, so that its format is unknown.
    pub imported: bool,
    /// The attributes that its owner sets.
    pub settings: KeySettings,
}

impl NewKey {
    /// Returns a key for `secret` without further attributes: it is admitted where any valid key is
    /// enough.
    pub fn new(
        account_id: &str,
        user_id: &str,
        name: &str,
        secret: &PlainKey,
        tier: &str,
        environment: Environment,
    ) -> Self {
        Self {
            account_id: account_id.to_owned(),
            user_id: user_id.to_owned(),
            digest: secret.digest(),
            masked: secret.masked(),
            imported: false,
            settings: KeySettings {
                name: name.to_owned(),
                description: None,
                environment,
                tier: tier.to_owned(),
                scope: Selection::All,
                authority: Authority::default(),
                subaccounts: Selection::All,
                limits: DeclaredLimits::default(),
                expires_at: None,
                allowed_ips: IpList::default(),
                denied_ips: IpList::default(),
                issues: None,
                ceilings: Ceilings::default(),
                issued: false,
            },
        }
    }
}

/// A secret as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The masked form, by which people recognise it.
    pub masked: String,
    /// The time of creation, in Unix seconds.
    pub created_at: i64,
    /// The second from which on it is refused, if it is not the current one.
    pub ends_at: Option<i64>,
    /// The last time that nodes have reported at which a request was admitted with it, in Unix
    /// seconds.
    pub last_used_at: Option<i64>,
    /// The address of that request.
    pub last_used_ip: Option<String>,
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
    const QUERY: &str = "SELECT * FROM key_details WHERE account_id = ? AND id = ?";
    let row: Option<KeyRow> = sqlx::query_as(QUERY)
        .bind(account_id)
        .bind(id)
        .fetch_optional(from)
        .await?;
    row.ok_or(StoreError::KeyNotFound)?.try_into()
}

/// The owner of keys: one user, or all users of an account.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeyOwner<'a> {
    Account(&'a str),
    User(&'a str),
}

/// Returns at most `limit` live keys of a user or an account.
pub(super) async fn some_of(
    from: impl SqliteExecutor<'_>,
    owner: KeyOwner<'_>,
    limit: u32,
) -> Result<Vec<Key>, StoreError> {
    // Rows say when they were revoked; the view says it also of those whose owner is deleted.
    const OF_ACCOUNT: &str = "SELECT * FROM key_details WHERE seq IN \
         (SELECT seq FROM keys WHERE revoked_at IS NULL AND account_id = ? LIMIT ?)";
    const OF_USER: &str = "SELECT * FROM key_details WHERE seq IN \
         (SELECT seq FROM keys WHERE revoked_at IS NULL AND user_id = ? LIMIT ?)";
    let (query, id) = match owner {
        KeyOwner::Account(id) => (OF_ACCOUNT, id),
        KeyOwner::User(id) => (OF_USER, id),
    };
    let rows: Vec<KeyRow> = sqlx::query_as(query)
        .bind(id)
        .bind(limit)
        .fetch_all(from)
        .await?;
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

impl ListedKey {
    fn complete(row: KeyRow) -> Result<(i64, Self), StoreError> {
        let (seq, key) = (row.seq, Key::try_from(row)?);
        let listed = Self {
            allowed_ips: key.settings.allowed_ips.len(),
            denied_ips: key.settings.denied_ips.len(),
            with_ip_lists: true,
            key,
        };
        Ok((seq, listed))
    }

    fn summary(row: KeySummaryRow) -> Result<(i64, Self), StoreError> {
        let seq = row.key.seq;
        let listed = Self {
            allowed_ips: row.allowed_ips_count.cast_unsigned(),
            denied_ips: row.denied_ips_count.cast_unsigned(),
            with_ip_lists: false,
            key: row.key.try_into()?,
        };
        Ok((seq, listed))
    }
}

/// Returns the keys of these numbers, in this order: all of them, or as many as fit into a page.
pub(super) async fn numbered(
    from: &mut SqliteConnection,
    seqs: &[i64],
    with_ip_lists: bool,
) -> Result<Vec<ListedKey>, StoreError> {
    const COMPLETE: &str =
        "SELECT * FROM key_details WHERE seq IN (SELECT value FROM json_each(?))";
    const SUMMARIES: &str =
        "SELECT * FROM key_summaries WHERE seq IN (SELECT value FROM json_each(?))";
    let fitting = seqs
        .get(..fitting(from, seqs, with_ip_lists).await?)
        .unwrap_or(seqs);
    let numbers = to_json(&fitting)?;

    let mut keys: HashMap<i64, ListedKey> = if with_ip_lists {
        let rows = sqlx::query_as(COMPLETE).bind(numbers).fetch_all(from);
        let rows = rows.await?.into_iter().map(ListedKey::complete);
        rows.collect::<Result<_, _>>()?
    } else {
        let rows = sqlx::query_as(SUMMARIES).bind(numbers).fetch_all(from);
        let rows = rows.await?.into_iter().map(ListedKey::summary);
        rows.collect::<Result<_, _>>()?
    };
    Ok(fitting.iter().filter_map(|seq| keys.remove(seq)).collect())
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
