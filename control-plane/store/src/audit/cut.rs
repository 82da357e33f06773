//! Cutting the audit: removes entries once they are exported, and no others.
//!
//! **An entry is removed only if the file has it, and only if the cut is recorded.** First the
//! entries are written to a file, which is synced to the disk and read back. Then the cut is
//! recorded, in the audit too. Only then entries are removed, in steps. The database refuses to
//! remove an entry that is not part of a recorded cut, or that is younger than 90 days. A control
//! plane can run at the same time.

use latchkey_model::clock::rfc3339;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, FromRow};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time;

use super::{Event, Origin, Target, write};
use crate::{Actor, PATIENCE, StoreError};

/// The minimum age of an entry that may be removed, in seconds.
pub const KEPT: i64 = 90 * 24 * 60 * 60;

/// The number of entries that are read, and removed, at a time.
const STEP: i64 = 1_000;

/// The reason why the audit was not cut.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// The time is too recent: younger entries stay. Holds the latest possible time, in Unix
    /// seconds.
    #[error("--before must be at least 90 days ago: {} at the latest", rfc3339(*.0))]
    TooYoung(i64),
    /// A file could not be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file's path.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The file does not hold what was written to it. Nothing was removed.
    #[error("{} does not contain the entries that were written to it; nothing was removed", .0.display())]
    NotExported(PathBuf),
    /// The database does not exist, or is of another version.
    #[error("{} is not a database of this version of Latchkey: {reason}", path.display())]
    Foreign {
        /// The database's path.
        path: PathBuf,
        /// The database's error.
        reason: sqlx::Error,
    },
    /// The entries differ from those that were exported. The remaining ones were not removed.
    #[error(
        "the audit was changed during the export: {removed} of {exported} entries were \
    removed"
    )]
    Changed {
        /// The number of entries that were removed.
        removed: u64,
        /// The number of entries in the file.
        exported: u64,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for CutError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The result: the entries that were exported and removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The number of entries.
    pub entries: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// An entry as it is exported.
#[derive(FromRow)]
struct AuditRow {
    seq: i64,
    account_id: String,
    at: i64,
    actor_kind: String,
    actor_id: Option<String>,
    actor_name: Option<String>,
    action: String,
    target_kind: String,
    target_id: Option<String>,
    target_name: Option<String>,
    before: Option<String>,
    after: Option<String>,
    source_address: Option<String>,
    request_id: Option<String>,
}

impl AuditRow {
    /// Returns the entry as a line of JSON, with the names that the API uses.
    fn line(&self) -> Result<String, StoreError> {
        let side = |side: &Option<String>| match side {
            Some(text) => {
                serde_json::from_str(text).map_err(|_| StoreError::Damaged("an entry of the audit"))
            }
            None => Ok(Value::Null),
        };
        let line = json!({
            "id": format!("aud_{}", self.seq),
            "account_id": self.account_id,
            "at": rfc3339(self.at),
            "actor": { "type": self.actor_kind, "id": self.actor_id, "name": self.actor_name },
            "action": self.action,
            "target": { "type": self.target_kind, "id": self.target_id, "name": self.target_name },
            "before": side(&self.before)?,
            "after": side(&self.after)?,
            "source_address": self.source_address,
            "request_id": self.request_id,
        });
        Ok(format!("{line}\n"))
    }
}

/// The exported file and its entries.
struct Export {
    entries: u64,
    through: i64,
    sha256: String,
}

/// Exports the entries of all accounts that are older than `before`, in Unix seconds, to `file`,
/// and removes them.
pub async fn cut(database: &Path, before: i64, file: &Path, now: i64) -> Result<Cut, CutError> {
    let latest = now.saturating_sub(KEPT);
    if before > latest {
        return Err(CutError::TooYoung(latest));
    }
    let foreign = |reason| CutError::Foreign {
        path: database.to_owned(),
        reason,
    };
    let options = SqliteConnectOptions::new()
        .filename(database)
        .foreign_keys(true)
        .busy_timeout(PATIENCE);
    let mut connection = options.connect().await.map_err(foreign)?;
    sqlx::query("SELECT 1 FROM audit_cuts LIMIT 1")
        .fetch_optional(&mut connection)
        .await
        .map_err(foreign)?;
    let export = export(&mut connection, before, file).await?;
    if !is_whole(file, &export.sha256).map_err(failed(file))? {
        return Err(CutError::NotExported(file.to_owned()));
    }
    if export.entries > 0 {
        record(&mut connection, &export, before, now).await?;
        remove(&mut connection, &export, before).await?;
    }
    connection.close().await?;
    Ok(Cut {
        entries: export.entries,
        sha256: export.sha256,
    })
}

fn failed(path: &Path) -> impl Fn(io::Error) -> CutError {
    move |source| CutError::File {
        path: path.to_owned(),
        source,
    }
}

/// Writes the entries to a new file, and syncs it to the disk.
async fn export(
    connection: &mut SqliteConnection,
    before: i64,
    file: &Path,
) -> Result<Export, CutError> {
    const PAGE: &str = "SELECT seq, account_id, at, actor_kind, actor_id, actor_name, action, target_kind, target_id, \
         target_name, before, after, source_address, request_id FROM audit WHERE seq > ? AND at < ? ORDER BY seq LIMIT ?";
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(failed(file))?;
    let (mut out, mut digest) = (BufWriter::new(created), Sha256::new());
    let (mut entries, mut through) = (0_u64, 0);
    loop {
        let page = sqlx::query_as(PAGE)
            .bind(through)
            .bind(before)
            .bind(STEP)
            .fetch_all(&mut *connection);
        let page: Vec<AuditRow> = page.await?;
        let Some(last) = page.last() else { break };
        through = last.seq;
        for row in &page {
            let line = row.line()?;
            digest.update(&line);
            out.write_all(line.as_bytes()).map_err(failed(file))?;
            entries = entries.saturating_add(1);
        }
    }
    let out = out
        .into_inner()
        .map_err(|error| failed(file)(error.into_error()))?;
    out.sync_all().map_err(failed(file))?;
    let directory = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed(file))?;
    Ok(Export {
        entries,
        through,
        sha256: hex::encode(digest.finalize()),
    })
}

fn is_whole(file: &Path, sha256: &str) -> io::Result<bool> {
    let (mut file, mut digest, mut buffer) = (File::open(file)?, Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(digest.finalize()) == sha256),
            read => digest.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

async fn record(
    connection: &mut SqliteConnection,
    export: &Export,
    before: i64,
    now: i64,
) -> Result<(), CutError> {
    const RECORD: &str =
        "INSERT INTO audit_cuts (through, before, entries, sha256, cut_at) VALUES (?, ?, ?, ?, ?)";
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let record = sqlx::query(RECORD)
        .bind(export.through)
        .bind(before)
        .bind(export.entries.cast_signed());
    record
        .bind(&export.sha256)
        .bind(now)
        .execute(&mut *transaction)
        .await?;
    let operator: String = sqlx::query_scalar("SELECT id FROM accounts WHERE operator")
        .fetch_one(&mut *transaction)
        .await?;
    let told =
        json!({ "before": rfc3339(before), "entries": export.entries, "sha256": export.sha256 });
    let event = Event {
        after: Some(told),
        ..Event::done("audit.cut", Target::the("audit"))
    };
    write(
        &mut transaction,
        &operator,
        &Actor::System,
        &Origin::default(),
        &[event],
        now,
    )
    .await?;
    Ok(transaction.commit().await?)
}

/// Removes as many entries as were exported. Other writers can run between two steps.
async fn remove(
    connection: &mut SqliteConnection,
    export: &Export,
    before: i64,
) -> Result<(), CutError> {
    const REMOVE: &str = "DELETE FROM audit WHERE seq IN \
         (SELECT seq FROM audit WHERE seq <= ? AND at < ? ORDER BY seq LIMIT ?)";
    let mut removed = 0_u64;
    loop {
        let began = time::Instant::now();
        let step = sqlx::query(REMOVE)
            .bind(export.through)
            .bind(before)
            .bind(STEP)
            .execute(&mut *connection)
            .await?;
        removed = removed.saturating_add(step.rows_affected());
        if step.rows_affected() == 0 {
            break;
        }
        time::sleep(began.elapsed().max(Duration::from_millis(1))).await;
    }
    if removed == export.entries {
        return Ok(());
    }
    Err(CutError::Changed {
        removed,
        exported: export.entries,
    })
}

#[cfg(test)]
mod tests;
