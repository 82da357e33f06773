//! The shell that runs a page's commands, and its demo.

mod script;
mod tests;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use latchkey_tests::{Demo, DemoPorts, DemoState, Process, eventually, latchkey_binary};
use tempfile::TempDir;

use self::script::Script;
use super::page::{Block, Kind, Page};

/// The timeout of a block.
const BLOCK: Duration = Duration::from_secs(60);

/// A script that replaces `jq`, because not every reader has it.
const NO_JQ: &str = "#!/bin/sh\necho 'jq is not installed' >&2\nexit 127\n";

/// Runs the blocks of a page with a separate demo.
///
/// # Errors
/// Fails at the first block that does not behave as the page says. The error has its line, the
/// command that failed and its output.
pub(super) async fn run(page: &Page) -> Result<()> {
    let directory = Directory::create()?;
    let state = DemoState::open(directory.work().join(".run"))?;
    let demo = Demo::start(&DemoPorts::default(), &state).await?;
    let credentials = demo.prepare(&state).await?;
    credentials.write(&state)?;
    run_blocks(page, &directory, &credentials.variables(), BLOCK).await
}

async fn run_blocks(
    page: &Page,
    directory: &Directory,
    variables: &[(&str, &str)],
    limit: Duration,
) -> Result<()> {
    let script = Script::write(page, directory.path())?;
    let mut shell = directory.start_shell(&script, variables)?;
    for block in page.blocks.iter().filter(|block| block.kind.runs()) {
        let checked = check(block, &script, &mut shell, limit).await;
        checked.map_err(|error| {
            anyhow!(
                "{}:{}: {error:#}\n{}",
                page.path,
                block.line,
                script.report(block)
            )
        })?;
    }
    Ok(())
}

/// Waits for the end of a block, and compares its exit code and output with the page.
async fn check(block: &Block, script: &Script, shell: &mut Process, limit: Duration) -> Result<()> {
    let Kind::Run { prints, exits } = &block.kind else {
        return Ok(());
    };
    let ended = eventually(limit, async || {
        // The order matters: the block's code is written before the shell's.
        let shell_ended = script.shell_exit_code().is_some() || shell.exited().is_some();
        match script.exit_code(block) {
            Some(code) => Ok(code),
            None if shell_ended => Ok(script.shell_exit_code().unwrap_or_default()),
            None => Err(anyhow!("the block still runs")),
        }
    });
    let code = ended.await?;
    ensure!(
        code == *exits,
        "the block ended with exit code {code}, not {exits}"
    );
    ensure!(
        script.exit_code(block).is_some(),
        "the block ended the shell"
    );
    let output = script.output(block);
    for text in prints {
        // A text that the page lists twice has to be printed twice.
        let expected = prints.iter().filter(|other| *other == text).count();
        let found = output.matches(text.as_str()).count();
        ensure!(
            found >= expected,
            "the output has {text:?} {found} times, not {expected} times"
        );
    }
    Ok(())
}

/// The directory of a session: the reader's working directory, and next to it the files that the
/// reader does not see.
struct Directory(TempDir);

impl Directory {
    fn create() -> Result<Self> {
        let directory = Self(
            tempfile::Builder::new()
                .prefix("latchkey-docs-")
                .tempdir()?,
        );
        for name in ["work", "bin", "tmp"] {
            fs::create_dir(directory.path().join(name))?;
        }
        let bin = directory.path().join("bin");
        symlink(latchkey_binary()?, bin.join("latchkey"))?;
        fs::write(bin.join("jq"), NO_JQ)?;
        fs::set_permissions(bin.join("jq"), fs::Permissions::from_mode(0o755))?;
        Ok(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    fn start_shell(&self, script: &Script, variables: &[(&str, &str)]) -> Result<Process> {
        let mut search = OsString::from(self.path().join("bin"));
        search.push(":");
        search.push(std::env::var_os("PATH").context("PATH is not set")?);
        let mut command = script.command();
        command
            .current_dir(self.work())
            .env_clear()
            .env("PATH", search)
            .env("HOME", self.work())
            .env("TMPDIR", self.path().join("tmp"))
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .envs(variables.iter().copied());
        Process::spawn("shell", &mut command, &self.path().join("shell.log"), None)
    }
}
