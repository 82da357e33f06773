//! Tests `latchkey`'s commands by running the binary, with only the given environment variables.

mod api;
mod apply;
mod conflicts;
mod export;
mod import;
mod keys;
mod nodes;
mod people;
mod repeats;
mod sessions;

use crate::harness::{EMAIL, PASSWORD, Plane};
use serde_json::Value;
use std::fs;
use std::io::{PipeWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A user with a home directory who calls one API.
struct Person {
    home: TempDir,
    environment: Vec<(String, String)>,
}

/// The result of a command.
#[derive(Debug)]
struct CommandOutput {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Person {
    /// Returns a user without credentials.
    fn stranger(url: &str) -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
        }
        .with("LATCHKEY_URL", url)
    }

    /// Returns the first administrator.
    fn admin(plane: &Plane) -> Self {
        Self::stranger(&plane.http_url())
            .with("LATCHKEY_EMAIL", EMAIL)
            .with("LATCHKEY_PASSWORD", PASSWORD)
    }

    fn with(mut self, variable: &str, value: &str) -> Self {
        self.environment.retain(|(name, _)| name != variable);
        self.environment
            .push((variable.to_owned(), value.to_owned()));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file into the home directory, and returns its path.
    fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .current_dir(self.home.path());
        command
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command while the control plane, which is in this process, goes on.
    async fn run(&self, arguments: &[&str]) -> CommandOutput {
        CommandOutput::from_run(self.command(arguments)).await
    }

    async fn run_with(&self, arguments: &[&str], stdin: &str) -> CommandOutput {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(stdin.as_bytes()).unwrap();
        drop(writer);
        let mut command = self.command(arguments);
        command.stdin(reader);
        CommandOutput::from_run(command).await
    }

    /// Runs a command with a closed stdout.
    async fn run_unheard(&self, arguments: &[&str]) -> CommandOutput {
        let (reader, writer): (_, PipeWriter) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = self.command(arguments);
        command.stdout(writer);
        CommandOutput::from_run(command).await
    }

    /// Runs a command that must succeed, and returns the API's data.
    async fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.run(&[arguments, &["--json"]].concat()).await.done();
        serde_json::from_str(&printed).unwrap()
    }
}

impl CommandOutput {
    async fn from_run(mut command: Command) -> Self {
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Asserts that the command succeeded, and returns its output.
    fn done(self) -> String {
        assert_eq!(
            (self.code, self.stderr.as_str()),
            (0, ""),
            "{}",
            self.stdout
        );
        self.stdout
    }

    /// Asserts that the command failed with this code and reason.
    fn failed(&self, code: i32, reason: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(
            self.stderr.starts_with("latchkey: ") || code == 2,
            "{self:?}"
        );
        assert!(self.stderr.contains(reason), "{reason} is not in {self:?}");
    }
}

/// Returns the permissions of a file.
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn completions_and_help_need_no_api() {
    let person = Person::stranger("http://127.0.0.1:1");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = person.run(&["completions", shell]).await.done();
        assert!(
            script.contains("latchkey") && script.contains("regenerate"),
            "{shell}"
        );
    }
    let help = person.run(&["--help"]).await.done();
    assert!(
        help.contains("Exit codes:") && help.contains("9  too many requests"),
        "{help}"
    );
    for command in [
        "login",
        "key",
        "user",
        "tier",
        "route",
        "audit",
        "usage",
        "apply",
        "explain",
        "completions",
    ] {
        assert!(
            help.contains(&format!("\n  {command}  ")),
            "{command} is not in {help}"
        );
    }
    let help = person.run(&["key", "create", "--help"]).await.done();
    assert!(
        help.contains("Create a key and show or save its secret once")
            && !help.contains("PASSWORD>"),
        "{help}"
    );
}
