//! Files of settings: accepted and refused contents.

use super::*;
use crate::Config;
use clap::{CommandFactory as _, FromArgMatches as _};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

const SECRET: &str = "a-secret-of-the-file";

/// Returns the configuration of `serve` with a file of that text and mode, and with flags.
fn read(text: &str, mode: u32, flags: &[&str]) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("latchkey.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    let command = with_file(Config::command(), &path).map_err(|error| {
        let error = error.to_string();
        error
            .strip_prefix(&format!("{}: ", path.display()))
            .expect("it names the file")
            .to_owned()
    })?;
    let matches = command
        .try_get_matches_from(flags)
        .map_err(|error| error.to_string())?;

    Ok(Config::from_arg_matches(&matches).unwrap())
}

#[test]
fn flags_override_the_file() {
    let text = format!(
        "http-listen = \"127.0.0.1:1\"\nstream-listen = \"127.0.0.1:2\"\nnode-grace-ms = 5000\nadmin-recover = true\n\
         log-format = \"json\"\nkey-prefix = \"vg\"\nnode-token = \"{SECRET}\"\n"
    );
    let config = read(&text, 0o600, &["--stream-listen=127.0.0.1:3"]).unwrap();

    assert_eq!(config.http.listen.port(), 1);
    assert_eq!(config.stream.listen.port(), 3, "a flag precedes");
    assert_eq!(
        (config.stream.node_grace_ms, config.admin.recover),
        (5000, true)
    );
    assert!(config.keys.format.resembles(b"vg_"));
    assert!(
        config.stream.node_token.unwrap().is(SECRET),
        "secrets may be in the file"
    );
    assert_eq!(
        config.store.database,
        Path::new("latchkey.db"),
        "the default, as nobody says otherwise"
    );
}

#[test]
fn invalid_setting_is_named_not_shown() {
    for (text, expected) in [
        ("node-tokn = \"SECRET\"", "unknown setting `node-tokn`"),
        ("[http]\nlisten = \"SECRET\"", "unknown setting `http`"),
        ("config = \"SECRET\"", "unknown setting `config`"),
        ("help = true", "unknown setting `help`"),
        (
            "node-grace-ms = \"SECRET\"",
            "`node-grace-ms` must be a whole number",
        ),
        ("node-token = 12345678", "`node-token` must be a string"),
        ("node-token = [\"SECRET\"]", "`node-token` must be a string"),
        (
            "admin-recover = \"SECRET\"",
            "`admin-recover` must be true or false",
        ),
        (
            "http-listen = \"SECRET\"",
            "`http-listen` is invalid: invalid socket address syntax",
        ),
        (
            "node-grace-ms = -1",
            "`node-grace-ms` is invalid: invalid digit found in string",
        ),
        (
            "log-format = \"SECRET\"",
            "`log-format` must be one of text, json",
        ),
        ("database = \"\"", "`database` is invalid"),
        (
            "log-level = \"info\"\nnode-token = SECRET",
            "line 2 is not valid TOML: ",
        ),
        (
            "node-token = \"SECRET\nlog-level = \"info\"",
            "line 1 is not valid TOML: ",
        ),
        (
            "node-token = \"SECRET\"\nnode-token = \"SECRET\"",
            "line 2 is not valid TOML: ",
        ),
    ] {
        let error = read(&text.replace("SECRET", SECRET), 0o600, &[]).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
        assert!(!error.contains(SECRET), "{text}: {error}");
    }
}

#[test]
fn secret_file_may_be_group_readable() {
    for key in ["node-token", "admin-password"] {
        let text = format!("{key} = \"{SECRET}\"");
        for mode in [0o644, 0o604, 0o620, 0o660] {
            let error = read(&text, mode, &[]).unwrap_err();
            assert!(
                error.starts_with(&format!("`{key}` is a secret, but ")),
                "{error}"
            );
            assert!(
                error.ends_with(&format!("(mode {mode:04o}): use mode 0640 or 0600")),
                "{error}"
            );
        }
        // A Secret of Kubernetes in a pod with `fsGroup` has mode 0440.
        for mode in [0o600, 0o400, 0o640, 0o440] {
            assert!(
                read(&text, mode, &["--node-token=0123456789abcdef"]).is_ok(),
                "{mode:o}"
            );
        }
    }

    assert!(
        read(
            "log-level = \"warn\"",
            0o644,
            &["--node-token=0123456789abcdef"]
        )
        .is_ok()
    );
}

#[test]
fn secrets_lose_one_line_break() {
    let text = format!("node-token = \"{SECRET}\\r\\n\"\nadmin-password = \"\"\"{SECRET}\n\"\"\"");
    let config = read(&text, 0o440, &[]).unwrap();
    assert!(config.stream.node_token.unwrap().is(SECRET));
    assert_eq!(config.admin.password.unwrap().expose(), SECRET);

    let flag = format!("--admin-password={SECRET}\n\n");
    assert_eq!(
        read("", 0o600, &[&flag])
            .unwrap()
            .admin
            .password
            .unwrap()
            .expose(),
        format!("{SECRET}\n")
    );
}

#[test]
fn unreadable_file_is_named() {
    let error = with_file(Config::command(), Path::new("/nowhere/latchkey.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("/nowhere/latchkey.toml: cannot be read: "),
        "{error}"
    );
}
