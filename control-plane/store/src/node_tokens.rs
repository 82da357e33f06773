//! The tokens of nodes: which ones are valid, and for which nodes.

use latchkey_model::node_pattern::NodePattern;
use latchkey_model::secret::TokenHash;
use serde_json::Value;
use sqlx::{FromRow, SqliteConnection};
use std::collections::HashSet;
use tokio::sync::watch;

use super::audit::Event;
use super::revision::run_to_completion;
use super::{Authorized, Outcome, Store, StoreError};

/// The maximum number of valid tokens.
pub const MAX_NODE_TOKENS: i64 = 1_000;

/// A node token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct NodeTokenDetails {
    /// Identifies the token permanently, unlike its name.
    pub id: i64,
    /// Unique among the valid tokens.
    pub name: String,
    /// The values of Envoy's `node.id` that the token is valid for.
    pub pattern: String,
    /// The time of creation, in Unix seconds.
    pub created_at: i64,
    /// The time of the last use, in Unix seconds, to the minute.
    pub last_used_at: Option<i64>,
    /// The time of revocation, in Unix seconds.
    pub revoked_at: Option<i64>,
}

/// A node token to create.
#[derive(Debug, Clone)]
pub struct NewNodeToken {
    /// The name, for people.
    pub name: String,
    /// The token's hash.
    pub hash: TokenHash,
    /// The nodes that may use it.
    pub pattern: NodePattern,
}

/// The tokens that were revoked since this process started, by their ids. Streams that were opened
/// with one end.
pub type RevokedNodeTokens = watch::Receiver<HashSet<i64>>;

impl Store {
    /// Returns all node tokens, the oldest first, including revoked ones.
    pub async fn node_tokens(&self) -> Result<Vec<NodeTokenDetails>, StoreError> {
        const QUERY: &str = "SELECT * FROM node_tokens ORDER BY id";
        Ok(sqlx::query_as(QUERY).fetch_all(&self.0.readers).await?)
    }

    /// Returns the valid token with this hash.
    pub async fn valid_node_token(
        &self,
        hash: &TokenHash,
    ) -> Result<Option<NodeTokenDetails>, StoreError> {
        const QUERY: &str = "SELECT * FROM node_tokens WHERE hash = ? AND revoked_at IS NULL";
        Ok(sqlx::query_as(QUERY)
            .bind(hash.as_bytes())
            .fetch_optional(&self.0.readers)
            .await?)
    }

    /// Returns a receiver for the tokens that are revoked. It must be called before a token is
    /// looked up, so that no revocation is missed.
    pub fn watch_revoked_node_tokens(&self) -> RevokedNodeTokens {
        self.0.revoked_node_tokens.subscribe()
    }

    /// Records that a token is used.
    pub async fn use_node_token(&self, id: i64, now: i64) -> Result<(), StoreError> {
        const UPDATE: &str = "UPDATE node_tokens SET last_used_at = ? WHERE id = ?";
        sqlx::query(UPDATE)
            .bind(now)
            .bind(id)
            .execute(self.0.writer()?)
            .await?;
        Ok(())
    }
}

impl Authorized {
    /// Adds a token. A repeatable call is recorded with the value that `data` returns for it.
    ///
    /// # Errors
    /// [`StoreError::NodeTokenNameTaken`], [`StoreError::NodeTokenTaken`], and
    /// [`StoreError::NodeTokenLimit`] at [`MAX_NODE_TOKENS`].
    pub async fn create_node_token(
        self,
        new: NewNodeToken,
        data: impl FnOnce(&NodeTokenDetails) -> Value + Send + 'static,
    ) -> Result<Outcome<NodeTokenDetails>, StoreError> {
        const COUNT: &str = "SELECT COUNT(*) FROM node_tokens WHERE revoked_at IS NULL";
        const INSERT: &str =
            "INSERT INTO node_tokens (name, hash, pattern, created_at) VALUES (?, ?, ?, ?)";
        run_to_completion(async move {
            let mut authorized = match self.begin_repeatable_local().await? {
                Outcome::New(authorized) => authorized,
                Outcome::Repeated(recorded) => return Ok(Outcome::Repeated(recorded)),
            };
            let valid: i64 = sqlx::query_scalar(COUNT)
                .fetch_one(&mut *authorized.tx)
                .await?;
            if valid >= MAX_NODE_TOKENS {
                return Err(StoreError::NodeTokenLimit);
            }
            let insert = sqlx::query(INSERT)
                .bind(&new.name)
                .bind(new.hash.as_bytes())
                .bind(new.pattern.as_str());
            insert.bind(self.now).execute(&mut *authorized.tx).await?;
            let token = find(&mut authorized.tx, &new.name).await?;
            authorized.record(|| data(&token)).await?;
            authorized
                .commit(&[Event::created("node_token.create", &token)])
                .await?;
            Ok(Outcome::New(token))
        })
        .await
    }

    /// Revokes the valid token with that name permanently, and ends the streams that were opened
    /// with it.
    ///
    /// # Errors
    /// [`StoreError::NodeTokenNotFound`].
    pub async fn revoke_node_token(self, name: String) -> Result<NodeTokenDetails, StoreError> {
        const REVOKE: &str = "UPDATE node_tokens SET revoked_at = ? WHERE id = ?";
        let store = self.store().clone();
        run_to_completion(async move {
            let mut authorized = self.begin_local().await?;
            let token = find(&mut authorized.tx, &name).await?;
            sqlx::query(REVOKE)
                .bind(self.now)
                .bind(token.id)
                .execute(&mut *authorized.tx)
                .await?;
            authorized
                .commit(&[Event::deleted("node_token.delete", &token)])
                .await?;
            store.0.revoked_node_tokens.send_modify(|revoked| {
                revoked.insert(token.id);
            });
            Ok(NodeTokenDetails {
                revoked_at: Some(self.now),
                ..token
            })
        })
        .await
    }
}

/// Returns the valid token with that name.
async fn find(from: &mut SqliteConnection, name: &str) -> Result<NodeTokenDetails, StoreError> {
    const QUERY: &str = "SELECT * FROM node_tokens WHERE name = ? AND revoked_at IS NULL";
    sqlx::query_as(QUERY)
        .bind(name)
        .fetch_optional(from)
        .await?
        .ok_or(StoreError::NodeTokenNotFound)
}
