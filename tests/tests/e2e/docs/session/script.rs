//! The script of a page: its blocks, each read from a separate file, in one bash.
//!
//! In such a file the commands have the line numbers of the page, so that bash's own messages name
//! them. Each block has files for its output, its exit code and the command that failed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::super::page::{Block, Kind, Page};

/// Runs the script, writes its exit code, and ends what it has left in the background.
const OUTER: &str = r#"bash "$1"; printf '%s\n' "$?" >"$2"; kill -KILL 0"#;

/// The shell stops at the first error; the ERR trap also holds in functions and subshells.
const STRICT: &str = "set -E -eu -o pipefail\n";

/// Returns from a block at its first failing command, with its exit code, without ending the
/// shell. The trap also runs when the block has returned; then there is nothing to return from.
const RETURN_ON_ERROR: &str = r#"trap 'case ${#BASH_SOURCE[@]} in 1) ;; *) return ;; esac' ERR"#;

/// The number of lines of a block's output in a report.
const TAIL_LINES: usize = 60;

pub(super) struct Script {
    dir: PathBuf,
    page: String,
}

impl Script {
    /// Writes the script of a page below `dir`.
    ///
    /// # Errors
    /// Fails when a file cannot be written.
    pub(super) fn write(page: &Page, dir: &Path) -> Result<Self> {
        let script = Self {
            dir: dir.join("blocks"),
            page: page.path.clone(),
        };
        let mut text = String::new();
        for block in &page.blocks {
            script.add(block, &mut text)?;
        }
        write_file(&script.path(), &text)?;
        Ok(script)
    }

    fn add(&self, block: &Block, script: &mut String) -> Result<()> {
        let source = self.source(block);
        match &block.kind {
            Kind::Run { exits, .. } => {
                let text = format!("{}{}", "\n".repeat(block.line), block.text);
                write_file(&source, &text)?;
                let output = self.file(block, "output");
                let run = format!("source {source:?} >{output:?} 2>&1 </dev/null");
                let status = self.file(block, "status");
                let failed = self.file(block, "failed");
                // A page may have changed the options.
                script.push_str(STRICT);
                let (on_error, status_of) = if *exits == 0 {
                    let trap = format!(
                        r#"trap 'printf "%s: %s\n" "$LINENO" "$BASH_COMMAND" >{failed:?}' ERR"#
                    );
                    (trap, "0")
                } else {
                    (format!("set +e\n{RETURN_ON_ERROR}"), "$?")
                };
                writeln!(
                    script,
                    "{on_error}\n{run}\necho {status_of} >{status:?}\ntrap - ERR"
                )?;
            }
            Kind::File { name } => {
                write_file(&source, &block.text)?;
                let directory = Path::new(name).parent().unwrap_or(Path::new(""));
                writeln!(
                    script,
                    "{STRICT}mkdir -p ./{}\ncp {source:?} {name}",
                    directory.display()
                )?;
            }
            Kind::NotRun { .. } | Kind::Shown => {}
        }
        Ok(())
    }

    /// Returns the command that runs it.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("bash");
        command
            .args(["-c", OUTER, "docs"])
            .args([self.path(), self.ended()]);
        command
    }

    /// Returns the exit code of a block, once it has ended.
    pub(super) fn exit_code(&self, block: &Block) -> Option<i32> {
        number_in(&self.file(block, "status"))
    }

    /// Returns the exit code of the shell, once it has ended.
    pub(super) fn shell_exit_code(&self) -> Option<i32> {
        number_in(&self.ended())
    }

    /// Returns the output of a block so far.
    pub(super) fn output(&self, block: &Block) -> String {
        read_lossy(&self.file(block, "output"))
    }

    /// Describes a block that failed: the command, if one failed, and the end of the output.
    pub(super) fn report(&self, block: &Block) -> String {
        let failed = read_lossy(&self.file(block, "failed"));
        let failed = match failed.trim_end() {
            "" => String::new(),
            failed => format!("the command that failed, at line {failed}\n"),
        };
        // Messages of bash name the file of the block, but the reader only knows the page.
        let prefix = self.source(block).display().to_string();
        let output = self.output(block).replace(&prefix, &self.page);
        let lines: Vec<_> = output.lines().collect();
        let shown = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n  ");
        let commands = block.text.trim_end().replace('\n', "\n  ");
        format!("the block:\n  {commands}\n{failed}its output:\n  {shown}")
    }

    fn path(&self) -> PathBuf {
        self.dir.join("script")
    }

    fn ended(&self) -> PathBuf {
        self.dir.join("ended")
    }

    fn source(&self, block: &Block) -> PathBuf {
        self.file(block, &self.page)
    }

    fn file(&self, block: &Block, name: &str) -> PathBuf {
        self.dir.join(block.line.to_string()).join(name)
    }
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(path, text)?;
    Ok(())
}

/// Returns the number in a file that ends with a line break, so that it is not half written.
fn number_in(path: &Path) -> Option<i32> {
    read_lossy(path).strip_suffix('\n')?.parse().ok()
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
