//! The at-rest key, which encrypts the digests of imported keys in the database. It is kept outside
//! the database, so that a copy of the database alone is not enough to verify a guess of an
//! imported key. `store/src/at_rest.rs` uses the key.

mod command;

pub use command::AtRestKeyCommand;

use clap::Args;
use latchkey_model::secret_files;
use latchkey_policy::line_break::without_line_break;
use latchkey_store::{AtRestKey, AtRestKeys};
use std::convert::Infallible;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::setting::InvalidSetting;

/// An optional key, as a setting contains it. It is not shown, even if it is empty.
#[derive(Clone)]
pub struct AtRestKeyText(String);

impl fmt::Debug for AtRestKeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Reads the value of a flag, a variable or a file. One line break at its end is ignored.
impl FromStr for AtRestKeyText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(without_line_break(text).to_owned()))
    }
}

/// The keys that encrypt the digests of imported keys in the database.
#[derive(Debug, Clone, Default, Args)]
pub struct AtRestConfig {
    /// Key that encrypts the digests of imported keys in the database: 64 hexadecimal digits.
    /// Without it, no key can be imported
    #[arg(
        id = "at-rest-key",
        long = "at-rest-key",
        env = "LATCHKEY_AT_REST_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub key: Option<AtRestKeyText>,
    /// File with that key, readable only by this user or group, as created by `latchkey at-rest-key
    /// generate`
    #[arg(
        id = "at-rest-key-file",
        long = "at-rest-key-file",
        env = "LATCHKEY_AT_REST_KEY_FILE",
        value_name = "PATH"
    )]
    pub key_file: Option<PathBuf>,
    /// File with the previous key, to replace the key: needed only for the first start with both
    #[arg(
        id = "at-rest-old-key-file",
        long = "at-rest-old-key-file",
        env = "LATCHKEY_AT_REST_OLD_KEY_FILE",
        value_name = "PATH"
    )]
    pub old_key_file: Option<PathBuf>,
}

const KEY: (&str, &str) = ("--at-rest-key", "LATCHKEY_AT_REST_KEY");
const KEY_FILE: (&str, &str) = ("--at-rest-key-file", "LATCHKEY_AT_REST_KEY_FILE");
const OLD_KEY_FILE: (&str, &str) = ("--at-rest-old-key-file", "LATCHKEY_AT_REST_OLD_KEY_FILE");

const FORM: &str = "must be 64 hexadecimal digits, as printed by `latchkey at-rest-key generate`";

impl AtRestConfig {
    /// Reads the keys.
    ///
    /// # Errors
    /// Fails if a key or a file cannot be used.
    pub fn keys(&self) -> Result<AtRestKeys, InvalidSetting> {
        let current = match (&self.key, &self.key_file) {
            (Some(_), Some(_)) => {
                return Err(invalid(
                    KEY,
                    "cannot be combined with --at-rest-key-file".to_owned(),
                ));
            }
            (Some(key), None) => {
                Some(AtRestKey::from_hex(&key.0).ok_or_else(|| invalid(KEY, FORM.to_owned()))?)
            }
            (None, Some(file)) => Some(read(file, KEY_FILE)?),
            (None, None) => None,
        };
        let old = self
            .old_key_file
            .as_ref()
            .map(|file| read(file, OLD_KEY_FILE))
            .transpose()?;
        if old.is_some() && current.is_none() {
            return Err(invalid(
                OLD_KEY_FILE,
                "needs the key that replaces it: set --at-rest-key-file".to_owned(),
            ));
        }

        Ok(AtRestKeys { current, old })
    }

    /// Reads the keys for a database that is about to be created. If the file does not exist,
    /// creates it with a new key.
    ///
    /// # Errors
    /// Fails if a key or a file cannot be used or created.
    pub fn keys_of_new_database(&self) -> Result<AtRestKeys, InvalidSetting> {
        if let (None, Some(file)) = (&self.key, &self.key_file)
            && !file.try_exists().unwrap_or(true)
        {
            make_file(file)
                .map_err(|error| invalid(KEY_FILE, format!("cannot be created: {error}")))?;
        }
        self.keys()
    }
}

/// Creates a file with a new key.
fn make_file(path: &Path) -> io::Result<()> {
    let key = AtRestKey::generate().map_err(io::Error::other)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file
        .write_all(format!("{}\n", key.to_hex()).as_bytes())
        .and_then(|()| file.sync_all());

    if written.is_err() {
        // Removes a partly written key, which is useless.
        let _ = fs::remove_file(path);
    }

    written
}

fn read(file: &Path, setting: (&'static str, &'static str)) -> Result<AtRestKey, InvalidSetting> {
    let text = secret_files::read(file)
        .map_err(|reason| invalid(setting, format!("{} {reason}", file.display())))?;
    AtRestKey::from_hex(&text).ok_or_else(|| invalid(setting, format!("{} {FORM}", file.display())))
}

fn invalid((flag, variable): (&'static str, &'static str), reason: String) -> InvalidSetting {
    InvalidSetting {
        flag,
        variable,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn config(key: Option<&str>, file: Option<&Path>, old: Option<&Path>) -> AtRestConfig {
        AtRestConfig {
            key: key.map(|key| key.parse().unwrap()),
            key_file: file.map(Path::to_owned),
            old_key_file: old.map(Path::to_owned),
        }
    }

    #[test]
    fn encryption_keys_are_read_whole() {
        let directory = tempfile::tempdir().unwrap();
        let [good, open, bad, none] =
            ["good", "open", "bad", "none"].map(|name| directory.path().join(name));

        for (file, text, mode) in [
            (&good, HEX, 0o600),
            (&open, HEX, 0o644),
            (&bad, "5ec2e7", 0o600),
        ] {
            fs::write(file, format!("{text}\n")).unwrap();
            fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
        }

        let key = AtRestKey::from_hex(HEX);
        assert!(key.is_some());
        assert_eq!(config(None, None, None).keys(), Ok(AtRestKeys::default()));
        assert_eq!(
            config(Some(HEX), None, None).keys(),
            Ok(AtRestKeys {
                current: key.clone(),
                old: None
            })
        );
        assert_eq!(
            config(None, Some(&good), Some(&good)).keys(),
            Ok(AtRestKeys {
                current: key.clone(),
                old: key
            })
        );

        for (refused, reason) in [
            (
                config(Some("5ec2e7"), None, None),
                "--at-rest-key (LATCHKEY_AT_REST_KEY) must be 64 hexadecimal digits",
            ),
            (
                config(Some(HEX), Some(&good), None),
                "cannot be combined with --at-rest-key-file",
            ),
            (
                config(None, Some(&bad), None),
                "bad must be 64 hexadecimal digits",
            ),
            (
                config(None, Some(&open), None),
                "open holds a secret, but other users have access",
            ),
            (config(None, Some(&none), None), "none cannot be read"),
            (
                config(Some(HEX), None, Some(&none)),
                "--at-rest-old-key-file (LATCHKEY_AT_REST_OLD_KEY_FILE) ",
            ),
            (
                config(None, None, Some(&good)),
                "needs the key that replaces it",
            ),
        ] {
            let error = refused.keys().unwrap_err().to_string();
            assert!(
                error.contains(reason) && !error.contains("5ec2e7"),
                "{error}"
            );
            assert!(!format!("{refused:?}").contains("5ec2e7"));
        }
    }

    #[test]
    fn new_database_gets_its_own_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let keys = config(None, Some(&path), None)
            .keys_of_new_database()
            .unwrap();

        assert!(keys.current.is_some());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            config(None, Some(&path), None)
                .keys_of_new_database()
                .unwrap(),
            keys,
            "it is made once"
        );
        assert_eq!(
            config(None, None, None).keys_of_new_database().unwrap(),
            AtRestKeys::default()
        );
    }
}
