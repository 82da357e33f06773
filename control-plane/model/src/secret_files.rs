//! Files that hold secrets: checks of who else has access to them, and how they are read.
//!
//! A file may be readable by its group if this process is in that group, regardless of its owner. A
//! Secret that Kubernetes mounts into a pod with `fsGroup` belongs to root, has mode 0440, and
//! cannot be changed. PostgreSQL accepts such files as well.

use latchkey_policy::line_break::without_line_break;
use nix::unistd::{getegid, getgroups};
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// The maximum length of a file with one secret, in bytes.
const MAX_LEN: u64 = 64 * 1024;

/// The permission bits of others, of the group to write, and of the group to read.
const OTHERS: u32 = 0o007;
const GROUP_CHANGES: u32 = 0o030;
const GROUP_READS: u32 = 0o040;

/// The reason why a file must not hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Everybody has access. Contains the file's mode.
    Others(u32),
    /// Its group can change it.
    GroupChanges(u32),
    /// A group can read it that this process is not in.
    OtherGroup(u32, u32),
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Others(mode) => write!(
                f,
                "other users have access to it (mode {mode:04o}): use mode 0640 or 0600"
            ),
            Self::GroupChanges(mode) => write!(
                f,
                "its group can change it (mode {mode:04o}): use mode 0640 or 0600"
            ),
            Self::OtherGroup(mode, group) => write!(
                f,
                "group {group} can read it (mode {mode:04o}), and this process is not in that group: change the group, or \
                 use mode 0600"
            ),
        }
    }
}

impl Exposure {
    /// Returns the first exposure of a file to anyone but its owner and the process's groups.
    pub fn find(file: &Metadata) -> Option<Self> {
        // Pipes and terminals are not stored.
        file.is_file()
            .then(|| find(file.permissions().mode() & 0o777, file.gid(), is_own_group))
            .flatten()
    }
}

fn find(mode: u32, group: u32, is_own_group: impl Fn(u32) -> bool) -> Option<Exposure> {
    if mode & OTHERS != 0 {
        Some(Exposure::Others(mode))
    } else if mode & GROUP_CHANGES != 0 {
        Some(Exposure::GroupChanges(mode))
    } else if mode & GROUP_READS != 0 && !is_own_group(group) {
        Some(Exposure::OtherGroup(mode, group))
    } else {
        None
    }
}

/// Returns whether this process is in a group, as its effective or a supplementary group.
fn is_own_group(group: u32) -> bool {
    getegid().as_raw() == group
        || getgroups().is_ok_and(|groups| groups.iter().any(|own| own.as_raw() == group))
}

/// Reads the single secret of a file, without one line break at its end.
///
/// # Errors
/// Fails with the reason if the file cannot be read or others have access to it.
pub fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    if let Some(exposure) = Exposure::find(&file.metadata().map_err(unreadable)?) {
        return Err(format!("holds a secret, but {exposure}"));
    }

    let mut text = String::new();
    let read = file
        .take(MAX_LEN.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if u64::try_from(read).is_ok_and(|read| read > MAX_LEN) {
        return Err(format!("has more than {MAX_LEN} bytes"));
    }

    Ok(without_line_break(&text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};

    #[test]
    fn secret_files_allow_own_groups() {
        let own = |group| [0, 2_000].contains(&group);
        for mode in [0o600, 0o400, 0o640, 0o440] {
            for group in [0, 2_000] {
                assert_eq!(find(mode, group, own), None, "{mode:o} {group}");
            }
        }

        for mode in [0o600, 0o400] {
            assert_eq!(find(mode, 7, own), None, "{mode:o}");
        }

        for mode in [0o640, 0o440] {
            assert_eq!(find(mode, 7, own), Some(Exposure::OtherGroup(mode, 7)));
        }

        for mode in [0o644, 0o604, 0o444, 0o601, 0o602, 0o777] {
            assert_eq!(find(mode, 0, own), Some(Exposure::Others(mode)));
        }

        for mode in [0o660, 0o620, 0o770, 0o610] {
            assert_eq!(find(mode, 0, own), Some(Exposure::GroupChanges(mode)));
        }
    }

    #[test]
    fn secret_file_loses_its_line_break() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, "correct horse\r\n").unwrap();

        for (mode, reason) in [
            (0o640, None),
            (0o400, None),
            (0o644, Some("(mode 0644)")),
            (0o660, Some("(mode 0660)")),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            match reason {
                None => assert_eq!(read(&path).unwrap(), "correct horse"),
                Some(reason) => {
                    let error = read(&path).unwrap_err();
                    assert!(
                        error.contains(reason) && error.contains("use mode 0640 or 0600"),
                        "{error}"
                    );
                }
            }
        }

        fs::write(&path, vec![b'x'; 70_000]).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(&path).unwrap_err(), "has more than 65536 bytes");
        assert!(
            read(&directory.path().join("none"))
                .unwrap_err()
                .starts_with("cannot be read: ")
        );
    }
}
