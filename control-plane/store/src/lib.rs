//! The store: the only crate that knows the database.
//!
//! | module | owns |
//! |---|---|
//! | `open`, `file`, `health`, `reading`, `at_rest` | the database's file, its health, connections for lists, encrypted digests |
//! | `revision`, `authorized`, `actors`, `callers`, `repeatable`, `insert` | transactions, who asks for them, and added rows |
//! | `keys`, `creation`, `editing`, `import`, `regenerate`, `revocation`, `expired` | keys |
//! | `accounts`, `users`, `subaccounts`, `services`, `tiers`, `tier_replacement`, `routes`, `policies` | the rest of what the API manages |
//! | `quotas`, `restrictions`, `restricted`, `disclosures` | what a change may do |
//! | `sessions`, `logins` | log-ins |
//! | `nodes`, `node_tokens`, `uptime`, `clock`, `history`, `export` | nodes, and what they are sent |
//! | `listing`, `page`, `walk`, `condition` | lists |
//! | [`audit`], `public_view`, [`usage`], `webhooks`, `explain` | the audit, usage, the outbox, facts for `explain` |
//! | [`backup`], `former` | backups, and what a replaced database knew |
//! | `removals`, `retention`, `secrets`, `slots` | what is removed, and what is kept of it |
//!
//! **Invariant: every change to what a node decides by happens in one transaction that also
//! advances the revision by one and stamps the changed rows with it.** [`revision::RevisionTx`] is the
//! only way to get such a transaction, and updates the rows that depend on others.
//!
//! One connection writes; readers have their own and, with SQLite's write-ahead log, never wait for
//! it. Lists and reports have separate connections ([`reading`]), so that no list delays the
//! look-up of a credential, the feed of changes or the readiness probe.

mod accounts;
mod actors;
mod at_rest;
pub mod audit;
mod authorized;
pub mod backup;
mod callers;
mod chunks;
mod clock;
mod condition;
mod creation;
mod disclosures;
mod editing;
mod error;
mod expired;
mod explain;
mod export;
mod file;
mod former;
mod health;
mod history;
mod import;
mod insert;
mod json;
mod keys;
mod listing;
mod logins;
mod node_tokens;
mod nodes;
mod normalization;
mod open;
mod page;
mod policies;
mod public_view;
mod quotas;
mod reading;
mod regenerate;
mod removals;
mod repeatable;
mod restricted;
mod restrictions;
mod retention;
mod revision;
mod revocation;
mod routes;
mod secrets;
mod services;
mod sessions;
mod slots;
mod subaccounts;
mod tier_replacement;
mod tiers;
mod uptime;
pub mod usage;
mod users;
mod walk;
mod webhooks;

use at_rest::AtRest;
pub use at_rest::{AtRestKey, AtRestKeys, HOW_TO as AT_REST_KEY_HOW_TO};
use json::{authority, from_json, listed_to_json, selection, to_json};

pub use accounts::{Account, AccountChange, NewAccount};
pub use actors::{Actor, Caller, Credential, SERVICE};
pub use authorized::Authorized;
pub use chunks::{CHUNK_LEN, Chunks};
pub use creation::Created;
pub use editing::KeyChange;
pub use error::{OpenError, StoreError};
pub use export::{Changes, Page, Place};
pub use file::OpenMode;
use file::{OpenFile, lock};
use health::Health;
pub use history::Vouched;
pub use history::{Head, Tag};
pub use import::{ImportCheck, ImportOptions, Imported};
pub use keys::ListedKey;
pub use keys::{Key, KeySettings, NewKey, Secret};
pub use listing::{KeyQuery, KeySort, KeyState};
pub use logins::{Credentials, Refusals, RefusedLogins};
pub use node_tokens::NodeTokenDetails;
pub use node_tokens::{MAX_NODE_TOKENS, NewNodeToken, RevokedNodeTokens};
pub use nodes::NodeRow;
pub use nodes::{FOREVER, NodeKey};
pub use page::{PageQuery, Position, Total};
use reading::ListReads;
pub use regenerate::{Regenerated, Regeneration, Reported};
pub use repeatable::{Outcome, RepeatableCall};
pub use restricted::{Exceeded, Lasting};
pub use restrictions::KeyRestrictions;
pub use revocation::Revoked;
pub use routes::RouteRecords;
pub use services::MAX_SERVICES;
pub use services::Service;
pub use sessions::IDLE_SECONDS as SESSION_IDLE_SECONDS;
pub use subaccounts::MAX_SUBACCOUNTS;
pub use subaccounts::Subaccount;
pub use uptime::{Note, instance_hash};
pub use usage::KeyUsage;
pub use users::DeletedUser;
pub use users::{NewUser, User};
pub use webhooks::{
    Backlog, Claim, MAX_MANUAL_DELIVERIES, MAX_WEBHOOKS, NewWebhook, Settled, WebhookChange,
};
pub use webhooks::{Delivery, DeliveryState, EventType, KeyFacts, Webhook};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, Transaction};
use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The histogram's buckets: from a millisecond to a wait that is too long for other writers.
pub const COMMIT_SECONDS: [f64; 10] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// The schema's migrations, from version to version.
static MIGRATIONS: Migrator = sqlx::migrate!();

/// The suffixes of the files beside the database: the lock, and SQLite's write-ahead log with its
/// index.
const LOCK: &str = ".lock";
const LOG: &str = "-wal";
const LOG_INDEX: &str = "-shm";

/// The maximum wait of a caller for a connection, and of SQLite for another process' lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// The identity of the store's history. Revisions of two epochs cannot be compared.
pub type Epoch = [u8; 16];

/// A handle to the store. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    writer: SqlitePool,
    readers: SqlitePool,
    /// The connections for reads whose cost grows with the data.
    lists: ListReads,
    epoch: Epoch,
    /// The keys that encrypt digests of imported keys.
    at_rest: AtRest,
    /// True if this process has created the database.
    created: bool,
    /// The newest committed revision.
    head: watch::Sender<Head>,
    /// Former epochs whose nodes are served.
    accepted: watch::Sender<BTreeSet<Epoch>>,
    /// The node tokens that were revoked since the store was opened.
    revoked_node_tokens: watch::Sender<HashSet<i64>>,
    /// The durations of changes.
    writes: Histogram,
    /// The database's path.
    path: PathBuf,
    /// The identity of the open file.
    file: Arc<OpenFile>,
    health: Health,
    /// Held while the store is open.
    lock: File,
}

impl Shared {
    /// Returns the connections for single statements that write.
    ///
    /// # Errors
    /// [`StoreError::FileReplaced`], in which case a write would be lost.
    fn writer(&self) -> Result<&SqlitePool, StoreError> {
        self.file.check()?;
        Ok(&self.writer)
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// [`StoreError::FileReplaced`], in which case a write would be lost.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        let begun = match self.writer() {
            Ok(writer) => writer
                .begin_with("BEGIN IMMEDIATE")
                .await
                .map_err(StoreError::from),
            Err(error) => Err(error),
        };
        if let Err(error) = &begun {
            self.health.record(Some(error));
        }
        begun
    }
}

impl Store {
    /// Returns the identity of this store's history.
    pub fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    /// Returns the newest committed revision. A store begins with 1.
    pub fn revision(&self) -> u64 {
        self.head().revision
    }

    /// Returns the newest committed revision with its tag.
    pub fn head(&self) -> Head {
        *self.0.head.borrow()
    }

    /// Returns a receiver that wakes at every committed revision.
    pub fn watch_head(&self) -> watch::Receiver<Head> {
        self.0.head.subscribe()
    }

    /// Checks that the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT revision FROM meta")
            .fetch_one(&self.0.readers)
            .await?;
        Ok(())
    }

    /// Returns the durations of changes, in seconds.
    pub fn write_seconds(&self) -> Histogram {
        self.0.writes.clone()
    }

    /// Returns the size of the database and its log, in bytes. A file that does not exist, such as
    /// a log that was never written, counts as 0.
    pub fn bytes(&self) -> u64 {
        let len = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        len(&self.0.path).saturating_add(len(&beside(&self.0.path, LOG)))
    }

    /// Returns the number of connections for reading that are in use.
    pub fn readers_busy(&self) -> u64 {
        busy(&self.0.readers)
    }

    /// Returns the number of connections for lists and reports that are in use.
    pub fn list_readers_busy(&self) -> u64 {
        self.0.lists.busy()
    }

    /// Returns the number of lists and reports that exceeded their time budget.
    pub fn interrupted_reads(&self) -> Counter {
        self.0.lists.interrupted()
    }

    /// Waits for the running writes, and closes the database.
    pub async fn close(&self) {
        self.0.lists.close().await;
        self.0.readers.close().await;
        self.0.writer.close().await;
        if let Err(error) = self.0.lock.unlock() {
            tracing::warn!(%error, "the database remains locked until this process ends");
        }
    }
}

/// Returns the number of connections of a pool that are in use.
fn busy(pool: &SqlitePool) -> u64 {
    let idle = u64::try_from(pool.num_idle()).unwrap_or(u64::MAX);
    u64::from(pool.size()).saturating_sub(idle)
}

/// Returns the path of the file beside the database that has its name and `suffix`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(suffix);
    beside.into()
}

#[cfg(test)]
mod tests;
