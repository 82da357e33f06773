//! The destination of a secret that the API returns once: it is printed or saved.

use clap::Args;
use serde_json::Value;
use std::path::PathBuf;

use super::error::CommandError;
use super::output::{self, Output};
use super::secret::Secret;
use super::secret_file::SecretFile;
use super::text;

/// The destination of a new secret.
#[derive(Debug, Clone, Args)]
pub(super) struct Destination {
    /// Save the secret to this new file, readable only by its owner, instead of printing it
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Print only the secret
    #[arg(long, conflicts_with = "save")]
    quiet: bool,
}

/// A destination that is ready.
pub(super) struct ReadyDestination {
    file: Option<SecretFile>,
    quiet: bool,
}

impl Destination {
    /// Prepares the destination. Must be called before the secret is created.
    pub(super) fn ready(&self) -> Result<ReadyDestination, CommandError> {
        let file = self.save.as_deref().map(SecretFile::reserve).transpose()?;
        Ok(ReadyDestination {
            file,
            quiet: self.quiet,
        })
    }
}

impl ReadyDestination {
    /// Removes the secret from `data`, where it is in `field`, and prints or saves it. `people`
    /// formats the rest of `data`. An error means that the secret was not delivered.
    pub(super) fn deliver(
        self,
        output: Output,
        mut data: Value,
        field: &str,
        people: impl FnOnce(&Value) -> String,
    ) -> Result<(), CommandError> {
        let secret = Secret::new(text::field(&data, field));
        if let Some(file) = self.file {
            let path = file.path().to_owned();
            file.save(&secret).map_err(|error| {
                CommandError::file(&path, format!("cannot be written: {error}"))
            })?;
            if let Some(fields) = data.as_object_mut() {
                fields.remove(field);
            }
            // The secret is saved, even if the output cannot be printed.
            let _ = output.show(&data, || {
                format!("{}Saved to {}.\n", people(&data), text::path(&path))
            });
            return Ok(());
        }
        if self.quiet {
            return output::print(&format!("{}\n", secret.expose()));
        }

        let shown = || {
            format!(
                "{}\n{}\n\nThe secret is shown only once.\n",
                people(&data),
                text::plain(secret.expose())
            )
        };
        output.show(&data, shown)
    }
}
