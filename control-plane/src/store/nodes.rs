//! Nodes that may be deciding requests, so that a control plane that starts again still counts them.

use sqlx::FromRow;

use super::{Store, StoreError};

/// One Envoy process.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct NodeRow {
    /// Envoy's `node.id`.
    pub node_id: String,
    /// In hexadecimal.
    pub instance: String,
    /// The filter's version.
    pub version: String,
}

impl Store {
    /// All that were connected and have not been given up.
    pub(crate) async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        const QUERY: &str = "SELECT node_id, instance, version FROM nodes";
        Ok(sqlx::query_as(QUERY).fetch_all(&self.0.readers).await?)
    }

    pub(crate) async fn node_connected(&self, node: &NodeRow) -> Result<(), StoreError> {
        const QUERY: &str = "INSERT INTO nodes (node_id, instance, version) VALUES (?, ?, ?) \
             ON CONFLICT (node_id, instance) DO UPDATE SET version = excluded.version";
        let query = sqlx::query(QUERY).bind(&node.node_id).bind(&node.instance).bind(&node.version);
        query.execute(&self.0.writer).await?;
        Ok(())
    }

    pub(crate) async fn node_given_up(&self, node_id: &str, instance: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM nodes WHERE node_id = ? AND instance = ?")
            .bind(node_id)
            .bind(instance)
            .execute(&self.0.writer)
            .await?;
        Ok(())
    }
}
