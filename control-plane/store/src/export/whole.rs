//! All live keys, for nodes that start without any data.

use latchkey_policy::key::KeyDigest;
use latchkey_policy::record::{Kind, Records};
use serde::Deserialize;
use tokio::task;
use tokio_stream::StreamExt as _;

use super::{KeyRow, push_key};
use crate::{Chunks, Store, StoreError, from_json};

/// The number of keys that are read at a time.
const PAGE: u32 = 10_000;

/// The approximate number of keys that are sorted at a time: their records fill most of a run.
const BUCKET: u64 = 2_000;

const MAX_BUCKETS: usize = 1 << 16;

/// A part of the live keys, with each of their secrets.
#[derive(Debug)]
pub struct Page {
    /// The keys' records.
    pub keys: Chunks,
    /// The position at which the next page begins. `None` after the last one.
    pub next: Option<Place>,
}

/// The row of the store after which a page begins. Keys come by their current secrets first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The key's number.
    Key(i64),
    /// An old secret's digest as it is stored, empty for the first page.
    OldSecret(Vec<u8>),
}

/// A secret, its position in the store, and the other columns as JSON: they are one value, because
/// each separate value costs an allocation and a lock on its way from SQLite's thread.
type PackedRow = (i64, Vec<u8>, Option<Vec<u8>>, String);

/// The other columns of a key, in their order.
#[derive(Deserialize)]
struct Rest(Option<u32>, String, i64, u32, String, Option<i64>, u8);

impl Store {
    /// Returns at most `limit` live keys, with each of their secrets, that follow `after` and have
    /// not changed since `revision`. Keys that have are among the
    /// [`changes_since`](Self::changes_since) it. Disabled keys are live too, and so are keys that
    /// have expired within the last day: a node distinguishes them from unknown ones.
    pub async fn snapshot_page(
        &self,
        revision: u64,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Page, StoreError> {
        let mut keys = Chunks::default();
        let next = self
            .visit_page(revision, after, limit, |row| {
                push_key(row, &mut keys).map(|_| ())
            })
            .await?;
        Ok(Page { keys, next })
    }

    /// Returns all live keys, with each of their secrets, that have not changed since `revision`.
    /// They are in the order of their digests, so that a node fills its table one page after the
    /// other. They are read in the order in which they are stored, which costs a fraction of
    /// reading them in another order.
    pub async fn snapshot(&self, revision: u64) -> Result<Chunks, StoreError> {
        let mut buckets = Buckets::new(self.live_keys().await?);
        let mut after = None;
        loop {
            after = self
                .visit_page(revision, after, PAGE, |row| buckets.push(row))
                .await?;
            if after.is_none() {
                return buckets.sorted().await;
            }
        }
    }

    /// Passes the page's rows to `visit`, and returns where the next page begins.
    async fn visit_page(
        &self,
        revision: u64,
        after: Option<Place>,
        limit: u32,
        mut visit: impl FnMut(&KeyRow) -> Result<(), StoreError>,
    ) -> Result<Option<Place>, StoreError> {
        let last = match after.unwrap_or(Place::Key(0)) {
            Place::Key(after) => {
                let last = self.visit_keys(revision, after, limit, &mut visit).await?;
                last.map_or_else(|| Place::OldSecret(Vec::new()), Place::Key)
            }
            Place::OldSecret(after) => {
                return self
                    .visit_old_secrets(revision, after, limit, &mut visit)
                    .await;
            }
        };
        Ok(Some(last))
    }

    /// Visits keys by their current secrets. Returns the last row's key if there may be more.
    async fn visit_keys(
        &self,
        revision: u64,
        after: i64,
        limit: u32,
        visit: &mut impl FnMut(&KeyRow) -> Result<(), StoreError>,
    ) -> Result<Option<i64>, StoreError> {
        const QUERY: &str = "SELECT seq, digest, sealed, json_array(slot, id, policy_id, secret, name, expires_at, disabled) \
             FROM keys WHERE seq > ?1 AND slot IS NOT NULL AND revision <= ?2 ORDER BY seq LIMIT ?3";
        let query = sqlx::query_as(QUERY)
            .bind(after)
            .bind(revision.cast_signed())
            .bind(limit);
        let mut rows = query.fetch(&self.0.readers);
        let (mut last, mut count) = (None, 0);
        while let Some(row) = rows.try_next().await? {
            let (seq, digest, sealed, rest): PackedRow = row;
            let Rest(slot, id, policy_id, secret, name, expires_at, disabled) =
                from_json(&rest, "a key's row")?;
            let disabled = disabled != 0;
            let row = KeyRow {
                seq,
                slot,
                id,
                policy_id,
                digest,
                sealed,
                secret,
                name,
                expires_at,
                disabled,
                removed: false,
            };
            visit(&row.open(&self.0.at_rest)?)?;
            last = Some(seq);
            count += 1;
        }
        Ok(last.filter(|_| count == limit))
    }

    async fn visit_old_secrets(
        &self,
        revision: u64,
        after: Vec<u8>,
        limit: u32,
        visit: &mut impl FnMut(&KeyRow) -> Result<(), StoreError>,
    ) -> Result<Option<Place>, StoreError> {
        const QUERY: &str = "SELECT * FROM replaced_secrets \
             WHERE digest > ?1 AND NOT removed AND revision <= ?2 ORDER BY digest LIMIT ?3";
        let query = sqlx::query_as(QUERY)
            .bind(after)
            .bind(revision.cast_signed())
            .bind(limit);
        let mut rows = query.fetch(&self.0.readers);
        let (mut last, mut count) = (None, 0);
        while let Some(row) = rows.try_next().await? {
            let row: KeyRow = row;
            last = Some(row.digest.clone());
            visit(&row.open(&self.0.at_rest)?)?;
            count += 1;
        }
        Ok(last.filter(|_| count == limit).map(Place::OldSecret))
    }
}

/// Records grouped by the first bits of their digests, so that few have to be sorted at a time.
struct Buckets {
    buckets: Vec<Vec<u8>>,
    /// The number of bits by which the first 16 bits of a digest are shifted right to get the
    /// bucket's number.
    shift: u32,
}

impl Buckets {
    /// Creates buckets for about `records` records.
    fn new(records: u64) -> Self {
        let count = usize::try_from(records / BUCKET)
            .unwrap_or(MAX_BUCKETS)
            .clamp(1, MAX_BUCKETS)
            .next_power_of_two();
        Self {
            buckets: vec![Vec::new(); count],
            shift: u16::BITS.saturating_sub(count.trailing_zeros()),
        }
    }

    fn push(&mut self, row: &KeyRow) -> Result<(), StoreError> {
        let record = super::key_record(row)?;
        let KeyDigest([first, second, ..]) = record.digest;
        let bucket = usize::from(u16::from_be_bytes([first, second])) >> self.shift;
        // There is a bucket for each value of those bits.
        self.buckets
            .get_mut(bucket)
            .map_or(Ok(()), |bucket| Ok(record.encode(bucket)?))
    }

    async fn sorted(self) -> Result<Chunks, StoreError> {
        let mut sorted = Chunks::default();
        for bucket in self.buckets {
            let records = Records::new(Kind::Key, &bucket).collect::<Result<Vec<_>, _>>();
            let mut records = records.map_err(|_| StoreError::Damaged("a record"))?;
            records.sort_unstable_by_key(|(digest, _)| *digest);
            for (_, record) in records {
                sorted.push(|out| {
                    out.extend_from_slice(record);
                    Ok::<_, StoreError>(())
                })?;
            }
            // Other tasks have to run too.
            task::yield_now().await;
        }
        Ok(sorted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_policy::record::KeyRecord;

    fn row(number: u32) -> KeyRow {
        KeyRow {
            seq: number.into(),
            slot: Some(number),
            id: format!("key_{number:012}"),
            policy_id: 1,
            digest: KeyDigest::of(&number.to_le_bytes()).0.to_vec(),
            sealed: None,
            secret: 1,
            name: format!("service {number}"),
            expires_at: None,
            disabled: false,
            removed: false,
        }
    }

    /// The number of buckets makes no difference.
    #[tokio::test]
    async fn records_are_ordered_by_digest() {
        for (records, buckets) in [
            (0, 1),
            (1_999, 1),
            (6_000, 4),
            (1_000_000, 512),
            (u64::MAX, 65_536),
        ] {
            let mut into = Buckets::new(records);
            assert_eq!(into.buckets.len(), buckets);
            (0..3_000).for_each(|number| into.push(&row(number)).unwrap());
            let sorted = into
                .sorted()
                .await
                .unwrap()
                .into_iter()
                .collect::<Vec<_>>()
                .concat();
            let sorted: Vec<_> = Records::new(Kind::Key, &sorted)
                .map(|record| record.unwrap())
                .collect();
            assert_eq!(sorted.len(), 3_000);
            assert!(sorted.is_sorted_by_key(|(digest, _)| *digest));
            assert!(
                sorted
                    .iter()
                    .all(|(_, record)| KeyRecord::decode(record).is_ok())
            );
        }
    }
}
