//! The database's file: checks whether it has a database to open, and whether the open file is
//! still the one at its path.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{LOCK, LOG, OpenError, StoreError, beside};

/// The behaviour of [`Store::open`](super::Store::open) if there is no database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Fails: an empty database is not the one that nodes know.
    Existing,
    /// Creates a database.
    CreateIfMissing,
    /// Creates a database, and fails if one exists.
    Create,
}

/// The device and inode of a file.
type Identity = (u64, u64);

/// The open files of the database.
pub(super) struct OpenFile {
    path: PathBuf,
    database: Identity,
    /// The identity of the write-ahead log, which SQLite replaces when it closes the last
    /// connection. `None` before it is known.
    log: Mutex<Option<Identity>>,
}

impl OpenFile {
    /// Identifies the file at `path`, which nothing has opened yet.
    pub(super) fn identify(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::File {
            path: path.to_owned(),
            source,
        };
        let database = identity(&fs::metadata(path).map_err(failed)?);
        Ok(Self {
            path: path.to_owned(),
            database,
            log: Mutex::default(),
        })
    }

    /// Records the log that a new connection writes to.
    pub(super) fn identify_log(&self) {
        let log = fs::metadata(beside(&self.path, LOG))
            .ok()
            .as_ref()
            .map(identity);
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = log;
    }

    /// Checks that the open files are the ones at the path: otherwise changes would be lost when
    /// the last descriptor is closed.
    ///
    /// # Errors
    /// [`StoreError::FileReplaced`].
    pub(super) fn check(&self) -> Result<(), StoreError> {
        check(&self.path, self.database)?;
        let log = *self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.map_or(Ok(()), |log| check(&beside(&self.path, LOG), log))
    }

    /// Checks that the file at the path, which a new connection reads, is the database.
    pub(super) fn check_database(&self) -> Result<(), StoreError> {
        check(&self.path, self.database)
    }
}

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino())
}

fn check(path: &Path, expected: Identity) -> Result<(), StoreError> {
    let replaced = |how| {
        Err(StoreError::FileReplaced {
            path: path.to_owned(),
            how,
        })
    };
    match fs::metadata(path) {
        Ok(file) if identity(&file) == expected => Ok(()),
        Ok(_) => replaced("was replaced by another file"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => replaced("was removed"),
        Err(_) => replaced("cannot be found"),
    }
}

/// Returns whether the file can contain a database: an empty file does not.
///
/// # Errors
/// [`OpenError::Missing`] if a database must exist.
pub(super) fn ensure_openable(path: &Path, mode: OpenMode) -> Result<bool, OpenError> {
    let exists = match fs::metadata(path) {
        Ok(file) => file.len() > 0,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(source) => {
            return Err(OpenError::File {
                path: path.to_owned(),
                source,
            });
        }
    };
    if exists || mode != OpenMode::Existing {
        Ok(exists)
    } else {
        Err(OpenError::Missing(path.to_owned()))
    }
}

/// Creates the file if needed, and returns whether it can contain a database.
pub(super) fn prepare(path: &Path, mode: OpenMode) -> Result<bool, OpenError> {
    let exists = ensure_openable(path, mode)?;
    private(path)?;
    Ok(exists)
}

/// Locks the database for this control plane.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let beside = beside(path, LOCK);
    let lock = private(&beside)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(OpenError::File {
            path: beside,
            source,
        }),
    }
}

/// Opens a file that only its owner can read, and creates it if needed.
fn private(path: &Path) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    options.open(path).map_err(|source| OpenError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_and_replaced_files_are_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("latchkey.db");
        assert!(!prepare(&path, OpenMode::CreateIfMissing).unwrap());
        let open = OpenFile::identify(&path).unwrap();
        fs::write(beside(&path, LOG), "").unwrap();
        open.identify_log();
        open.check().unwrap();
        // Both files exist at once, so that no inode is reused.
        let elsewhere = directory.path().join("elsewhere");
        for (file, kept) in [(path.clone(), "database"), (beside(&path, LOG), "log")] {
            fs::rename(&file, &elsewhere).unwrap();
            let removed = open.check().unwrap_err().to_string();
            assert!(removed.contains("was removed"), "{kept}: {removed}");
            fs::write(&file, "").unwrap();
            let replaced = open.check().unwrap_err().to_string();
            assert!(
                replaced.contains("was replaced by another file"),
                "{kept}: {replaced}"
            );
            fs::rename(&elsewhere, &file).unwrap();
            open.check().unwrap();
        }
    }

    #[test]
    fn empty_file_is_no_database() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("latchkey.db");
        for _ in 0..2 {
            assert!(matches!(
                prepare(&path, OpenMode::Existing),
                Err(OpenError::Missing(_))
            ));
            fs::write(&path, "").unwrap();
        }
        assert!(!prepare(&path, OpenMode::Create).unwrap());
        fs::write(&path, "x").unwrap();
        assert!(prepare(&path, OpenMode::Existing).unwrap());
    }
}
