//! Slots: where nodes count keys. The live keys' and the free ones are together all numbers below the most that were
//! ever needed at once. A slot is given out again only after an hour: until then, a node that is cut off may still have
//! something to report of the key that had it.

use super::StoreError;
use super::change::Change;

const REST_SECONDS: i64 = 3600;

/// Slots for `count` new keys: free ones, the longest rested first, and then such as never were.
pub(super) async fn take(change: &mut Change, count: usize, now: i64) -> Result<Vec<u32>, StoreError> {
    const NEVER_TAKEN: &str = "SELECT COALESCE(MAX(slot) + 1, 0) FROM \
         (SELECT MAX(slot) AS slot FROM keys WHERE revoked_at IS NULL UNION ALL SELECT MAX(slot) FROM free_slots)";
    const TAKE: &str = "DELETE FROM free_slots WHERE slot IN \
         (SELECT slot FROM free_slots WHERE freed_at <= ? ORDER BY freed_at, slot LIMIT ?) RETURNING slot";
    let never_taken: u32 = sqlx::query_scalar(NEVER_TAKEN).fetch_one(change.connection()).await?;
    let limit = i64::try_from(count).unwrap_or(i64::MAX);
    let take = sqlx::query_scalar(TAKE).bind(now.saturating_sub(REST_SECONDS)).bind(limit);
    let mut slots: Vec<u32> = take.fetch_all(change.connection()).await?;
    slots.sort_unstable();
    let missing = count.saturating_sub(slots.len());
    slots.extend((never_taken..=u32::MAX).take(missing));
    Ok(slots)
}

/// Frees the slots of the keys that this change has revoked.
pub(super) async fn free(change: &mut Change) -> Result<(), StoreError> {
    const FREE: &str = "INSERT INTO free_slots (slot, freed_at) SELECT slot, revoked_at FROM keys \
         WHERE revision = ? AND revoked_at IS NOT NULL AND slot IS NOT NULL";
    const LEAVE: &str = "UPDATE keys SET slot = NULL WHERE revision = ? AND revoked_at IS NOT NULL";
    let revision = change.revision();
    for statement in [FREE, LEAVE] {
        sqlx::query(statement).bind(revision).execute(change.connection()).await?;
    }
    Ok(())
}
