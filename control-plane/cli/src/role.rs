//! `latchkey role`: named sets of permissions.

use clap::Subcommand;
use serde_json::Value;

use super::error::CommandError;
use super::exit::Exit;
use super::query::Query;
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
        let none = Query::default();
        context
            .list((&["roles"], "roles"), &none, HEADINGS, line)
            .await
    }
}

const HEADINGS: [&str; 2] = ["NAME", "PERMISSIONS"];

fn line(role: &Value) -> [String; 2] {
    [
        text::inline(&role["name"]),
        text::inline(&role["permissions"]),
    ]
}
