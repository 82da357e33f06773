//! The nodes that may be deciding requests. They are stored so that a control plane still counts
//! them after a restart. Nodes of former histories are served if their epoch is accepted: a restore
//! records it, or an operator accepts it.

use sqlx::FromRow;
use sqlx::SqliteExecutor;
use std::collections::BTreeSet;
use tokio::sync::watch;

use super::audit::{Event, Target};
use super::revision::run_to_completion;
use super::{Authorized, Epoch, Store, StoreError};

/// No limit, for an uptime and for a duration.
pub const FOREVER: i64 = i64::MAX;

/// One Envoy process.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct NodeRow {
    /// Envoy's `node.id`.
    pub node_id: String,
    /// The SHA-256 of the secret that distinguishes it from other nodes of that id, in hexadecimal.
    pub secret_hash: String,
    /// The name under which its usage is stored.
    pub meter: String,
    /// Its number in hexadecimal, if it is of version 0.1.
    pub instance: Option<String>,
    /// The filter's version.
    pub version: String,
    /// The version of the messages that it knows.
    pub protocol: u32,
    /// The staleness limit that it has reported, in seconds; 0 is none.
    pub staleness: i64,
    /// The uptime at which it was lost, in seconds.
    pub lost_at: Option<i64>,
    /// The time at which it was lost, in Unix seconds.
    pub lost_since: Option<i64>,
}

impl NodeRow {
    /// Returns the limit that it has reported, where none is [`FOREVER`]. Version 0.1 reports
    /// nothing, which is returned as 0.
    fn reported_limit(&self) -> i64 {
        match (self.protocol, self.staleness) {
            (0, _) => 0,
            (_, 0) => FOREVER,
            (_, staleness) => staleness,
        }
    }
}

/// A node's `node.id` and the hash of its secret.
pub type NodeKey = (String, String);

const FORGET: &str = "DELETE FROM nodes WHERE node_id = ? AND secret_hash = ?";

impl Store {
    /// Records the nodes that have `come`, deletes those that are `gone`, and records the uptime
    /// until which unknown nodes may serve, if that is later than before. All of it is one
    /// transaction.
    pub async fn write_nodes(
        &self,
        come: impl Iterator<Item = &NodeRow>,
        gone: &[NodeKey],
        unknown_until: Option<i64>,
    ) -> Result<(), StoreError> {
        let written: Result<(), StoreError> = async {
            let mut transaction = self.0.begin().await?;
            let mut longest = 0;
            for node in come {
                write(&mut *transaction, node).await?;
                longest = longest.max(node.reported_limit());
            }
            raise_longest_limit(&mut *transaction, longest).await?;
            if let Some(until) = unknown_until {
                const RAISE: &str =
                    "UPDATE meta SET unknown_until = MAX(COALESCE(unknown_until, 0), ?)";
                sqlx::query(RAISE)
                    .bind(until)
                    .execute(&mut *transaction)
                    .await?;
            }
            for (node_id, secret_hash) in gone {
                sqlx::query(FORGET)
                    .bind(node_id)
                    .bind(secret_hash)
                    .execute(&mut *transaction)
                    .await?;
            }
            Ok(transaction.commit().await?)
        }
        .await;
        if let Err(error) = &written {
            self.0.health.record(Some(error));
        }
        written
    }
}

impl Authorized {
    /// Forgets lost nodes. With `unknown`, unknown nodes are forgotten as well.
    pub async fn forget_nodes(
        self,
        nodes: BTreeSet<NodeKey>,
        unknown: bool,
    ) -> Result<(), StoreError> {
        run_to_completion(async move {
            let mut authorized = self.begin_local().await?;
            let mut events = Vec::with_capacity(nodes.len());
            for (node_id, secret_hash) in &nodes {
                sqlx::query(FORGET)
                    .bind(node_id)
                    .bind(secret_hash)
                    .execute(&mut *authorized.tx)
                    .await?;
                let handle = secret_hash.get(..12).unwrap_or(secret_hash);
                events.push(Event::done(
                    "nodes.forget",
                    Target::new("node", handle, node_id),
                ));
            }
            if unknown {
                sqlx::query("UPDATE meta SET unknown_until = NULL, longest_limit = 0")
                    .execute(&mut *authorized.tx)
                    .await?;
                // No other node serves after this, so no other one counts after a start that does
                // not know what happened.
                let known = all(&mut *authorized.tx).await?;
                let longest = known
                    .iter()
                    .map(NodeRow::reported_limit)
                    .max()
                    .unwrap_or_default();
                raise_longest_limit(&mut *authorized.tx, longest).await?;
                events.push(Event::done(
                    "nodes.forget",
                    Target::new("node", "unknown", "unknown"),
                ));
            }
            authorized.commit(&events).await
        })
        .await
    }
}

/// Keeps the longest limit that any node has reported, even if the node is deleted.
pub(super) async fn raise_longest_limit(
    to: impl SqliteExecutor<'_>,
    limit: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE meta SET longest_limit = ?1 WHERE longest_limit < ?1")
        .bind(limit)
        .execute(to)
        .await?;
    Ok(())
}

/// Inserts a node, or replaces its row.
pub(super) async fn write(to: impl SqliteExecutor<'_>, node: &NodeRow) -> Result<(), sqlx::Error> {
    const WRITE: &str = "INSERT OR REPLACE INTO nodes (node_id, secret_hash, meter, instance, version, protocol, \
         staleness, lost_at, lost_since) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let query = sqlx::query(WRITE)
        .bind(&node.node_id)
        .bind(&node.secret_hash)
        .bind(&node.meter);
    let query = query
        .bind(&node.instance)
        .bind(&node.version)
        .bind(node.protocol)
        .bind(node.staleness);
    query
        .bind(node.lost_at)
        .bind(node.lost_since)
        .execute(to)
        .await?;
    Ok(())
}

/// Returns all nodes.
pub(super) async fn all(from: impl SqliteExecutor<'_>) -> Result<Vec<NodeRow>, sqlx::Error> {
    const QUERY: &str = "SELECT node_id, secret_hash, meter, instance, version, protocol, staleness, lost_at, \
         lost_since FROM nodes";
    sqlx::query_as(QUERY).fetch_all(from).await
}

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
                accept_epoch(&mut *authorized.tx, epoch, now).await?;
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
pub(super) async fn accept_epoch(
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
pub(super) async fn accepted_epochs(
    from: impl SqliteExecutor<'_>,
) -> Result<BTreeSet<Epoch>, StoreError> {
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
