//! Errors of the store, and whether a retry can help.

use latchkey_model::random::NoRandomness;
use latchkey_policy::record::TooLong;
use latchkey_policy::verdict::Code;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::restricted::{Exceeded, Lasting};

/// The reason why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Two control planes on one database would not see each other's changes.
    #[error("{} is in use by another control plane", .0.display())]
    InUse(PathBuf),
    /// There is no database.
    #[error(
        "no database exists at {}. Create one with `latchkey init` or `latchkey serve \
         --create-database`. Envoys do not accept an empty database in place of theirs: if there \
         was a database, find it or restore a backup", .0.display()
    )]
    Missing(PathBuf),
    /// A database should be created where there is one.
    #[error("the database {} exists already", .0.display())]
    Exists(PathBuf),
    /// The database's file or its lock could not be created or opened.
    #[error("{}: {source}", path.display())]
    File {
        /// The file's path.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// Imported keys are encrypted, and no at-rest key is set.
    #[error(
        "the database has imported keys that are encrypted with an at-rest key, but none is set. \
         Set --at-rest-key-file \
         (LATCHKEY_AT_REST_KEY_FILE) or LATCHKEY_AT_REST_KEY to the key of this database"
    )]
    AtRestKeyMissing,
    /// Imported keys are encrypted with another key.
    #[error(
        "the database has imported keys that are encrypted with another at-rest key than the \
         configured one. Set \
         --at-rest-key-file (LATCHKEY_AT_REST_KEY_FILE) or LATCHKEY_AT_REST_KEY to the key of \
         this database. To replace that key, set --at-rest-old-key-file \
         (LATCHKEY_AT_REST_OLD_KEY_FILE)"
    )]
    AtRestKeyWrong,
    /// The schema could not be brought up to date.
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Any later error.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The reason why a call of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The session that asked for the change has ended.
    #[error("the session has ended")]
    SessionEnded,
    /// The API key that asked for the change is not valid, or may not be used from that address.
    #[error("the API key is refused: {}", .0.as_str())]
    KeyRefused(Code),
    /// Its user does not hold this permission, or no longer does.
    #[error("the caller lacks the permission {0}")]
    PermissionMissing(&'static str),
    /// The API key that asked for the change is restricted, and what the change creates would not
    /// be.
    #[error("the calling API key is restricted to {what}, and {} would not be", lasting.as_str())]
    KeyRestricted {
        /// The restriction of the calling key.
        what: &'static str,
        /// The lasting resource or change that it would make.
        lasting: Lasting,
    },
    /// A field would exceed what the calling API key has.
    #[error("{} {}", .0.field, .0.reason)]
    KeyExceeded(Exceeded),
    /// Another live key of the account has the name.
    #[error("a live key of that name exists")]
    NameTaken,
    /// A key has the secret, or had it.
    #[error("a key with that secret exists or existed")]
    SecretTaken,
    /// No at-rest key is set, which importing keys needs.
    #[error("no at-rest key is set")]
    AtRestKeyMissing,
    /// One of several rows is invalid.
    #[error("row {index}: {error}")]
    Row {
        /// The number of the row, from 0.
        index: usize,
        /// The row's error.
        error: Box<StoreError>,
    },
    /// The account has no API key with this id.
    #[error("no such key")]
    KeyNotFound,
    /// The account does not exist.
    #[error("no such account")]
    AccountNotFound,
    /// The account is closed, which is permanent.
    #[error("the account is closed")]
    AccountClosed,
    /// The operator's own account can be neither disabled nor closed.
    #[error("it is the operator's account")]
    OperatorsAccount,
    /// The account has reached this maximum number of keys that have not expired.
    #[error("the account may have {0} keys")]
    KeyLimit(u32),
    /// The account has twice the given number of keys that it may have, including recently expired
    /// ones.
    #[error("the account may have {0} keys, and has twice as many with expired ones")]
    HeldKeyLimit(u32),
    /// A key would be above its account's tier.
    #[error("{field} is above the account's tier {tier}")]
    TierExceeded {
        /// The key's field.
        field: String,
        /// The account's tier.
        tier: String,
    },
    /// A key's scope names a service that its account does not have.
    #[error("scope[{index}] is no service of the account")]
    ServiceUnknown {
        /// The index in the scope.
        index: usize,
    },
    /// The account has no service of this name.
    #[error("no such service")]
    ServiceNotFound,
    /// Another service of the account has the name.
    #[error("a service of that name exists")]
    ServiceNameTaken,
    /// The account has reached the maximum number of services.
    #[error("the account has too many services")]
    ServiceLimit,
    /// The scope of a live key lists the service.
    #[error("the service is in use")]
    ServiceInUse,
    /// The account has no user with this id.
    #[error("no such user")]
    UserNotFound,
    /// Another user has the email address.
    #[error("a user of that email address exists")]
    EmailTaken,
    /// The caller has caused too many conflicts with data of other accounts.
    #[error("too many conflicts with other accounts; wait {seconds} seconds")]
    TooManyDisclosures {
        /// The number of seconds to wait.
        seconds: u32,
    },
    /// A user asked to delete themselves.
    #[error("nobody can delete themselves")]
    DeletesThemselves,
    /// The change would leave the account without an administrator who could undo it.
    #[error("the account needs an administrator")]
    LastAdministrator,
    /// The account has no subaccount with this id.
    #[error("no such subaccount")]
    SubaccountNotFound,
    /// Another subaccount of the account has the name.
    #[error("a subaccount of that name exists")]
    SubaccountNameTaken,
    /// The account has reached the maximum number of subaccounts.
    #[error("the account has too many subaccounts")]
    SubaccountLimit,
    /// The account has no webhook with this id.
    #[error("no such webhook")]
    WebhookNotFound,
    /// The webhook is inactive.
    #[error("the webhook is not active")]
    WebhookInactive,
    /// The account has reached the maximum number of webhooks.
    #[error("the account has too many webhooks")]
    WebhookLimit,
    /// Too many deliveries of the webhook were requested in this minute.
    #[error("too many deliveries of the webhook were requested")]
    WebhookBusy {
        /// The number of seconds to wait.
        seconds: u32,
    },
    /// The delivery does not exist or is no longer kept.
    #[error("no such delivery")]
    DeliveryNotFound,
    /// No valid node token has the name.
    #[error("no such node token")]
    NodeTokenNotFound,
    /// Another valid node token has the name.
    #[error("a valid node token of that name exists")]
    NodeTokenNameTaken,
    /// The token is a node token, or was one before it was revoked.
    #[error("the node token exists or existed")]
    NodeTokenTaken,
    /// The maximum number of valid node tokens is reached.
    #[error("too many node tokens exist")]
    NodeTokenLimit,
    /// The tier does not exist.
    #[error("no such tier")]
    TierNotFound {
        /// The field that names the tier.
        field: &'static str,
        /// The names of all tiers.
        existing: Vec<String>,
    },
    /// An account or a live key has the tier of that name.
    #[error("tier {0} is in use")]
    TierInUse(String),
    /// The key has expired, and the request sets no later expiry.
    #[error("the key has expired")]
    KeyExpired,
    /// An old secret of the key is still valid, and the newest one is not to be replaced.
    #[error("an overlap is running")]
    OverlapRunning,
    /// The changes after a revision are no longer kept.
    #[error("changes since that revision are no longer kept")]
    Pruned,
    /// The present resource has none of the entity tags in the caller's `If-Match`.
    #[error("the resource has changed")]
    PreconditionFailed,
    /// A call with the same `Idempotency-Key` had another body.
    #[error("the idempotency key was used with another body")]
    IdempotencyConflict,
    /// The account has too many recorded calls, or their responses are too long.
    #[error("too many repeatable calls are recorded")]
    IdempotencyLimit,
    /// The key is revoked, which is permanent.
    #[error("the key is revoked")]
    KeyRevoked,
    /// The open file is no longer the one at the database's path, so what is written would be lost.
    /// Nothing was changed.
    #[error("{} {how} while the control plane was running: put the file back, or restore a backup \
    and restart", path.display())]
    FileReplaced {
        /// The path of the database or its log.
        path: PathBuf,
        /// The change of the file that was found.
        how: &'static str,
    },
    /// The database does not answer at present. Nothing was changed; a retry can succeed.
    #[error("the database does not answer: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// A list or a report took longer than its time budget.
    #[error("the read timed out")]
    ReadTooLong,
    /// The database failed.
    #[error("database: {0}")]
    Database(#[source] sqlx::Error),
    /// A row holds what this version cannot have written.
    #[error("{0} in the database is invalid")]
    Damaged(&'static str),
    /// A value that passed the API does not fit into a record.
    #[error(transparent)]
    Record(#[from] TooLong),
    /// The operating system gave no random bytes for an identifier.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// The task that ran the write died. It may have committed.
    #[error("a write was interrupted")]
    Interrupted,
}

impl StoreError {
    /// Returns the same error for the row `index` of several.
    pub(super) fn of_row(self, index: usize) -> Self {
        Self::Row {
            index,
            error: Box::new(self),
        }
    }

    /// Returns the same error without its row.
    pub(super) fn of_any_row(self) -> Self {
        match self {
            Self::Row { error, .. } => *error,
            error => error,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let Some(taken) = taken(&error) {
            return taken;
        }
        if primary_code(&error) == Some(INTERRUPT) {
            return Self::ReadTooLong;
        }
        if is_damage(&error) {
            DAMAGE_REPORTS.fetch_add(1, Ordering::Relaxed);
        }
        if passing(&error)
            || matches!(
                error,
                sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_)
            )
        {
            return Self::Unavailable(error);
        }
        Self::Database(error)
    }
}

/// Returns the error for a violated unique index. SQLite names the index's columns, and nothing
/// else about it.
fn taken(error: &sqlx::Error) -> Option<StoreError> {
    let unique = error
        .as_database_error()
        .filter(|error| error.is_unique_violation())?;
    let names = |column| unique.message().contains(column);
    if names("users.email") {
        Some(StoreError::EmailTaken)
    } else if names("subaccounts.name") {
        Some(StoreError::SubaccountNameTaken)
    } else if names("services.name") {
        Some(StoreError::ServiceNameTaken)
    } else if names("node_tokens.name") {
        Some(StoreError::NodeTokenNameTaken)
    } else if names("node_tokens.hash") {
        Some(StoreError::NodeTokenTaken)
    } else if names("keys.digest") {
        Some(StoreError::SecretTaken)
    } else {
        None
    }
}

/// The number of reports of damage by SQLite in this process. An error does not name its database,
/// so each store checks its own when this has grown.
static DAMAGE_REPORTS: AtomicU64 = AtomicU64::new(0);

pub(super) fn damage_reports() -> u64 {
    DAMAGE_REPORTS.load(Ordering::Relaxed)
}

/// SQLITE_INTERRUPT. Only lists and reports are interrupted ([`super::reading`]).
const INTERRUPT: i32 = 9;

/// Returns whether the error is SQLITE_CORRUPT or NOTADB.
fn is_damage(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(11 | 26))
}

/// Returns whether the error is SQLITE_BUSY, LOCKED, READONLY, IOERR, FULL or CANTOPEN: their
/// causes can end without a change to the database or to us. They are in the low byte of the
/// extended code: <https://sqlite.org/rescode.html>.
fn passing(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(5 | 6 | 8 | 10 | 13 | 14))
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error
        .as_database_error()
        .and_then(|error| error.code()?.parse::<i32>().ok());
    code.map(|code| code & 0xff)
}
