//! `latchkey init`, `latchkey backup` and `latchkey restore`: commands that work on the database's file, not through the API.

use clap::Args;
use std::path::PathBuf;

use crate::clock::{Clock as _, SystemClock};
use crate::store::backup::{BackupError, backup, restore};
use crate::store::{OpenError, OpenMode, Store};

/// Create an empty database, once for each deployment; the first start makes the administrator
#[derive(Debug, Clone, Args)]
pub struct Init {
    /// The database
    #[arg(long, env = "LATCHKEY_DATABASE", default_value = "latchkey.db", value_name = "PATH")]
    database: PathBuf,
}

/// Write a copy of the database, as it is at one moment, while the control plane goes on
#[derive(Debug, Clone, Args)]
pub struct Backup {
    /// The database
    #[arg(long, env = "LATCHKEY_DATABASE", default_value = "latchkey.db", value_name = "PATH")]
    database: PathBuf,
    /// Where to write the copy; must not be there yet
    file: PathBuf,
}

/// Put a backup in the place of the database, while no control plane runs
#[derive(Debug, Clone, Args)]
pub struct Restore {
    /// The database
    #[arg(long, env = "LATCHKEY_DATABASE", default_value = "latchkey.db", value_name = "PATH")]
    database: PathBuf,
    /// Although a database is there, which is kept beside it under another name
    #[arg(long)]
    force: bool,
    /// The backup
    file: PathBuf,
}

impl Init {
    /// Creates the database.
    ///
    /// # Errors
    /// When there is one already, or it cannot be created.
    pub async fn run(self) -> Result<(), OpenError> {
        let store = Store::open(&self.database, OpenMode::Create).await?;
        store.close().await;
        println!("{} is an empty database.", self.database.display());
        Ok(())
    }
}

impl Backup {
    /// Makes the copy, and tells of it.
    pub async fn run(self) -> Result<(), BackupError> {
        let made = backup(&self.database, &self.file).await?;
        let (database, file) = (self.database.display(), self.file.display());
        println!("{database} as of revision {} is in {file}, {} bytes, verified.", made.revision, made.bytes);
        Ok(())
    }
}

impl Restore {
    /// Restores, and tells what that did.
    pub async fn run(self) -> Result<(), BackupError> {
        let restored = restore(&self.file, &self.database, self.force, SystemClock.now()).await?;
        let (database, file) = (self.database.display(), self.file.display());
        println!("{database} is {file} as of revision {}, with {} live keys.", restored.revision, restored.keys);
        if let Some(former) = restored.former {
            println!("What was there before is {}.", former.display());
        }
        if !restored.replaces_later {
            println!(
                "No later state of it was there: node tokens that were revoked since the backup are valid again \
                 (`latchkey node-token list`), and Envoys that connected since are not known."
            );
        }
        println!("It is another history: every Envoy loads it whole, and everybody has to log in again.");
        Ok(())
    }
}
