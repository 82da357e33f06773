//! `latchkey init`, `latchkey backup`, `latchkey restore` and `latchkey audit-cut`: commands that
//! work on the database's file, not through the API.

use clap::Args;
use latchkey_model::clock::{Clock as _, SystemClock};
use latchkey_store::audit::cut::{CutError, cut};
use latchkey_store::backup::{BackupError, backup, restore_with};
use latchkey_store::{OpenError, OpenMode, Store};
use std::path::PathBuf;

use crate::at_rest::AtRestConfig;
use crate::config::InvalidSetting;
use latchkey_store::AT_REST_KEY_HOW_TO as HOW_TO;

/// Create an empty database, once per deployment; the first start creates the administrator
#[derive(Debug, Clone, Args)]
pub struct Init {
    /// Path of the database
    #[arg(
        long,
        env = "LATCHKEY_DATABASE",
        default_value = "latchkey.db",
        value_name = "PATH"
    )]
    database: PathBuf,
    #[command(flatten)]
    at_rest: AtRestConfig,
}

/// Write a consistent copy of the database while the control plane is running
#[derive(Debug, Clone, Args)]
pub struct Backup {
    /// Path of the database
    #[arg(
        long,
        env = "LATCHKEY_DATABASE",
        default_value = "latchkey.db",
        value_name = "PATH"
    )]
    database: PathBuf,
    /// File for the copy; must not exist
    file: PathBuf,
}

/// Replace the database with a backup, while no control plane is running
#[derive(Debug, Clone, Args)]
pub struct Restore {
    /// Path of the database
    #[arg(
        long,
        env = "LATCHKEY_DATABASE",
        default_value = "latchkey.db",
        value_name = "PATH"
    )]
    database: PathBuf,
    /// Replace an existing database, which is kept beside it under another name
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    at_rest: AtRestConfig,
    /// File of the backup
    file: PathBuf,
}

/// Export entries of the audit that are at least 90 days old to a file, and then remove them; a
/// control plane may run meanwhile
#[derive(Debug, Clone, Args)]
pub struct AuditCut {
    /// Path of the database
    #[arg(
        long,
        env = "LATCHKEY_DATABASE",
        default_value = "latchkey.db",
        value_name = "PATH"
    )]
    database: PathBuf,
    /// Entries of before then: RFC 3339, such as 2030-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = unix_seconds)]
    before: i64,
    /// File for the entries, one line of JSON each; must not exist
    #[arg(long, value_name = "FILE")]
    export: PathBuf,
}

/// An error while a database is created.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The at-rest key cannot be used.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// The database could not be created.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// An error while a backup is restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The at-rest key cannot be used.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// The backup could not be restored.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

fn unix_seconds(text: &str) -> Result<i64, String> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| "must be a time as in 2030-01-01T00:00:00Z".to_owned())?;
    Ok(time.as_second())
}

impl AuditCut {
    /// Exports and removes the entries, and reports both.
    ///
    /// # Errors
    /// Fails if the entries are too young or could not be exported. Nothing was removed then.
    pub async fn run(self) -> Result<(), CutError> {
        let cut = cut(&self.database, self.before, &self.export, SystemClock.now()).await?;
        let (database, file) = (self.database.display(), self.export.display());
        println!(
            "{} entries are in {file} and no longer in {database}. SHA-256: {}",
            cut.entries, cut.sha256
        );
        Ok(())
    }
}

impl Init {
    /// Creates the database.
    ///
    /// # Errors
    /// Fails if the database exists already, if it cannot be created, or if the at-rest key cannot
    /// be used.
    pub async fn run(self) -> Result<(), InitError> {
        let exists = self.database.try_exists().unwrap_or(true);
        let keys = if exists {
            self.at_rest.keys()?
        } else {
            self.at_rest.keys_of_new_database()?
        };

        let store = Store::open_with(&self.database, OpenMode::Create, &keys).await?;
        store.close().await;
        println!("{} is an empty database.", self.database.display());

        match (&keys.current, &self.at_rest.key_file) {
            (Some(_), Some(file)) => println!(
                "{} has its at-rest key. Keep a copy of it apart from the database and its backups.",
                file.display()
            ),
            (Some(_), None) => {}
            (None, _) => println!("To import keys that were made elsewhere, {HOW_TO}."),
        }

        Ok(())
    }
}

impl Backup {
    /// Writes the copy and reports it.
    pub async fn run(self) -> Result<(), BackupError> {
        let made = backup(&self.database, &self.file).await?;
        let (database, file) = (self.database.display(), self.file.display());
        println!(
            "Copied {database} at revision {} to {file}: {} bytes, verified.",
            made.revision, made.bytes
        );
        Ok(())
    }
}

impl Restore {
    /// Restores the backup and reports the result.
    ///
    /// # Errors
    /// Fails if the backup cannot be restored, or contains data that another at-rest key encrypted.
    pub async fn run(self) -> Result<(), RestoreError> {
        let keys = self.at_rest.keys()?;
        let restored = restore_with(
            &self.file,
            &self.database,
            &keys,
            self.force,
            SystemClock.now(),
        )
        .await?;
        let (database, file) = (self.database.display(), self.file.display());
        println!(
            "Restored {database} from {file} at revision {}, with {} live keys.",
            restored.revision, restored.keys
        );

        if let Some(former) = restored.former {
            println!("The previous database is {}.", former.display());
        }

        if !restored.replaces_later {
            println!(
                "There was no later state of it: node tokens revoked since the backup are valid again \
                 (`latchkey node-token list`), and Envoys that connected since are unknown."
            );
        }

        println!(
            "The restored history is new: every Envoy loads a whole snapshot, and every user has to log \
             in again."
        );
        Ok(())
    }
}
