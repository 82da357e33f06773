//! Asks for confirmation before changes that cannot be undone.

use clap::Args;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::error::CommandError;

/// Controls whether a command asks for confirmation.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Confirmation {
    /// Do not ask for confirmation. Without a terminal, `apply` requires it to revoke or delete
    #[arg(long, short = 'y')]
    yes: bool,
}

impl Confirmation {
    /// Asks on the terminal whether to continue, after describing the effect, `what`. Without a
    /// terminal, returns an error if the answer is `needed`.
    pub(super) fn ask(self, what: &str, needed: bool) -> Result<(), CommandError> {
        if self.yes {
            return Ok(());
        }
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return match needed {
                true => Err(CommandError::usage(format!(
                    "{what}, which requires --yes; nothing was changed"
                ))),
                false => Ok(()),
            };
        }

        let mut stderr = io::stderr().lock();
        // An answer only counts if the question could be shown.
        let _ = write!(stderr, "{what}. Continue? [y/N] ").and_then(|()| stderr.flush());
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        match (read, answer.trim().to_ascii_lowercase().as_str()) {
            (Ok(_), "y" | "yes") => Ok(()),
            _ => Err(CommandError::PartiallyApplied(
                "nothing was changed".to_owned(),
            )),
        }
    }
}
