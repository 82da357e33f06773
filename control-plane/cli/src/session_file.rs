//! The session that `latchkey login` saved in `$XDG_CONFIG_HOME/latchkey/session.json`, which only
//! its owner can read.

use latchkey_model::random;
use latchkey_model::secret_files::Exposure;
use latchkey_model::text::normalized_email;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::{env, iter};

use super::error::CommandError;
use super::secret::Secret;

/// The content of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedSession {
    /// The URL of the session's API. The token is sent to no other.
    pub(super) url: String,
    /// The session's user. Absent in files of earlier versions.
    #[serde(default)]
    email: Option<String>,
    token: Secret,
    expires_at: String,
}

impl SavedSession {
    pub(super) fn new(url: &Url, email: &str, token: Secret, expires_at: &str) -> Self {
        Self {
            url: url.to_string(),
            email: Some(normalized_email(email)),
            token,
            expires_at: expires_at.to_owned(),
        }
    }

    /// Returns the token if the session is for that API and, if given, that user.
    pub(super) fn token_for(&self, url: &Url, email: Option<&str>) -> Option<Secret> {
        let theirs =
            email.is_none_or(|email| self.email.as_ref() == Some(&normalized_email(email)));
        (self.url == url.as_str() && theirs).then(|| self.token.clone())
    }

    pub(super) fn token(&self) -> Secret {
        self.token.clone()
    }
}

/// The file that holds the session.
pub(super) struct SessionFile(PathBuf);

impl SessionFile {
    /// Returns the file's path; `None` if neither `XDG_CONFIG_HOME` nor `HOME` is an absolute path.
    pub(super) fn find() -> Result<Option<Self>, CommandError> {
        // The XDG base directory specification ignores relative paths.
        let directory = |variable| {
            env::var_os(variable)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let config = directory("XDG_CONFIG_HOME")
            .or_else(|| directory("HOME").map(|home| home.join(".config")));
        Ok(config.map(|config| Self(config.join("latchkey").join("session.json"))))
    }

    /// Reads the session, if one is saved. A file that others have access to is refused.
    pub(super) fn read(&self) -> Result<Option<SavedSession>, CommandError> {
        let failed =
            |error: io::Error| CommandError::file(&self.0, format!("cannot be read: {error}"));
        let file = match File::open(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed)?,
        };
        if let Some(exposure) = Exposure::find(&file.metadata().map_err(failed)?) {
            let reason = format!("{exposure}; or remove it and log in again: latchkey login");
            return Err(CommandError::file(&self.0, reason));
        }

        let text = io::read_to_string(file).map_err(failed)?;
        let damaged = |_| {
            CommandError::file(
                &self.0,
                "is damaged; remove it and log in again: latchkey login",
            )
        };
        serde_json::from_str(&text).map(Some).map_err(damaged)
    }

    /// Writes the session, completely or not at all.
    pub(super) fn write(&self, saved: &SavedSession) -> Result<(), CommandError> {
        let failed =
            |error: io::Error| CommandError::file(&self.0, format!("cannot be written: {error}"));
        let directory = self.0.parent().unwrap_or(Path::new("/"));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed)?;
        fs::set_permissions(directory, Permissions::from_mode(0o700)).map_err(failed)?;
        let name = random::base62(12)
            .map_err(io::Error::other)
            .map_err(failed)?;
        let partial = directory.join(format!("session.json.{name}"));
        let written = write(&partial, saved).and_then(|()| fs::rename(&partial, &self.0));

        written.map_err(|error| {
            // The file may not exist.
            let _ = fs::remove_file(&partial);
            failed(error)
        })
    }

    pub(super) fn remove(&self) -> Result<(), CommandError> {
        fs::remove_file(&self.0)
            .map_err(|error| CommandError::file(&self.0, format!("cannot be removed: {error}")))
    }
}

fn write(path: &Path, saved: &SavedSession) -> io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let text: String = serde_json::to_string(saved)?
        .chars()
        .chain(iter::once('\n'))
        .collect();
    file.write_all(text.as_bytes())?;

    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> SavedSession {
        SavedSession::new(
            &Url::parse("http://a:1").unwrap(),
            "A@b.c",
            Secret::new("lks_secret"),
            "2027-01-15T08:30:00Z",
        )
    }

    #[test]
    fn session_is_private_to_one_address() {
        let directory = tempfile::tempdir().unwrap();
        let file = SessionFile(directory.path().join("latchkey").join("session.json"));
        assert!(file.read().unwrap().is_none());
        file.write(&saved()).unwrap();
        file.write(&saved()).unwrap();
        let read = file.read().unwrap().unwrap();
        let (url, token) = (
            Url::parse("http://a:1/").unwrap(),
            Some(Secret::new("lks_secret")),
        );
        assert_eq!(
            (
                read.token_for(&url, None),
                read.token_for(&url, Some(" a@B.c"))
            ),
            (token.clone(), token)
        );
        assert_eq!(read.token_for(&url, Some("b@b.c")), None);

        for other in ["http://a:2", "https://a:1", "http://b:1", "http://a:1/x"] {
            assert_eq!(
                read.token_for(&Url::parse(other).unwrap(), None),
                None,
                "{other}"
            );
        }

        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&file.0), mode(file.0.parent().unwrap())),
            (0o600, 0o700)
        );
        assert_eq!(
            fs::read_dir(file.0.parent().unwrap()).unwrap().count(),
            1,
            "nothing partial is left"
        );
        assert!(!format!("{read:?}").contains("lks_secret"));

        fs::set_permissions(&file.0, Permissions::from_mode(0o644)).unwrap();
        assert!(
            file.read()
                .unwrap_err()
                .to_string()
                .contains("other users have access to it")
        );
        fs::set_permissions(&file.0, Permissions::from_mode(0o600)).unwrap();
        fs::write(&file.0, "{}").unwrap();
        assert!(file.read().unwrap_err().to_string().contains("is damaged"));
        file.remove().unwrap();
        assert!(file.read().unwrap().is_none());
    }

    #[test]
    fn session_without_a_user_matches_no_user() {
        let text = r#"{"url": "http://a:1/", "token": "lks_secret", "expires_at": "2027-01-15T08:30:00Z"}"#;
        let saved: SavedSession = serde_json::from_str(text).unwrap();
        let url = Url::parse("http://a:1").unwrap();
        assert!(saved.token_for(&url, None).is_some());
        assert!(saved.token_for(&url, Some("a@b.c")).is_none());
    }
}
