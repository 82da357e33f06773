//! `latchkey tier`: named limits.

use clap::{Args, Subcommand};
use serde_json::Value;
use std::path::PathBuf;

use super::arguments::Wait;
use super::error::CommandError;
use super::exit::Exit;
use super::key::limits;
use super::query::Query;
use super::{Context, Run, document, text};

/// Subcommands of `latchkey tier`.
#[derive(Subcommand)]
pub enum Command {
    /// List tiers
    List,
    /// Replace all tiers with those of a file
    Apply(ReplaceTiers),
}

/// Arguments of `tier apply`.
#[derive(Clone, Args)]
pub struct ReplaceTiers {
    /// A file of YAML or JSON, or - for stdin: {tiers: [{name: free, limits: {minute: 10}}]}
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    wait: Wait,
}

impl Run for Command {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let Context { api, output } = context;
        match self {
            Self::List => {
                let none = Query::default();
                context
                    .list((&["tiers"], "tiers"), &none, HEADINGS, line)
                    .await
            }
            Self::Apply(ReplaceTiers { file, wait }) => {
                let tiers: Value = document::read(&file)?;
                let data = api.put(&["tiers"], &wait.query(), &tiers).await?;
                output.changed(&data, "tiers replaced")
            }
        }
    }
}

const HEADINGS: [&str; 2] = ["NAME", "LIMITS"];

fn line(tier: &Value) -> [String; 2] {
    [text::inline(&tier["name"]), limits(&tier["limits"])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::rows;
    use serde_json::json;

    #[test]
    fn tiers_are_lines_with_their_limits() {
        let tiers = [
            json!({"name": "free", "limits": {"minute": 10, "hour": 5}}),
            json!({"name": "any", "limits": {}}),
        ];
        assert_eq!(
            rows(HEADINGS, &tiers, line),
            "NAME   LIMITS\nfree   10 a minute, 5 an hour\nany    -\n"
        );
    }
}
