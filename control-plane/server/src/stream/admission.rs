//! Credentials of streams, and the nodes that may use them.

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

/// The precision with which the last use of a token is recorded, in seconds.
const GRANULARITY_SECONDS: i64 = 60;

/// The maximum number of concurrent token lookups. It leaves database connections to the API, even
/// if peers present many tokens.
const LOOKUPS: usize = 4;

/// The result of the lookup of a stream's token.
pub(super) enum Admission {
    /// A valid token. The Hello shows whether the node may use it.
    Granted(NodeCredential),
    /// No valid token. The Hello is still read, because it may be from a node that this store has
    /// served.
    Refused,
}

impl Admission {
    /// Attaches the stream's connection, which stays open if its node is admitted.
    pub(super) fn on(mut self, connection: Option<ConnectionHandle>) -> Self {
        if let Self::Granted(credential) = &mut self {
            credential.connection = connection;
        }
        self
    }

    /// Returns the credential, if the node of that id may use it.
    ///
    /// # Errors
    /// Fails with the final status of the stream.
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

        metrics
            .stream
            .refused_credentials
            .get_or_create(&refused)
            .inc();
        Err(status)
    }
}

/// A valid node token, for one stream.
pub(super) struct NodeCredential {
    /// The token's name.
    pub(super) name: String,
    pattern: NodePattern,
    /// The token's number, and the revoked tokens. `None` for the shared token, which is valid
    /// until the process ends.
    token: Option<(i64, RevokedNodeTokens)>,
    connection: Option<ConnectionHandle>,
    /// Keeps the connection open after the admission.
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

    /// Resolves when the token is revoked.
    pub(super) async fn revoked(&mut self) {
        let Some((id, revoked)) = &mut self.token else {
            return future::pending().await;
        };

        if revoked
            .wait_for(|revoked| revoked.contains(id))
            .await
            .is_err()
        {
            // The store is closed, so no token can be revoked.
            future::pending::<()>().await;
        }
    }
}

/// Counts an open stream in a metric.
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

/// Looks up and checks tokens.
pub(super) struct Admissions {
    store: Store,
    shared: Option<NodeToken>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// The last recorded use of each token, so that thousands of streams do not each write.
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
    /// Fails if the database does not respond.
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
            .valid_node_token(&TokenHash::from_token(presented))
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
        Counted::new(self.metrics.stream.credentials.get_or_create(&kind).clone())
    }

    /// Records the use in the background: no stream waits for it, and none fails because of it.
    fn record_use(&self, id: i64, recorded: Option<i64>) {
        let now = self.clock.now();
        // The lock is held only in this function, which does not panic.
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

/// Returns the final status of a stream without a valid token.
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
    async fn token_lookups_are_limited() {
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

        // Streams without a token do not wait for a lookup either.
        assert!(matches!(
            admissions.look_up(&MetadataMap::new()).await,
            Ok(Admission::Refused)
        ));

        drop(busy);
        assert!(matches!(lookup.await, Ok(Admission::Refused)));
    }
}
