//! Copies of the database: a backup, which is made while a control plane may be at work, and what
//! is restored from one.
//!
//! A copy is written under a name of its own in the directory where it belongs. It gets its name
//! once it is whole, verified and on the disk.

use latchkey_model::random::{self, NoRandomness};
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::at_rest::AtRest;
use super::{Epoch, LOG, LOG_INDEX, MIGRATIONS, OpenError, PATIENCE, beside, former, life, lock};
use crate::AtRestKeys;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing is ever written over.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What should be copied is not a database, or not one of ours.
    #[error("{} is not a database of Latchkey", .0.display())]
    Foreign(PathBuf),
    /// What was copied cannot be trusted.
    #[error("{} is damaged: {told}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What SQLite says.
        told: String,
    },
    /// What should be restored has a schema that this version does not know.
    #[error("{} is from a newer version of Latchkey: it has migration {migration}", path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// The first migration that is not known.
        migration: i64,
    },
    /// The backup has what another at-rest key encrypted.
    #[error("{}: {source}", path.display())]
    AtRest {
        /// Which backup.
        path: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// The database's lock could not be had.
    #[error(transparent)]
    Lock(#[from] OpenError),
    /// The schema of what should be restored could not be brought up to date.
    #[error("migration: {0}")]
    Migration(#[source] MigrateError),
    /// SQLite failed.
    #[error("{}: {source}", path.display())]
    Database {
        /// Which database.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// No epoch could be drawn.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// A backup that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// The newest revision in it.
    pub revision: u64,
    /// Its size.
    pub bytes: u64,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The newest revision in it.
    pub revision: u64,
    /// Its live keys.
    pub keys: u64,
    /// Where the database is that was there before.
    pub former: Option<PathBuf>,
    /// Whether that is a later state of the same database. Otherwise nobody knows which Envoys came
    /// and which node tokens were revoked since the backup.
    pub replaces_later: bool,
}

/// Copies `database` to `file`, as it is at one moment. Nobody who uses the database waits for it.
pub async fn backup(database: &Path, file: &Path) -> Result<Backup, BackupError> {
    if there_is(file)? {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let (copy, revision) = copy(database, file).await?;
    let bytes = copy.keep(file)?;
    Ok(Backup { revision, bytes })
}

/// Does what [`restore_with`] does, without an at-rest key.
pub async fn restore(
    file: &Path,
    database: &Path,
    force: bool,
    now: i64,
) -> Result<Restored, BackupError> {
    restore_with(file, database, &AtRestKeys::default(), force, now).await
}

/// Puts a copy of the backup `file` in the place of `database`, as the beginning of another
/// history: what nodes hold is not compared with it, and nobody is logged in. A database that is
/// there is kept beside it under another name, if `force` says that it should go; `now`, in Unix
/// seconds, is part of that name.
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
        // At no moment is there no database: a control plane that starts would make an empty one.
        fs::hard_link(database, &former).map_err(failed(&former))?;
    }
    for log in [LOG, LOG_INDEX] {
        // A log that stayed would be played into the new database.
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

/// A copy of `database` that is to become `file`, verified, and the newest revision in it.
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

/// A copy in the making; dropped, it is gone.
struct Copy(PathBuf);

impl Copy {
    /// An empty file in the directory of `file`, for its owner's eyes only.
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

    /// Brings the copy of the backup `file` up to date, and makes another history of it, which goes
    /// on from that of `replaced`. Returns how many live keys it has, and whether `replaced` is a
    /// later state of it.
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
        let skipped = life::numbers_to_skip()?;
        let change = async {
            let later = former::take_over(&mut connection, replaced, now).await?;
            sqlx::query("UPDATE meta SET epoch = ?")
                .bind(&epoch[..])
                .execute(&mut connection)
                .await?;
            // Nodes count anew in another history; what they counted before stays in the sums, as
            // if others had.
            for gone in ["DELETE FROM sessions", "DELETE FROM node_usage"] {
                sqlx::query(gone).execute(&mut connection).await?;
            }
            life::skip_numbers(&mut connection, skipped).await?;
            let live = "SELECT COUNT(*) FROM keys WHERE slot IS NOT NULL";
            let keys: i64 = sqlx::query_scalar(live).fetch_one(&mut connection).await?;
            connection.close().await?;
            Ok((keys.cast_unsigned(), later))
        };
        change.await.map_err(refused(&self.0))
    }

    /// Gives it its name, in the place of whatever has it. Returns its size.
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
        // Under this name it is there only if it was not kept.
        let _ = fs::remove_file(&self.0);
    }
}
