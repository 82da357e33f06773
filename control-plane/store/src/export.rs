//! The data that the stream sends: the snapshot page by page, and the changes since a revision.

mod policies;
mod whole;

use latchkey_policy::key::KeyDigest;
use latchkey_policy::record::{KeyRecord, PolicyRecord};
use sqlx::{FromRow, SqliteConnection};
use tokio_stream::StreamExt as _;

use super::at_rest::AtRest;
use super::{Chunks, Store, StoreError, Tag, history, removals, routes};
use policies::{changed_policies, live_policies, policy};
pub use whole::{Page, Place};

/// All changes after one revision and up to another.
#[derive(Debug)]
pub struct Changes {
    /// The later revision: a snapshot of the first one becomes one of `to` when the changes are
    /// applied.
    pub to: u64,
    /// The tag of `to`.
    pub tag: Tag,
    /// The single record of the route rules, if they have changed.
    pub routes: Option<routes::RouteRecords>,
    /// The policies that are new or have changed.
    pub policies: Chunks,
    /// The keys that are new or have changed.
    pub keys: Chunks,
    /// The digests of keys that were revoked or that expired a day ago, and of secrets that were
    /// removed.
    pub removed: Chunks,
    /// The ids of policies that no live key has any longer, little-endian.
    pub removed_policies: Chunks,
    /// The revision since which keys of ended owners are refused that are not all removed at `to`.
    pub ended_since: Option<u64>,
}

/// A key with one of its secrets: a row of `current_secrets` or of `replaced_secrets`.
#[derive(FromRow)]
struct KeyRow {
    seq: i64,
    slot: Option<u32>,
    id: String,
    policy_id: i64,
    digest: Vec<u8>,
    /// The encrypted digest of an imported secret, until it is decrypted.
    sealed: Option<Vec<u8>>,
    secret: u32,
    name: String,
    expires_at: Option<i64>,
    disabled: bool,
    removed: bool,
}

impl KeyRow {
    /// Decrypts the digest of an imported secret.
    fn open(mut self, at_rest: &AtRest) -> Result<Self, StoreError> {
        if let Some(sealed) = self.sealed.take() {
            self.digest = at_rest
                .open_digest(&self.digest, Some(&sealed), &self.id)?
                .0
                .to_vec();
        }
        Ok(self)
    }
}

impl Store {
    /// Returns the approximate number of keys in a snapshot, counting each of their secrets.
    pub async fn live_keys(&self) -> Result<u64, StoreError> {
        const QUERY: &str = "SELECT (SELECT COUNT(*) FROM keys WHERE slot IS NOT NULL) \
             + (SELECT COUNT(*) FROM old_secrets WHERE NOT removed)";
        let count: i64 = sqlx::query_scalar(QUERY).fetch_one(&self.0.readers).await?;
        Ok(count.cast_unsigned())
    }

    /// Returns every policy that a live key has, at the newest revision.
    pub async fn policies(&self) -> Result<Chunks, StoreError> {
        live_policies(&self.0.readers).await
    }

    /// Returns whether fewer than `bound` secrets, or keys, have changed after `revision`, and all
    /// removals since then are known.
    pub async fn few_changes(&self, revision: u64, bound: u32) -> Result<bool, StoreError> {
        const QUERY: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM keys WHERE revision > ?1 \
             UNION ALL SELECT 1 FROM old_secrets WHERE revision > ?1 LIMIT ?2)";
        let mut transaction = self.0.readers.begin().await?;
        if history::is_pruned(&mut *transaction, revision.cast_signed()).await? {
            return Ok(false);
        }
        let changed: u32 = sqlx::query_scalar(QUERY)
            .bind(revision.cast_signed())
            .bind(bound)
            .fetch_one(&mut *transaction)
            .await?;
        Ok(changed < bound)
    }

    /// Returns all changes after `revision`, as of one moment. Fails with [`StoreError::Pruned`] if
    /// the removals after it are no longer kept.
    pub async fn changes_since(&self, revision: u64) -> Result<Changes, StoreError> {
        const QUERY: &str = "SELECT * FROM current_secrets WHERE revision > ?1 \
             UNION ALL SELECT * FROM replaced_secrets WHERE revision > ?1";
        let mut transaction = self.0.readers.begin().await?;
        if history::is_pruned(&mut *transaction, revision.cast_signed()).await? {
            return Err(StoreError::Pruned);
        }
        let head = history::newest(&mut *transaction).await?;
        let (policies, removed_policies) =
            changed_policies(&mut *transaction, revision.cast_signed()).await?;
        let (keys, removed) = (Chunks::default(), Chunks::default());
        let routes = routes::changed(&mut *transaction, revision.cast_signed()).await?;
        let routes = routes.as_ref().map(routes::encode).transpose()?;
        let (to, tag) = (head.revision, head.tag);
        let ended_since = removals::oldest(&mut *transaction).await?;
        let mut changes = Changes {
            to,
            tag,
            routes,
            policies,
            keys,
            removed,
            removed_policies,
            ended_since,
        };
        let mut rows = sqlx::query_as(QUERY)
            .bind(revision.cast_signed())
            .fetch(&mut *transaction);
        while let Some(row) = rows.try_next().await? {
            let row = KeyRow::open(row, &self.0.at_rest)?;
            if row.removed {
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

/// A live key with one of its secrets, as nodes receive it.
pub(super) struct LiveKey {
    /// The key's number.
    pub(super) number: u64,
    /// The encoded record.
    pub(super) record: Vec<u8>,
    pub(super) policy: PolicyRecord,
}

/// Returns the account's live key of this digest.
pub(super) async fn live_key(
    transaction: &mut SqliteConnection,
    at_rest: &AtRest,
    account_id: &str,
    digest: &KeyDigest,
) -> Result<Option<LiveKey>, StoreError> {
    const QUERY: &str = "SELECT * FROM current_secrets WHERE digest IN (?1, ?2) AND account_id = ?3 AND NOT removed \
         UNION ALL SELECT * FROM replaced_secrets WHERE digest IN (?1, ?2) AND account_id = ?3 AND NOT removed";
    let [plain, keyed] = at_rest.forms(digest);
    let query = sqlx::query_as(QUERY)
        .bind(&plain[..])
        .bind(&keyed[..])
        .bind(account_id);
    let Some(row): Option<KeyRow> = query.fetch_optional(&mut *transaction).await? else {
        return Ok(None);
    };
    let row = row.open(at_rest)?;
    let mut record = Vec::new();
    key_record(&row)?.encode(&mut record)?;
    let policy = policy(&mut *transaction, row.policy_id).await?;
    Ok(Some(LiveKey {
        number: row.seq.cast_unsigned(),
        record,
        policy,
    }))
}

fn push_key(row: &KeyRow, keys: &mut Chunks) -> Result<KeyDigest, StoreError> {
    let record = key_record(row)?;
    keys.push(|out| record.encode(out))?;
    Ok(record.digest)
}

fn key_record(row: &KeyRow) -> Result<KeyRecord<'_>, StoreError> {
    Ok(KeyRecord {
        digest: digest(row)?,
        policy: row.policy_id.cast_unsigned(),
        number: row.seq.cast_unsigned(),
        slot: row.slot.ok_or(StoreError::Damaged("a live key's slot"))?,
        secret: row.secret,
        expires_at: row.expires_at,
        disabled: row.disabled,
        id: row
            .id
            .strip_prefix("key_")
            .ok_or(StoreError::Damaged("a key's id"))?,
        name: &row.name,
    })
}

fn digest(row: &KeyRow) -> Result<KeyDigest, StoreError> {
    row.digest
        .as_slice()
        .try_into()
        .map(KeyDigest)
        .map_err(|_| StoreError::Damaged("a digest"))
}
