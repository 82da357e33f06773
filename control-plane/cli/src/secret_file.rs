//! Files in which secrets are saved. Each file is created, empty, before its secret is created, so
//! that a new secret can always be saved.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::error::CommandError;
use super::secret::Secret;

/// A new file. It is removed unless a secret is saved in it.
pub(super) struct SecretFile {
    path: PathBuf,
    file: File,
    saved: bool,
}

impl SecretFile {
    /// Creates the file, readable only by its owner. Existing files are not overwritten.
    pub(super) fn reserve(path: &Path) -> Result<Self, CommandError> {
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                CommandError::file(path, "exists already and is not overwritten")
            }
            _ => CommandError::file(path, format!("cannot be created: {error}")),
        })?;

        Ok(Self {
            path: path.to_owned(),
            file,
            saved: false,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the secret and a line break.
    pub(super) fn save(mut self, secret: &Secret) -> io::Result<()> {
        self.file
            .write_all(format!("{}\n", secret.expose()).as_bytes())?;
        self.file.sync_all()?;
        self.saved = true;
        Ok(())
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if !self.saved {
            // If removing fails, the file is empty or holds a secret that is revoked.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn saved_secret_is_private_and_new() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ci.pak");
        drop(SecretFile::reserve(&path).unwrap());
        assert!(!path.exists(), "nothing was saved");
        SecretFile::reserve(&path)
            .unwrap()
            .save(&Secret::new("lk_live_1"))
            .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "lk_live_1\n");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let Err(refused) = SecretFile::reserve(&path) else {
            panic!("overwritten")
        };
        assert!(
            refused
                .to_string()
                .ends_with("ci.pak: exists already and is not overwritten"),
            "{refused}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "lk_live_1\n");
        assert!(SecretFile::reserve(&directory.path().join("none").join("x")).is_err());
    }
}
