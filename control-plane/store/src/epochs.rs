//! The epochs of former histories whose nodes this database serves. A restore records them, or an
//! operator accepts them.

use sqlx::SqliteExecutor;
use std::collections::BTreeSet;
use tokio::sync::watch;

use super::audit::{Event, Target};
use super::revision::run_to_completion;
use super::{Authorized, Epoch, Store, StoreError};

impl Store {
    /// Returns whether nodes of this epoch are served: it is the database's own, or an accepted
    /// one.
    pub fn accepts(&self, epoch: &Epoch) -> bool {
        self.0.epoch == *epoch || self.0.accepted.borrow().contains(epoch)
    }

    /// Returns a receiver that wakes when an epoch is accepted.
    pub fn watch_accepted(&self) -> watch::Receiver<BTreeSet<Epoch>> {
        self.0.accepted.subscribe()
    }
}

impl Authorized {
    /// Accepts the nodes of these epochs from now on.
    pub async fn accept_epochs(self, epochs: BTreeSet<Epoch>) -> Result<(), StoreError> {
        let store = self.store().clone();
        run_to_completion(async move {
            let mut authorized = self.begin_local().await?;
            let now = authorized.now;
            for epoch in &epochs {
                accept(&mut *authorized.tx, epoch, now).await?;
            }
            let target = |epoch| Target {
                kind: "epoch",
                id: Some(hex::encode(epoch)),
                name: None,
            };
            let events: Vec<_> = epochs
                .iter()
                .map(|epoch| Event::done("nodes.accept_epoch", target(epoch)))
                .collect();
            authorized.commit(&events).await?;
            store
                .0
                .accepted
                .send_modify(|accepted| accepted.extend(epochs));
            Ok(())
        })
        .await
    }
}

/// Records an accepted epoch.
pub(super) async fn accept(
    to: impl SqliteExecutor<'_>,
    epoch: &[u8],
    now: i64,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(
        "INSERT INTO accepted_epochs (epoch, accepted_at) VALUES (?, ?) ON CONFLICT DO NOTHING",
    );
    query.bind(epoch).bind(now).execute(to).await?;
    Ok(())
}

/// Returns all accepted epochs.
pub(super) async fn accepted(from: impl SqliteExecutor<'_>) -> Result<BTreeSet<Epoch>, StoreError> {
    let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT epoch FROM accepted_epochs")
        .fetch_all(from)
        .await?;
    rows.into_iter()
        .map(|epoch| {
            epoch
                .try_into()
                .map_err(|_| StoreError::Damaged("an epoch"))
        })
        .collect()
}
