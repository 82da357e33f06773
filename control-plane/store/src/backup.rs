//! Copies of the database: making a backup, also while a control plane is running, and restoring
//! one.
//!
//! A copy is written under a temporary name in its final directory. It gets its final name once it
//! is complete, verified and synced to the disk.

use latchkey_model::random::{self, NoRandomness};
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::at_rest::AtRest;
use super::{Epoch, LOG, LOG_INDEX, MIGRATIONS, OpenError, PATIENCE, beside, former, lock, uptime};
use crate::AtRestKeys;

/// The reason why no copy was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file exists, and is never overwritten.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file's path.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The file to copy is not a database, or not one of Latchkey.
    #[error("{} is not a database of Latchkey", .0.display())]
    Foreign(PathBuf),
    /// The copied database is damaged.
    #[error("{} is damaged: {told}", path.display())]
    Damaged {
        /// The database's path.
        path: PathBuf,
        /// SQLite's message.
        told: String,
    },
    /// The backup has a schema that is newer than this version.
    #[error("{} is from a newer version of Latchkey: it has migration {migration}", path.display())]
    Newer {
        /// The backup's path.
        path: PathBuf,
        /// The first unknown migration.
        migration: i64,
    },
    /// The backup has data that is encrypted with another at-rest key.
    #[error("{}: {source}", path.display())]
    AtRest {
        /// The backup's path.
        path: PathBuf,
        /// The reason.
        source: OpenError,
    },
    /// The database's lock could not be taken.
    #[error(transparent)]
    Lock(#[from] OpenError),
    /// The schema of the backup could not be brought up to date.
    #[error("migration: {0}")]
    Migration(#[source] MigrateError),
    /// SQLite failed.
    #[error("{}: {source}", path.display())]
    Database {
        /// The database's path.
        path: PathBuf,
        /// SQLite's error.
        source: sqlx::Error,
    },
    /// No epoch could be drawn.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// A completed backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// The newest revision in it.
    pub revision: u64,
    /// The size in bytes.
    pub bytes: u64,
}

/// The result of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The newest revision in it.
    pub revision: u64,
    /// The number of its live keys.
    pub keys: u64,
    /// The path to which the replaced database was moved.
    pub former: Option<PathBuf>,
    /// True if the replaced database is a later state of the same database. Otherwise the Envoys
    /// that connected after the backup, and the node tokens that were revoked after it, are
    /// unknown.
    pub replaces_later: bool,
}

/// Copies `database` to `file`, as of one moment. Users of the database do not wait for it.
pub async fn backup(database: &Path, file: &Path) -> Result<Backup, BackupError> {
    if there_is(file)? {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let (copy, revision) = copy(database, file).await?;
    let bytes = copy.keep(file)?;
    Ok(Backup { revision, bytes })
}

/// Restores as [`restore_with`] does, without an at-rest key.
pub async fn restore(
    file: &Path,
    database: &Path,
    force: bool,
    now: i64,
) -> Result<Restored, BackupError> {
    restore_with(file, database, &AtRestKeys::default(), force, now).await
}

/// Replaces `database` by a copy of the backup `file`. The copy begins a new history: the state of
/// nodes is not compared with it, and all sessions are ended. An existing database is kept in the
/// same directory under another name, if `force` allows replacing it; `now`, in Unix seconds, is
/// part of that name.
pub async fn restore_with(
    file: &Path,
    database: &Path,
    keys: &AtRestKeys,
    force: bool,
    now: i64,
) -> Result<Restored, BackupError> {
    let lock = lock(database)?;
    let replaces = there_is(database)?;
    if replaces && !force {
        return Err(BackupError::Exists(database.to_owned()));
    }
    let (copy, revision) = copy(file, database).await?;
    let (keys, replaces_later) = copy
        .begin_history(file, replaces.then_some(database), keys, now)
        .await?;
    let former = beside(database, &format!(".before-restore-{now}"));
    if replaces {
        // A database exists at every moment: a control plane that starts would make an empty one.
        fs::hard_link(database, &former).map_err(failed(&former))?;
    }
    for log in [LOG, LOG_INDEX] {
        // A log that stayed would be applied to the new database.
        set_aside(&beside(database, log), &beside(&former, log))?;
    }
    copy.keep(database)?;
    drop(lock);
    Ok(Restored {
        revision,
        keys,
        former: replaces.then_some(former),
        replaces_later,
    })
}

/// Makes a verified copy of `database` for `file`. Returns it with its newest revision.
async fn copy(database: &Path, file: &Path) -> Result<(Copy, u64), BackupError> {
    fs::metadata(database).map_err(failed(database))?;
    let copy = Copy::begin(file)?;
    let mut connection = open(database, true).await?;
    let ours = "SELECT COUNT(*) FROM sqlite_schema WHERE name IN ('_sqlx_migrations', 'meta', 'keys', 'policies')";
    let tables: i64 = sqlx::query_scalar(ours)
        .fetch_one(&mut connection)
        .await
        .map_err(refused(database))?;
    if tables != 4 {
        return Err(BackupError::Foreign(database.to_owned()));
    }
    verify(&mut connection, database).await?;
    let vacuum = sqlx::query("VACUUM INTO ?")
        .bind(copy.name()?)
        .execute(&mut connection)
        .await;
    vacuum.map_err(refused(database))?;
    connection.close().await.map_err(refused(database))?;

    let mut connection = open(&copy.0, true).await?;
    verify(&mut connection, &copy.0).await?;
    let revision: i64 = sqlx::query_scalar("SELECT revision FROM meta")
        .fetch_one(&mut connection)
        .await
        .map_err(refused(database))?;
    connection.close().await.map_err(refused(&copy.0))?;
    Ok((copy, revision.cast_unsigned()))
}

async fn verify(connection: &mut SqliteConnection, path: &Path) -> Result<(), BackupError> {
    let check = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(connection);
    let told: String = check.await.map_err(refused(path))?;
    if told == "ok" {
        Ok(())
    } else {
        Err(BackupError::Damaged {
            path: path.to_owned(),
            told,
        })
    }
}

async fn open(path: &Path, read_only: bool) -> Result<SqliteConnection, BackupError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(read_only)
        .busy_timeout(PATIENCE);
    options.connect().await.map_err(refused(path))
}

fn there_is(path: &Path) -> Result<bool, BackupError> {
    path.try_exists().map_err(failed(path))
}

fn set_aside(path: &Path, name: &Path) -> Result<(), BackupError> {
    match fs::rename(path, name) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed(path)(source)),
        _ => Ok(()),
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> BackupError {
    move |source| BackupError::File {
        path: path.to_owned(),
        source,
    }
}

/// SQLITE_NOTADB and SQLITE_CORRUPT say something about the file:
/// <https://sqlite.org/rescode.html>.
fn refused(path: &Path) -> impl Fn(sqlx::Error) -> BackupError {
    move |source| {
        let path = path.to_owned();
        let code = source
            .as_database_error()
            .and_then(|error| error.code()?.parse::<i32>().ok());
        match code.map(|code| code & 0xff) {
            Some(26) => BackupError::Foreign(path),
            Some(11) => BackupError::Damaged {
                path,
                told: source.to_string(),
            },
            _ => BackupError::Database { path, source },
        }
    }
}

/// A copy that is being made. Dropping it removes its file.
struct Copy(PathBuf);

impl Copy {
    /// Creates an empty file in the directory of `file`, readable only by its owner.
    fn begin(file: &Path) -> Result<Self, BackupError> {
        // Absolute, so that SQLite takes no name for a URI.
        let file = std::path::absolute(file).map_err(failed(file))?;
        let path = beside(&file, &format!(".partial-{}", random::base62(8)?));
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed(&path))?;
        Ok(Self(path))
    }

    fn name(&self) -> Result<&str, BackupError> {
        let told = "SQLite requires a UTF-8 file name";
        self.0
            .to_str()
            .ok_or_else(|| failed(&self.0)(io::Error::new(io::ErrorKind::InvalidInput, told)))
    }

    /// Migrates the copy of the backup `file` to the present schema, and begins a new history in
    /// it, which continues that of `replaced`. Returns the number of live keys, and whether
    /// `replaced` is a later state of the backup.
    async fn begin_history(
        &self,
        file: &Path,
        replaced: Option<&Path>,
        keys: &AtRestKeys,
        now: i64,
    ) -> Result<(u64, bool), BackupError> {
        let mut connection = open(&self.0, false).await?;
        MIGRATIONS
            .run(&mut connection)
            .await
            .map_err(|error| match error {
                MigrateError::VersionMissing(migration) => BackupError::Newer {
                    path: file.to_owned(),
                    migration,
                },
                error => BackupError::Migration(error),
            })?;
        let at_rest = AtRest::open(&mut connection, keys).await;
        at_rest.map_err(|source| BackupError::AtRest {
            path: file.to_owned(),
            source,
        })?;
        let mut epoch = Epoch::default();
        random::fill(&mut epoch)?;
        let skipped = uptime::numbers_to_skip()?;
        let change = async {
            let later = former::take_over(&mut connection, replaced, now).await?;
            sqlx::query("UPDATE meta SET epoch = ?")
                .bind(&epoch[..])
                .execute(&mut connection)
                .await?;
            // Nodes restart their counts in a new history. Earlier counts stay in the sums, as if
            // they came from other nodes.
            for gone in ["DELETE FROM sessions", "DELETE FROM node_usage"] {
                sqlx::query(gone).execute(&mut connection).await?;
            }
            uptime::skip_numbers(&mut connection, skipped).await?;
            let live = "SELECT COUNT(*) FROM keys WHERE slot IS NOT NULL";
            let keys: i64 = sqlx::query_scalar(live).fetch_one(&mut connection).await?;
            connection.close().await?;
            Ok((keys.cast_unsigned(), later))
        };
        change.await.map_err(refused(&self.0))
    }

    /// Renames the copy to its final name, replacing any file there. Returns its size.
    fn keep(self, file: &Path) -> Result<u64, BackupError> {
        let keep = || {
            let copy = File::open(&self.0)?;
            copy.sync_all()?;
            fs::rename(&self.0, file)?;
            let directory = self.0.parent().unwrap_or(Path::new("."));
            File::open(directory)?.sync_all()?;
            Ok(copy.metadata()?.len())
        };
        keep().map_err(failed(file))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // The file has this name only if it was not kept.
        let _ = fs::remove_file(&self.0);
    }
}
