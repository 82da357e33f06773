//! `latchkey at-rest-key`.

use clap::{Args, Subcommand};
use std::io::{self, Write as _};
use std::path::PathBuf;

use super::{AtRestKey, make_file};

/// Create the key that encrypts the digests of imported keys in the database
#[derive(Debug, Clone, Args)]
pub struct AtRestKeyCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// Generate a key
    Generate {
        /// File for the key, readable only by its owner; must not exist (default: print the key)
        file: Option<PathBuf>,
    },
}

/// An error while a key is generated.
#[derive(Debug, thiserror::Error)]
pub enum AtRestKeyError {
    /// The file could not be created.
    #[error("{}: {source}", path.display())]
    File {
        /// The file's path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The key could not be printed.
    #[error("cannot print the key: {0}")]
    Stdout(#[from] io::Error),
}

impl AtRestKeyCommand {
    /// Generates a key, and writes it to the file or prints it.
    ///
    /// # Errors
    /// Fails if the key cannot be written. An existing file is never overwritten.
    pub fn run(self) -> Result<(), AtRestKeyError> {
        let Action::Generate { file } = self.action;
        let mut stdout = io::stdout();
        match file {
            Some(path) => {
                make_file(&path).map_err(|source| AtRestKeyError::File {
                    path: path.clone(),
                    source,
                })?;
                writeln!(
                    stdout,
                    "{} holds a new at-rest key. Keep a copy of it apart from the database and \
                     its backups: without it, everything that it encrypts is lost.",
                    path.display()
                )?;
            }
            None => {
                let key = AtRestKey::generate().map_err(io::Error::other)?;
                writeln!(stdout, "{}", key.to_hex())?;
            }
        }

        Ok(stdout.flush()?)
    }
}
