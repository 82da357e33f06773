//! Which credential a stream presents, and which nodes may use it.

use latchkey_model::clock::Clock;
use latchkey_model::node_pattern::NodePattern;
use latchkey_model::secret::{NodeToken, TokenHash};
use latchkey_store::{RevokedNodeTokens, Store, StoreError};
use prometheus_client::metrics::gauge::Gauge;
use std::collections::HashMap;
use std::future;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tracing::warn;

use super::connections::{ConnectionHandle, OpenSession};
use crate::metrics::{CredentialKind, Metrics, RefusedCredential};
use crate::nodes::log_limit::LogLimit;

/// How exactly the last use of a token is recorded.
const GRANULARITY_SECONDS: i64 = 60;

/// Tokens that are looked up at a time. Whoever presents others leaves connections to the database
/// to the API.
const LOOKUPS: usize = 4;

/// What a stream is opened with.
pub(super) enum Admission {
    /// A valid token. Whether the node may use it is known from its Hello.
    Granted(NodeCredential),
    /// No valid token. The Hello is read all the same: it may be from a node that this store has
    /// served.
    Refused,
}

impl Admission {
    /// The same, for a stream of a connection that stays open if its node is admitted.
    pub(super) fn on(mut self, connection: Option<ConnectionHandle>) -> Self {
        if let Self::Granted(credential) = &mut self {
            credential.connection = connection;
        }
        self
    }

    /// The credential, if the node of that id may use it.
    ///
    /// # Errors
    /// What the stream ends with.
    pub(super) fn admit(
        self,
        node_id: &str,
        metrics: &Metrics,
        logged: &LogLimit,
    ) -> Result<NodeCredential, Status> {
        let (refused, status) = match self {
            Self::Granted(mut credential) if credential.permits(node_id) => {
                credential.session = credential
                    .connection
                    .take()
                    .map(|connection| connection.keep_open());
                return Ok(credential);
            }
            Self::Granted(credential) => {
                let name = &credential.name;
                if logged.permits() {
                    warn!(
                        node = node_id,
                        token = name,
                        "node refused: its node.id does not match the token's pattern"
                    );
                }
                let reason = format!("the node token `{name}` is not valid for this node.id");
                (
                    RefusedCredential::NODE_ID,
                    Status::permission_denied(reason),
                )
            }
            Self::Refused => {
                if logged.permits() {
                    warn!(node = node_id, "node refused: no valid node token");
                }
                (RefusedCredential::TOKEN, no_valid_token())
            }
        };
        metrics.refused_credentials.get_or_create(&refused).inc();
        Err(status)
    }
}

/// A valid node token, for one stream.
pub(super) struct NodeCredential {
    /// As operators call it.
    pub(super) name: String,
    pattern: NodePattern,
    /// `None` for the shared token, which ends with the process.
    token: Option<(i64, RevokedNodeTokens)>,
    connection: Option<ConnectionHandle>,
    /// Keeps the connection open.
    session: Option<OpenSession>,
    _counted: Counted,
}

impl NodeCredential {
    fn new(
        name: String,
        pattern: NodePattern,
        token: Option<(i64, RevokedNodeTokens)>,
        _counted: Counted,
    ) -> Self {
        Self {
            name,
            pattern,
            token,
            connection: None,
            session: None,
            _counted,
        }
    }

    /// Returns whether a node of that id may use it.
    pub(super) fn permits(&self, node_id: &str) -> bool {
        self.pattern.matches(node_id)
    }

    /// Resolves when it is revoked.
    pub(super) async fn revoked(&mut self) {
        let Some((id, revoked)) = &mut self.token else {
            return future::pending().await;
        };
        if revoked
            .wait_for(|revoked| revoked.contains(id))
            .await
            .is_err()
        {
            // The store is closed, and nobody can revoke anything.
            future::pending::<()>().await;
        }
    }
}

/// Counts streams while they are open.
struct Counted(Gauge);

impl Counted {
    fn new(streams: Gauge) -> Self {
        streams.inc();
        Self(streams)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Checks tokens.
pub(super) struct Admissions {
    store: Store,
    shared: Option<NodeToken>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// When the use of a token was recorded last, so that thousands of streams do not each write.
    used: Mutex<HashMap<i64, i64>>,
    lookups: Semaphore,
}

impl Admissions {
    pub(super) fn new(
        store: Store,
        shared: Option<NodeToken>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let lookups = Semaphore::new(LOOKUPS);
        Self {
            store,
            shared,
            clock,
            metrics,
            used: Mutex::default(),
            lookups,
        }
    }

    /// Looks up the token that a stream presents.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn look_up(&self, metadata: &MetadataMap) -> Result<Admission, StoreError> {
        let presented = metadata
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let Some(presented) = presented.and_then(|value| value.strip_prefix("Bearer ")) else {
            return Ok(Admission::Refused);
        };
        if self
            .shared
            .as_ref()
            .is_some_and(|shared| shared.is(presented))
        {
            let counted = self.counted(CredentialKind::SHARED);
            let credential =
                NodeCredential::new("shared".to_owned(), NodePattern::any(), None, counted);
            return Ok(Admission::Granted(credential));
        }
        let revoked = self.store.watch_revoked_node_tokens();
        let place = self
            .lookups
            .acquire()
            .await
            .map_err(|_| StoreError::Interrupted)?;
        let Some(token) = self
            .store
            .valid_node_token(&TokenHash::of(presented))
            .await?
        else {
            return Ok(Admission::Refused);
        };
        drop(place);
        let pattern =
            NodePattern::parse(&token.pattern).map_err(|_| StoreError::Damaged("a node token"))?;
        self.record_use(token.id, token.last_used_at);
        let counted = self.counted(CredentialKind::TOKEN);
        let revoked = Some((token.id, revoked));
        Ok(Admission::Granted(NodeCredential::new(
            token.name, pattern, revoked, counted,
        )))
    }

    fn counted(&self, kind: CredentialKind) -> Counted {
        Counted::new(self.metrics.credentials.get_or_create(&kind).clone())
    }

    /// Does so in the background: no stream waits for it, and none fails because of it.
    fn record_use(&self, id: i64, recorded: Option<i64>) {
        let now = self.clock.now();
        // Held for no longer than this, by nobody who panics.
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let last = used.get(&id).copied().max(recorded);
        if last.is_some_and(|last| now.saturating_sub(last) < GRANULARITY_SECONDS) {
            return;
        }
        used.insert(id, now);
        let store = self.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.use_node_token(id, now).await {
                warn!(%error, "cannot record the use of a node token");
            }
        });
    }
}

/// What a stream without a valid token ends with.
pub(super) fn no_valid_token() -> Status {
    Status::unauthenticated(
        "metadata `authorization: Bearer <node token>` is missing, wrong or revoked",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_model::clock::SystemClock;
    use latchkey_store::OpenMode;
    use std::pin::pin;
    use std::time::Duration;
    use tokio::time;

    #[tokio::test]
    async fn lookups_of_tokens_wait_for_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(
            &directory.path().join("latchkey.db"),
            OpenMode::CreateIfMissing,
        )
        .await
        .unwrap();
        let metrics = Arc::new(Metrics::new(&store));
        let admissions = Admissions::new(store.clone(), None, Arc::new(SystemClock), metrics);
        let mut presented = MetadataMap::new();
        presented.insert("authorization", "Bearer x".parse().unwrap());
        let busy = admissions
            .lookups
            .acquire_many(LOOKUPS.try_into().unwrap())
            .await
            .unwrap();
        let mut lookup = pin!(admissions.look_up(&presented));
        assert!(
            time::timeout(Duration::from_millis(200), &mut lookup)
                .await
                .is_err(),
            "it does not wait"
        );
        assert_eq!(store.readers_busy(), 0);
        // Nor do streams that present nothing wait for others.
        assert!(matches!(
            admissions.look_up(&MetadataMap::new()).await,
            Ok(Admission::Refused)
        ));
        drop(busy);
        assert!(matches!(lookup.await, Ok(Admission::Refused)));
    }
}
