//! `latchkey key`: creates, lists, edits and revokes keys.

mod columns;
mod create;
mod edit;
mod export;
mod import;
mod list;
mod regenerate;
mod revoke;
mod show;
mod view;

use clap::Subcommand;

pub(super) use create::revoke_undelivered;
pub(super) use view::{has_expired, limits};

use super::error::CommandError;
use super::exit::Exit;
use super::{CheckImportRow, Context, Run};

/// Subcommands of `latchkey key`.
#[derive(Subcommand)]
pub enum Command {
    /// Create a key and show or save its secret once
    Create(Box<create::CreateKey>),
    /// List keys
    List(list::ListKeys),
    /// Show a key and its usage
    Show(show::ShowKey),
    /// Edit a key
    Edit(edit::EditKey),
    /// Revoke keys permanently; exits with 4 if a revocation is not in force on every node in time
    Revoke(revoke::RevokeKeys),
    /// Give a key a new secret and show or save it once
    Regenerate(regenerate::RegenerateKey),
    /// Import existing keys by their SHA-256
    Import(import::ImportKeys),
    /// Print all keys, without their secrets
    Export(export::ExportKeys),
}

/// A command about keys, with the API's check of rows that are imported.
pub(super) struct KeyCommand {
    pub(super) command: Command,
    pub(super) check_import_row: CheckImportRow,
}

impl Run for KeyCommand {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        match self.command {
            Command::Create(create) => create.run(context).await,
            Command::List(list) => list.run(context).await,
            Command::Show(show) => show.run(context).await,
            Command::Edit(edit) => edit.run(context).await,
            Command::Revoke(revoke) => revoke.run(context).await,
            Command::Regenerate(regenerate) => regenerate.run(context).await,
            Command::Import(import) => import.run(context, self.check_import_row).await,
            Command::Export(export) => export.run(context).await,
        }
    }
}
