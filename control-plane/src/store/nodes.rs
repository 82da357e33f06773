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

    /// Writes down those that have `come`, and forgets those that are `gone`, by their ids and instances; all or none.
    pub(crate) async fn write_nodes(
        &self,
        come: impl Iterator<Item = &NodeRow>,
        gone: &[(String, String)],
    ) -> Result<(), StoreError> {
        const COME: &str = "INSERT INTO nodes (node_id, instance, version) VALUES (?, ?, ?) \
             ON CONFLICT (node_id, instance) DO UPDATE SET version = excluded.version";
        const GONE: &str = "DELETE FROM nodes WHERE node_id = ? AND instance = ?";
        let mut transaction = self.0.writer.begin_with("BEGIN IMMEDIATE").await?;
        for node in come {
            let query = sqlx::query(COME).bind(&node.node_id).bind(&node.instance).bind(&node.version);
            query.execute(&mut *transaction).await?;
        }
        for (node_id, instance) in gone {
            sqlx::query(GONE).bind(node_id).bind(instance).execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }
}
