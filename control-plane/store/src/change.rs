//! A transaction that changes what nodes decide by: it advances the revision, and tells of it once
//! it is committed.

use sqlx::{Sqlite, SqliteConnection, Transaction};
use std::sync::Arc;
use std::time::Instant;
use tracing::Instrument as _;

use super::at_rest::AtRest;
use super::{Head, Shared, Store, StoreError, history, secrets};

/// Dropped, it leaves everything as it was.
pub(super) struct Change {
    transaction: Transaction<'static, Sqlite>,
    /// What every changed row is stamped with, and what vouches for it.
    head: Head,
    /// Since then nobody else can write.
    began: Instant,
    store: Arc<Shared>,
}

impl Change {
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

    /// What encrypts digests of imported keys.
    pub(super) fn at_rest(&self) -> &AtRest {
        &self.store.at_rest
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    /// Returns the revision that is now in force. What follows from the keys that have changed is
    /// part of the change, whatever changed them.
    pub(super) async fn commit(mut self) -> Result<u64, StoreError> {
        secrets::follow_keys(&mut self).await?;
        secrets::tell_of_imported(&mut self).await?;
        let committed = match self.store.file.check() {
            Ok(()) => self.transaction.commit().await.map_err(StoreError::from),
            // Nobody would find it.
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

/// Runs a write to its end, even if the caller stops waiting: what is committed is always told of.
/// What it logs belongs to the caller's request.
pub(super) async fn to_its_end<T: Send + 'static, E: From<StoreError> + Send + 'static>(
    write: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E> {
    tokio::spawn(write.in_current_span())
        .await
        .map_err(|_| StoreError::Interrupted)?
}
