//! The artefacts of an earlier version: its filter, and a database that it wrote.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::paths::workspace;

/// An earlier version, such as `0.1.0`, read from its folder in `tests/upgrade/`.
#[derive(Debug, Clone)]
pub struct Earlier {
    folder: PathBuf,
    keys: BTreeMap<String, String>,
}

impl Earlier {
    /// Reads the folder of `version`.
    ///
    /// # Errors
    /// Fails when there is none.
    pub fn version(version: &str) -> Result<Self> {
        let folder = workspace().join("tests/upgrade").join(version);
        let keys = fs::read_to_string(folder.join("keys.json"))
            .with_context(|| format!("no files of {version}"))?;
        Ok(Self {
            keys: serde_json::from_str(&keys)?,
            folder,
        })
    }

    /// The filter's wasm file.
    #[must_use]
    pub fn filter(&self) -> PathBuf {
        self.folder.join("latchkey_filter.wasm")
    }

    /// Returns the key with this name, or with `_id` appended, its id.
    ///
    /// # Panics
    /// Panics when there is no such key.
    #[must_use]
    pub fn key(&self, name: &str) -> &str {
        &self.keys[name]
    }

    /// Writes the version's database to `path`.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub async fn write_database(&self, path: &Path) -> Result<()> {
        let statements = fs::read_to_string(self.folder.join("database.sql"))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(false);
        let mut database: SqliteConnection = options.connect().await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
            .execute(&mut database)
            .await?;
        Ok(database.close().await?)
    }
}
