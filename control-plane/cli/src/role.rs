//! `latchkey role`: named sets of permissions.

use clap::Subcommand;
use serde_json::Value;

use super::error::CommandError;
use super::exit::Exit;
use super::query::Query;
use super::table::Table;
use super::{Context, Run, text};

/// Subcommands of `latchkey role`.
#[derive(Subcommand)]
pub enum Command {
    /// List roles
    List,
}

impl Run for Command {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let Self::List = self;
        let data = context.api.get(&["roles"], &Query::default()).await?;
        context
            .output
            .show(&data, || table(text::entries(&data, "roles")))?;
        Ok(Exit::Done)
    }
}

fn table(roles: &[Value]) -> String {
    let mut table = Table::new(["NAME", "PERMISSIONS"]);
    for role in roles {
        table.line([text::of(&role["name"]), text::of(&role["permissions"])]);
    }
    table.shown()
}
