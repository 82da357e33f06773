//! SQLite without the control plane, opened as the store opens it: the lower bound for every
//! change.

use std::path::Path;

use anyhow::Result;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

/// A row of about the size of a key's row.
const ROW: [u8; 400] = [b'x'; 400];

/// A database with one table.
pub(crate) struct Raw(SqlitePool);

impl Raw {
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await?;
        sqlx::query(
            "CREATE TABLE rows (seq INTEGER PRIMARY KEY AUTOINCREMENT, content BLOB NOT NULL)",
        )
        .execute(&pool)
        .await?;
        Ok(Self(pool))
    }

    /// Inserts one row in a separate transaction, which is on the disk when the call returns.
    pub(crate) async fn insert(&self) -> Result<()> {
        sqlx::query("INSERT INTO rows (content) VALUES (?)")
            .bind(&ROW[..])
            .execute(&self.0)
            .await?;
        Ok(())
    }
}
