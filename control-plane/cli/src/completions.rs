//! `latchkey completions`: shell completion scripts.

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::error::CommandError;
use super::exit::Exit;
use super::output::print;

/// Print a shell's completion script for `latchkey`
#[derive(Debug, Clone, Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the script for `command` and all its subcommands.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn run(self, mut command: Command) -> Result<Exit, CommandError> {
        let mut script = Vec::new();
        generate(self.shell, &mut command, "latchkey", &mut script);
        print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}
