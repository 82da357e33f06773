//! Lost nodes. Calls wait for them during the grace period, and they count until they can no longer
//! serve.
//!
//! Durations are measured by monotonic time, and across restarts by the uptime in the database. So
//! neither a changed clock nor time without a running control plane makes a node expire early.

use latchkey_store::{NodeRow, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time;
use tracing::{info, warn};

use super::expiry::Expiry;
use super::nodes::Node;
use super::{NodeId, Registry, Shared};
use crate::nodes::hello::NodeProperties;

/// Returns the duration in whole seconds, rounded up.
pub(super) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX)
}

impl Registry {
    /// Removes nodes that were forgotten in the store, unless they are connected again.
    pub fn forget(&self, ids: &[NodeId]) {
        let mut nodes = self.0.lock();
        for id in ids {
            if nodes.get(id).is_some_and(|node| node.open_stream.is_none()) {
                nodes.remove(id);
            }
        }
        self.0.notify_waiters(&nodes);
        drop(nodes);

        // A node that has returned by now has to be stored again.
        ids.iter().for_each(|id| self.0.rewrite(id));
    }
}

impl Shared {
    /// Schedules that the node is stored again, if it is still known.
    fn rewrite(&self, id: &NodeId) {
        let mut nodes = self.lock();
        if let Some(stream) = nodes.get(id).map(|node| node.stream) {
            nodes.change(id, stream, |node| node.stored_row = None);
        }
        drop(nodes);
        self.schedule_update(id.clone());
    }

    /// Adds the stored nodes of earlier runs.
    pub(super) fn restore(self: Arc<Self>, rows: Vec<NodeRow>) -> Result<(), StoreError> {
        for row in rows {
            let id = NodeId {
                node_id: row.node_id.clone(),
                secret_hash: row.secret_hash.clone(),
            };
            let instance = row
                .instance
                .as_deref()
                .map(|instance| u64::from_str_radix(instance, 16))
                .transpose();
            let facts = NodeProperties {
                version: row.version.clone(),
                protocol: row.protocol,
                staleness: row.staleness.cast_unsigned(),
                meter: row.meter.clone(),
                instance: instance.map_err(|_| StoreError::Damaged("a node"))?,
            };

            let lost_at = row
                .lost_at
                .unwrap_or(self.uptime_before)
                .min(self.uptime_before);
            let lost_for = self.uptime_before.saturating_sub(lost_at);
            let since = row.lost_since.unwrap_or_else(|| self.clock.now());

            let mut nodes = self.lock();
            let stream = nodes.new_stream();
            let mut node = Node::lost(stream, facts, since, lost_at);
            node.grace_over = row.lost_at.is_some();
            node.stored_row = Some(row);
            nodes.insert(id.clone(), node);
            self.notify_waiters(&nodes);
            drop(nodes);

            self.clone()
                .start_expiry(id, stream, Duration::from_secs(lost_for.cast_unsigned()));
        }
        Ok(())
    }

    /// Starts the expiry of a node that was lost `lost_for` ago. It ends if the node returns.
    pub(super) fn start_expiry(self: Arc<Self>, id: NodeId, stream: u64, lost_for: Duration) {
        let Some(limit) = self.lock().get(&id).map(|node| {
            self.limits
                .counts_for(node.facts.protocol, node.facts.staleness)
        }) else {
            return;
        };

        let task = tokio::spawn({
            let (shared, id) = (self.clone(), id.clone());
            async move {
                let mut stop = shared.stop.clone();
                tokio::select! {
                    can_serve = shared.expire(&id, stream, lost_for, limit) => if !can_serve {
                        shared.remove_expired(id, stream);
                    },
                    // A control plane that stops forgets no node.
                    () = stop.requested() => {}
                }
            }
        });

        let expiry = Expiry::new(task.abort_handle());
        self.change(&id, stream, |node| node.expiry = Some(expiry));
    }

    /// Returns false once the node can no longer serve. Returns true if the node has returned or
    /// has no limit.
    async fn expire(
        &self,
        id: &NodeId,
        stream: u64,
        lost_for: Duration,
        limit: Option<Duration>,
    ) -> bool {
        let grace = self.limits.grace;
        time::sleep(grace.saturating_sub(lost_for)).await;
        if limit.is_none_or(|limit| limit > grace.max(lost_for)) {
            if !self.change(id, stream, |node| node.grace_over = true) {
                return true;
            }
            self.schedule_update(id.clone());
            let Some(limit) = limit else { return true };
            time::sleep(limit.saturating_sub(grace.max(lost_for))).await;
        }

        false
    }

    /// Removes a lost node that no longer counts.
    fn remove_expired(&self, id: NodeId, stream: u64) {
        let Some(facts) = self.remove(&id, stream) else {
            return;
        };

        let (node, handle, version) = (id.node_id.as_str(), id.handle(), facts.version.as_str());
        if facts.protocol == 0 {
            warn!(
                node,
                handle,
                version,
                "a lost node of version 0.1 is no longer counted, but may still serve: it reports \
                 no staleness limit"
            );
            self.lock().former.remember(id.clone(), facts);
        } else {
            info!(node, handle, "a lost node can no longer serve");
        }

        self.schedule_update(id);
    }

    /// Removes the node if `stream` is its newest. Returns the properties that it reported.
    pub(super) fn remove(&self, id: &NodeId, stream: u64) -> Option<NodeProperties> {
        let mut nodes = self.lock();
        if nodes.get(id).is_none_or(|node| node.stream != stream) {
            return None;
        }
        let node = nodes.remove(id);
        self.notify_waiters(&nodes);
        node.map(|node| node.facts)
    }

    /// Logs a warning if there may be nodes that the database does not know.
    pub(super) fn warn_of_unknown(&self) {
        if self.lock().unknown_until.is_some() {
            warn!(
                "the time since the database's last record is unknown: nodes that are not in the \
                 database may be serving, and count as one until they can no longer serve or \
                 until `latchkey node forget unknown`"
            );
        }
    }
}
