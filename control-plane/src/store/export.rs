//! What the stream sends: the snapshot page by page, and the changes since a revision.

use latchkey_policy::address::AddressLists;
use latchkey_policy::key::{Environment, KeyDigest};
use latchkey_policy::record::{KeyRecord, PolicyRecord};
use sqlx::{FromRow, SqliteExecutor};
use tokio_stream::StreamExt as _;

use super::{Chunks, Store, StoreError, from_json};

/// Some of the live keys, in the order of their digests.
#[derive(Debug)]
pub struct Page {
    /// The keys' records.
    pub keys: Chunks,
    /// Where the next page begins; none after the last.
    pub next: Option<KeyDigest>,
}

/// All that changed after one revision and up to another.
#[derive(Debug)]
pub struct Changes {
    /// Applied to a snapshot of the first, this makes one of `to`.
    pub to: u64,
    /// Policies that are new or have changed.
    pub policies: Chunks,
    /// Keys that are new or have changed.
    pub keys: Chunks,
    /// Digests of keys that were revoked.
    pub removed: Chunks,
    /// Ids of policies that no live key has any more, little-endian.
    pub removed_policies: Chunks,
}

#[derive(FromRow)]
struct KeyRow {
    seq: i64,
    id: String,
    policy_id: i64,
    digest: Vec<u8>,
    name: String,
    expires_at: Option<i64>,
    disabled: bool,
    revoked: bool,
}

#[derive(FromRow)]
struct PolicyRow {
    id: i64,
    account_id: String,
    user_id: String,
    tier: String,
    environment: String,
    allowed_ips: String,
    denied_ips: String,
    owner_disabled: bool,
    account_disabled: bool,
    used: bool,
}

impl Store {
    /// About how many keys a snapshot holds.
    pub(crate) async fn live_keys(&self) -> Result<u64, StoreError> {
        let count: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM keys WHERE revoked_at IS NULL").fetch_one(&self.0.readers).await?;
        Ok(count.cast_unsigned())
    }

    /// Every policy that a live key has, at the newest revision.
    pub(crate) async fn policies(&self) -> Result<Chunks, StoreError> {
        Ok(policies(&self.0.readers, 0).await?.0)
    }

    /// At most `limit` live keys that follow `after` and have not changed since `revision`. Keys that have are among
    /// the [`changes_since`](Self::changes_since) it. Live are also disabled and expired keys: a node tells them
    /// from unknown ones.
    pub async fn snapshot_page(&self, revision: u64, after: Option<KeyDigest>, limit: u32) -> Result<Page, StoreError> {
        const QUERY: &str = "SELECT seq, id, policy_id, digest, name, expires_at, disabled, FALSE AS revoked FROM keys \
             WHERE digest > ? AND revoked_at IS NULL AND revision <= ? ORDER BY digest LIMIT ?";
        // Before the first digest is the empty one.
        let after = after.map_or(Vec::new(), |digest| digest.0.to_vec());
        let mut rows =
            sqlx::query_as(QUERY).bind(after).bind(revision.cast_signed()).bind(limit).fetch(&self.0.readers);
        let mut page = Page { keys: Chunks::default(), next: None };
        let mut count = 0;
        while let Some(row) = rows.try_next().await? {
            page.next = Some(push_key(&row, &mut page.keys)?);
            count += 1;
        }
        page.next = page.next.filter(|_| count == limit);
        Ok(page)
    }

    /// Whether fewer than `bound` keys have changed after `revision`.
    pub(crate) async fn few_changes(&self, revision: u64, bound: u32) -> Result<bool, StoreError> {
        const QUERY: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM keys WHERE revision > ? LIMIT ?)";
        let changed: u32 =
            sqlx::query_scalar(QUERY).bind(revision.cast_signed()).bind(bound).fetch_one(&self.0.readers).await?;
        Ok(changed < bound)
    }

    /// All changes after `revision`, as of one moment.
    pub async fn changes_since(&self, revision: u64) -> Result<Changes, StoreError> {
        const QUERY: &str = "SELECT seq, id, policy_id, digest, name, expires_at, disabled, \
             revoked_at IS NOT NULL AS revoked FROM keys WHERE revision > ?";
        let mut transaction = self.0.readers.begin().await?;
        let to: i64 = sqlx::query_scalar("SELECT revision FROM meta").fetch_one(&mut *transaction).await?;
        let (policies, removed_policies) = policies(&mut *transaction, revision.cast_signed()).await?;
        let (keys, removed) = (Chunks::default(), Chunks::default());
        let mut changes = Changes { to: to.cast_unsigned(), policies, keys, removed, removed_policies };
        let mut rows = sqlx::query_as(QUERY).bind(revision.cast_signed()).fetch(&mut *transaction);
        while let Some(row) = rows.try_next().await? {
            let row: KeyRow = row;
            if row.revoked {
                let digest = digest(&row)?;
                changes.removed.push(|out| {
                    out.extend_from_slice(&digest.0);
                    Ok::<_, StoreError>(())
                })?;
            } else {
                push_key(&row, &mut changes.keys)?;
            }
        }
        Ok(changes)
    }
}

/// Policies that have changed since `revision`: those that live keys have, and the ids of those that none has.
async fn policies(from: impl SqliteExecutor<'_>, revision: i64) -> Result<(Chunks, Chunks), StoreError> {
    const QUERY: &str = "SELECT p.id, p.account_id, p.user_id, p.tier, p.environment, p.allowed_ips, p.denied_ips, \
         u.disabled AS owner_disabled, a.disabled AS account_disabled, \
         EXISTS (SELECT 1 FROM keys WHERE policy_id = p.id AND revoked_at IS NULL) AS used \
         FROM policies p JOIN users u ON u.id = p.user_id JOIN accounts a ON a.id = p.account_id \
         WHERE p.revision > ? ORDER BY p.id";
    let mut rows = sqlx::query_as(QUERY).bind(revision).fetch(from);
    let (mut policies, mut unused) = (Chunks::default(), Chunks::default());
    while let Some(row) = rows.try_next().await? {
        let row: PolicyRow = row;
        if !row.used {
            unused.push(|out| {
                out.extend_from_slice(&row.id.cast_unsigned().to_le_bytes());
                Ok::<_, StoreError>(())
            })?;
            continue;
        }
        let record = PolicyRecord {
            id: row.id.cast_unsigned(),
            account: row.account_id,
            user: row.user_id,
            tier: row.tier,
            environment: Environment::parse(&row.environment).ok_or(StoreError::Damaged("an environment"))?,
            owner_disabled: row.owner_disabled,
            account_disabled: row.account_disabled,
            addresses: AddressLists {
                allow: from_json(&row.allowed_ips, "a policy's ranges")?,
                deny: from_json(&row.denied_ips, "a policy's ranges")?,
            },
            services: None,
            roles: Vec::new(),
            grants: Vec::new(),
            owner_grants: Vec::new(),
            subaccounts: Vec::new(),
            confined: false,
            limits: Default::default(),
        };
        policies.push(|out| record.encode(out))?;
    }
    Ok((policies, unused))
}

fn push_key(row: &KeyRow, keys: &mut Chunks) -> Result<KeyDigest, StoreError> {
    let record = KeyRecord {
        digest: digest(row)?,
        policy: row.policy_id.cast_unsigned(),
        number: row.seq.cast_unsigned(),
        slot: 0,
        expires_at: row.expires_at,
        disabled: row.disabled,
        id: row.id.strip_prefix("key_").ok_or(StoreError::Damaged("a key's id"))?,
        name: &row.name,
    };
    keys.push(|out| record.encode(out))?;
    Ok(record.digest)
}

fn digest(row: &KeyRow) -> Result<KeyDigest, StoreError> {
    row.digest.as_slice().try_into().map(KeyDigest).map_err(|_| StoreError::Damaged("a digest"))
}
