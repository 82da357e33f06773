//! Slots: the places in which nodes count keys. A key is in the snapshot exactly while it has a
//! slot. The slots of keys and the free ones are together all numbers below the maximum that was
//! ever needed at once. A slot is assigned again only after an hour: until then, a disconnected
//! node may still have counts to report for the key that had it.
//!
//! A node's counters in a slot belong to the key with the highest number that has used it. Nodes
//! assume that a key with a lower number has lost the slot. New keys have the highest numbers. A
//! key that returns to the snapshot gets a slot that no later key has had: its own, if no key took
//! it.

use super::revision::RevisionTx;
use super::{StoreError, usage};

const REST_SECONDS: i64 = 3600;

/// Returns slots for `count` new keys: first the free ones, starting with those that were freed
/// first, and then new ones.
pub(super) async fn take(
    change: &mut RevisionTx,
    count: usize,
    now: i64,
) -> Result<Vec<u32>, StoreError> {
    const TAKE: &str = "DELETE FROM free_slots WHERE slot IN \
         (SELECT slot FROM free_slots WHERE freed_at <= ? ORDER BY freed_at, slot LIMIT ?) RETURNING slot";
    let never_taken = never_taken(change).await?;
    let limit = i64::try_from(count).unwrap_or(i64::MAX);
    let take = sqlx::query_scalar(TAKE)
        .bind(now.saturating_sub(REST_SECONDS))
        .bind(limit);
    let mut slots: Vec<u32> = take.fetch_all(change.connection()).await?;
    slots.sort_unstable();
    let missing = count.saturating_sub(slots.len());
    slots.extend((never_taken..=u32::MAX).take(missing));
    Ok(slots)
}

/// Assigns a slot to the key with the number `seq`, which had one before and lost it. In another
/// slot than its previous one, nodes count its requests from zero.
pub(super) async fn take_again(
    change: &mut RevisionTx,
    seq: i64,
    now: i64,
) -> Result<(), StoreError> {
    const OWN_OR_EARLIER: &str = "SELECT slot, last_key FROM free_slots \
         WHERE last_key <= ?1 AND (last_key = ?1 OR freed_at <= ?2) ORDER BY last_key DESC LIMIT 1";
    let query = sqlx::query_as(OWN_OR_EARLIER)
        .bind(seq)
        .bind(now.saturating_sub(REST_SECONDS));
    let free: Option<(u32, i64)> = query.fetch_optional(change.connection()).await?;
    let slot = match free {
        Some((slot, _)) => slot,
        None => never_taken(change).await?,
    };
    sqlx::query("DELETE FROM free_slots WHERE slot = ?")
        .bind(slot)
        .execute(change.connection())
        .await?;
    if free.is_none_or(|(_, last_key)| last_key != seq) {
        usage::forget(change.connection(), seq).await?;
    }
    let give = sqlx::query("UPDATE keys SET slot = ?, revision = ? WHERE seq = ?")
        .bind(slot)
        .bind(change.revision());
    give.bind(seq).execute(change.connection()).await?;
    Ok(())
}

async fn never_taken(change: &mut RevisionTx) -> Result<u32, StoreError> {
    const NEVER_TAKEN: &str = "SELECT COALESCE(MAX(slot) + 1, 0) FROM \
         (SELECT MAX(slot) AS slot FROM keys WHERE slot IS NOT NULL UNION ALL SELECT MAX(slot) FROM free_slots)";
    Ok(sqlx::query_scalar(NEVER_TAKEN)
        .fetch_one(change.connection())
        .await?)
}

/// The keys that lose their slots.
#[derive(Debug, Clone, Copy)]
pub(super) enum Leaving {
    /// All keys that this change has revoked.
    Revoked,
    /// All keys that this change has stamped.
    Stamped,
}

/// Frees the slots of keys that leave the snapshot by this change.
pub(super) async fn free(
    change: &mut RevisionTx,
    leaving: Leaving,
    now: i64,
) -> Result<(), StoreError> {
    let (free, leave) = match leaving {
        Leaving::Revoked => (
            "INSERT INTO free_slots (slot, freed_at, last_key) SELECT slot, ?, seq FROM keys \
             WHERE revision = ? AND revoked_at IS NOT NULL AND slot IS NOT NULL",
            "UPDATE keys SET slot = NULL WHERE revision = ? AND revoked_at IS NOT NULL",
        ),
        Leaving::Stamped => (
            "INSERT INTO free_slots (slot, freed_at, last_key) SELECT slot, ?, seq FROM keys \
             WHERE revision = ? AND slot IS NOT NULL",
            "UPDATE keys SET slot = NULL WHERE revision = ?",
        ),
    };
    let revision = change.revision();
    sqlx::query(free)
        .bind(now)
        .bind(revision)
        .execute(change.connection())
        .await?;
    sqlx::query(leave)
        .bind(revision)
        .execute(change.connection())
        .await?;
    Ok(())
}
