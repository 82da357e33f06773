//! Opening a store: the checks of the file, the connections, and the schema's migrations.

use prometheus_client::metrics::histogram::Histogram;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

use super::at_rest::{self, AtRest, AtRestKeys};
use super::file::{self, OpenFile, OpenMode, lock};
use super::health::Health;
use super::reading::{self, ListReads};
use super::{COMMIT_SECONDS, MIGRATIONS, OpenError, PATIENCE, Shared, Store, StoreError};
use super::{history, nodes, normalization, routes};

const READERS: u32 = 8;

/// The number of rows by which SQLite's thread may be ahead of a reader: with a small one the two
/// threads wake each other all the time.
const ROWS_AHEAD: usize = 1_000;

impl Store {
    /// Opens the database at `path` without an at-rest key, so that no key can be imported.
    ///
    /// # Errors
    /// Those of [`open_with`](Self::open_with).
    pub async fn open(path: &Path, mode: OpenMode) -> Result<Self, OpenError> {
        Self::open_with(path, mode, &AtRestKeys::default()).await
    }

    /// Opens the database at `path`, and brings its schema up to date. `mode` decides what happens
    /// if there is none.
    ///
    /// # Errors
    /// When it cannot be opened, or has data that another at-rest key encrypted.
    pub async fn open_with(
        path: &Path,
        mode: OpenMode,
        keys: &AtRestKeys,
    ) -> Result<Self, OpenError> {
        // This check comes before any file is created, including the lock.
        file::ensure_openable(path, mode)?;
        let lock = lock(path)?;
        let exists = file::prepare(path, mode)?;
        let file = Arc::new(OpenFile::identify(path)?);
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE);
        if exists && !is_initialized(&options).await? {
            if mode == OpenMode::Existing {
                return Err(OpenError::Missing(path.to_owned()));
            }
        } else if exists && mode == OpenMode::Create {
            return Err(OpenError::Exists(path.to_owned()));
        }
        let health = Health::default();
        let (writer, readers, lists) = pools(options, &file, &health).await?;
        MIGRATIONS.run(&writer).await?;
        let mut transaction = writer.begin().await.map_err(StoreError::from)?;
        let (epoch, head, created) = history::identity(&mut transaction).await?;
        let at_rest = AtRest::open(&mut transaction, keys).await?;
        let accepted = watch::Sender::new(nodes::accepted_epochs(&mut *transaction).await?);
        transaction.commit().await.map_err(StoreError::from)?;
        file.identify_log();
        let head = watch::Sender::new(head);
        let (writes, path) = (Histogram::new(COMMIT_SECONDS), path.to_owned());
        let store = Self(Arc::new(Shared {
            writer,
            readers,
            lists,
            epoch,
            at_rest,
            created,
            head,
            accepted,
            revoked_node_tokens: watch::Sender::default(),
            writes,
            path,
            file,
            health,
            lock,
        }));
        routes::add_path_case(&store).await?;
        normalization::normalize_names(&store).await?;
        at_rest::encrypt_earlier_imports(&store).await?;
        Ok(store)
    }
}

/// Returns whether the file is a database of Latchkey that was created completely.
async fn is_initialized(options: &SqliteConnectOptions) -> Result<bool, StoreError> {
    const TABLE: &str =
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'meta')";
    const ROW: &str = "SELECT EXISTS (SELECT 1 FROM meta)";
    let mut connection = options.clone().connect().await?;
    let initialized = sqlx::query_scalar(TABLE).fetch_one(&mut connection).await?
        && sqlx::query_scalar(ROW).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(initialized)
}

/// Opens the connection that writes, those that read, and those that read lists. None of them is
/// ever opened to another file at the database's path.
async fn pools(
    options: SqliteConnectOptions,
    file: &Arc<OpenFile>,
    health: &Health,
) -> Result<(SqlitePool, SqlitePool, ListReads), StoreError> {
    let pool = SqlitePoolOptions::new()
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None);
    let (open, progress) = (file.clone(), health.progress());
    // After some errors SQLite rolls back on its own, sqlx's ROLLBACK then fails, and the
    // connection would count as in a transaction for ever:
    // https://sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction
    let writer = pool
        .clone()
        .max_connections(1)
        .before_acquire(|connection, _| {
            let clean = !connection.is_in_transaction();
            Box::pin(async move { Ok(clean) })
        });
    let writer = writer.after_connect(move |connection, _| {
        let (open, progress) = (open.clone(), progress.clone());
        Box::pin(async move {
            open.check_database()
                .map_err(|error| sqlx::Error::Configuration(error.into()))?;
            // SQLite opens the log at the first read. It is another file if no other connection was
            // open.
            sqlx::query("SELECT 1 FROM sqlite_schema")
                .execute(&mut *connection)
                .await?;
            open.identify_log();
            Health::observe(progress, connection).await
        })
    });
    let writer = writer.connect_with(options.clone()).await?;
    let open = file.clone();
    let readers = pool.after_connect(move |_, _| {
        let same = open
            .check_database()
            .map_err(|error| sqlx::Error::Configuration(error.into()));
        Box::pin(async move { same })
    });
    let options = options.read_only(true).row_buffer_size(ROWS_AHEAD);
    let lists = ListReads::new(readers.clone(), options.clone(), reading::BUDGET);
    Ok((
        writer,
        readers.max_connections(READERS).connect_lazy_with(options),
        lists,
    ))
}
