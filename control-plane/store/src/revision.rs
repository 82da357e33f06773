//! A transaction that changes data that nodes decide by: it advances the revision, and announces it
//! once it is committed.

use sqlx::{Sqlite, SqliteConnection, Transaction};
use std::sync::Arc;
use std::time::Instant;
use tracing::Instrument as _;

use super::at_rest::AtRest;
use super::{Head, Shared, Store, StoreError, history};

/// A change under way. Dropping it rolls everything back.
pub(super) struct RevisionTx {
    transaction: Transaction<'static, Sqlite>,
    /// The new revision, which every changed row is stamped with, and its tag.
    head: Head,
    /// The time since which other writers wait.
    began: Instant,
    store: Arc<Shared>,
}

impl RevisionTx {
    pub(super) async fn begin(store: &Store) -> Result<Self, StoreError> {
        let mut transaction = store.0.begin().await?;
        let began = Instant::now();
        let head = history::advance(&mut transaction).await?;
        Ok(Self {
            transaction,
            head,
            began,
            store: store.0.clone(),
        })
    }

    pub(super) fn revision(&self) -> i64 {
        self.head.revision.cast_signed()
    }

    /// Returns the keys that encrypt digests of imported keys.
    pub(super) fn at_rest(&self) -> &AtRest {
        &self.store.at_rest
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    /// Commits, and returns the revision that is now in force. The consequences for the secrets of
    /// changed keys are part of the same change.
    pub(super) async fn commit(mut self) -> Result<u64, StoreError> {
        let revision = self.revision();
        follow_keys(&mut self.transaction, revision).await?;
        record_imported(&mut self.transaction, revision).await?;
        let committed = match self.store.file.check() {
            Ok(()) => self.transaction.commit().await.map_err(StoreError::from),
            // The file at the path is another one, so the change would be lost.
            Err(error) => Err(error),
        };
        if let Err(error) = committed {
            self.store.health.record(Some(&error));
            return Err(error);
        }
        self.store
            .writes
            .observe(self.began.elapsed().as_secs_f64());
        let head = self.head;
        // A later change can get here first: its transaction began when this one had ended.
        self.store.head.send_if_modified(|newest| {
            let newer = newest.revision < head.revision;
            if newer {
                *newest = head;
            }
            newer
        });
        Ok(head.revision)
    }
}

/// Marks the old secrets of changed keys as changed, because their records contain the same data of
/// the key. Those of keys that have left the snapshot are removed.
async fn follow_keys(on: &mut SqliteConnection, revision: i64) -> Result<(), StoreError> {
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
async fn record_imported(on: &mut SqliteConnection, revision: i64) -> Result<(), StoreError> {
    const RECORD: &str = "WITH now (imported) AS (SELECT \
         EXISTS (SELECT 1 FROM keys WHERE imported = TRUE AND slot IS NOT NULL) \
         OR EXISTS (SELECT 1 FROM old_secrets WHERE imported AND NOT removed)) \
         UPDATE routes SET imported = now.imported, revision = ? FROM now WHERE routes.imported <> now.imported";
    sqlx::query(RECORD).bind(revision).execute(&mut *on).await?;
    Ok(())
}

/// Runs a write to completion, even if the caller stops waiting, so that what is committed is
/// always announced. Its log lines belong to the caller's request.
pub(super) async fn run_to_completion<T: Send + 'static, E: From<StoreError> + Send + 'static>(
    write: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E> {
    tokio::spawn(write.in_current_span())
        .await
        .map_err(|_| StoreError::Interrupted)?
}
