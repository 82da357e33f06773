//! What the stream sends: the snapshot page by page, and the changes since a revision.

mod policies;

use latchkey_policy::key::KeyDigest;
use latchkey_policy::record::{KeyRecord, PolicyRecord};
use sqlx::{FromRow, SqliteConnection};
use tokio_stream::StreamExt as _;

use super::at_rest::AtRest;
use super::{Chunks, Store, StoreError, Tag, history, removals, routes};
use policies::{changed_policies, live_policies, policy};
pub use whole::{Page, Place};

/// All that changed after one revision and up to another.
#[derive(Debug)]
pub struct Changes {
    /// Applied to a snapshot of the first, this makes one of `to`.
    pub to: u64,
    /// What vouches for `to`.
    pub tag: Tag,
    /// The route rules' one record, if they have changed.
    pub routes: Option<routes::RouteRecords>,
    /// Policies that are new or have changed.
    pub policies: Chunks,
    /// Keys that are new or have changed.
    pub keys: Chunks,
    /// Digests of keys that were revoked or expired a day ago, and of secrets that are no more.
    pub removed: Chunks,
    /// Ids of policies that no live key has any more, little-endian.
    pub removed_policies: Chunks,
    /// Since which revision keys are refused that are not all removed at `to`, as their owners have
    /// ended.
    pub ended_since: Option<u64>,
}

/// Keys by their current secrets, those for which the rest holds.
macro_rules! current {
    ($rest:literal) => {
        concat!(
            "SELECT seq, slot, id, policy_id, digest, sealed, secret, name, expires_at, disabled, \
             slot IS NULL AS removed FROM keys WHERE ",
            $rest
        )
    };
}

/// The same by their old ones: `o` is the secret, and `k` its key.
macro_rules! old {
    ($rest:literal) => {
        concat!(
            "SELECT k.seq, k.slot, k.id, k.policy_id, o.digest, o.sealed, o.secret, k.name, \
             MIN(o.ends_at, COALESCE(k.expires_at, o.ends_at)) AS expires_at, k.disabled, o.removed \
             FROM old_secrets o CROSS JOIN keys k ON k.seq = o.key_seq WHERE ",
            $rest
        )
    };
}

// It uses the macro.
mod whole;

/// A secret, with its key.
#[derive(FromRow)]
struct KeyRow {
    seq: i64,
    slot: Option<u32>,
    id: String,
    policy_id: i64,
    digest: Vec<u8>,
    /// Of an imported secret that is not opened yet.
    sealed: Option<Vec<u8>>,
    secret: u32,
    name: String,
    expires_at: Option<i64>,
    disabled: bool,
    removed: bool,
}

impl KeyRow {
    /// Puts the digest itself in the place of what the database has.
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
    /// About how many keys, by each of their secrets, a snapshot holds.
    pub async fn live_keys(&self) -> Result<u64, StoreError> {
        const QUERY: &str = "SELECT (SELECT COUNT(*) FROM keys WHERE slot IS NOT NULL) \
             + (SELECT COUNT(*) FROM old_secrets WHERE NOT removed)";
        let count: i64 = sqlx::query_scalar(QUERY).fetch_one(&self.0.readers).await?;
        Ok(count.cast_unsigned())
    }

    /// Every policy that a live key has, at the newest revision.
    pub async fn policies(&self) -> Result<Chunks, StoreError> {
        live_policies(&self.0.readers).await
    }

    /// Whether fewer than `bound` secrets, or keys, have changed after `revision`, and all that
    /// were removed are known.
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

    /// All changes after `revision`, as of one moment. Fails with [`StoreError::Pruned`] if
    /// removals after it are no longer kept.
    pub async fn changes_since(&self, revision: u64) -> Result<Changes, StoreError> {
        const QUERY: &str = concat!(
            current!("revision > ?1"),
            " UNION ALL ",
            old!("o.revision > ?1")
        );
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

/// One live key by one of its secrets, as nodes get it.
pub(super) struct LiveKey {
    /// The key's number.
    pub(super) number: u64,
    /// Encoded.
    pub(super) record: Vec<u8>,
    pub(super) policy: PolicyRecord,
}

/// The account's live key of this digest.
pub(super) async fn live_key(
    transaction: &mut SqliteConnection,
    at_rest: &AtRest,
    account_id: &str,
    digest: &KeyDigest,
) -> Result<Option<LiveKey>, StoreError> {
    const QUERY: &str = concat!(
        current!("digest IN (?1, ?2) AND account_id = ?3 AND slot IS NOT NULL"),
        " UNION ALL ",
        old!("o.digest IN (?1, ?2) AND k.account_id = ?3 AND NOT o.removed")
    );
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
