//! `latchkey key`: making, finding, editing and revoking keys.

mod columns;
mod create;
mod edit;
mod export;
mod import;
mod list;
mod regenerate;
mod revoke;
mod view;

use clap::Subcommand;

pub(super) use create::undone;
pub(super) use view::{has_expired, limits};

use super::error::CommandError;
use super::exit::Exit;
use super::{Context, Run};

/// What is done with keys.
#[derive(Subcommand)]
pub enum Command {
    /// Make a key, and show or save it this once
    Create(Box<create::Create>),
    /// List keys
    List(list::List),
    /// Show one key, and how much it is used
    Show(list::Show),
    /// Edit what may be edited of a key
    Edit(edit::Edit),
    /// Revoke keys for good; ends with 4 if that is not in force on every node in time
    Revoke(revoke::Revoke),
    /// Give a key another secret, and show or save it this once
    Regenerate(regenerate::Regenerate),
    /// Take over keys that were made elsewhere, by their SHA-256
    Import(import::Import),
    /// Print all keys, which are no secrets without their secret
    Export(export::Export),
}

impl Run for Command {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        match self {
            Self::Create(create) => create.run(context).await,
            Self::List(list) => list.run(context).await,
            Self::Show(show) => show.run(context).await,
            Self::Edit(edit) => edit.run(context).await,
            Self::Revoke(revoke) => revoke.run(context).await,
            Self::Regenerate(regenerate) => regenerate.run(context).await,
            Self::Import(import) => import.run(context).await,
            Self::Export(export) => export.run(context).await,
        }
    }
}
