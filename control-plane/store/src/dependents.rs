//! Rows that depend on the keys that a change has stamped: they are updated at its commit.

use sqlx::SqliteConnection;

use super::StoreError;

/// Marks the old secrets of changed keys as changed, because their records contain the same data of
/// the key. Those of keys that have left the snapshot are removed.
pub(super) async fn follow_keys(
    on: &mut SqliteConnection,
    revision: i64,
) -> Result<(), StoreError> {
    // The joins are in this order, so that the cost depends on the number of changed rows.
    const FOLLOW: &str = "UPDATE old_secrets SET revision = ?1, \
         removed = (SELECT slot IS NULL FROM keys WHERE seq = key_seq) \
         WHERE digest IN (SELECT o.digest FROM keys k CROSS JOIN old_secrets o ON o.key_seq = k.seq \
         WHERE k.revision = ?1 AND NOT o.removed)";
    sqlx::query(FOLLOW).bind(revision).execute(&mut *on).await?;
    Ok(())
}

/// Marks the settings record as changed when the first imported secret is added, and when the last
/// one is removed.
pub(super) async fn record_imported(
    on: &mut SqliteConnection,
    revision: i64,
) -> Result<(), StoreError> {
    const RECORD: &str = "WITH now (imported) AS (SELECT \
         EXISTS (SELECT 1 FROM keys WHERE imported = TRUE AND slot IS NOT NULL) \
         OR EXISTS (SELECT 1 FROM old_secrets WHERE imported AND NOT removed)) \
         UPDATE routes SET imported = now.imported, revision = ? FROM now WHERE routes.imported <> now.imported";
    sqlx::query(RECORD).bind(revision).execute(&mut *on).await?;
    Ok(())
}
