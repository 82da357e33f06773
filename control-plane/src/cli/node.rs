//! `latchkey node`: each Envoy.

use clap::Subcommand;
use serde_json::Value;

use super::error::CommandError;
use super::exit::Exit;
use super::query::Query;
use super::table::Table;
use super::{Context, Run, text};

/// What is done with nodes.
#[derive(Subcommand)]
pub enum Command {
    /// List the Envoys that may be deciding requests
    List,
}

impl Run for Command {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let Self::List = self;
        let data = context.api.get(&["nodes"], &Query::default()).await?;
        context.output.show(&data, || table(text::entries(&data, "nodes")))?;
        Ok(Exit::Done)
    }
}

fn table(nodes: &[Value]) -> String {
    let mut table = Table::new(["NODE", "STATE", "SINCE", "REVISION", "BEHIND", "VERSION", "ADDRESS"]);
    for node in nodes {
        table.line([
            text::of(&node["node_id"]),
            if node["connected"] == true { "connected" } else { "lost" }.to_owned(),
            text::date(&node["since"]),
            text::of(&node["revision"]),
            text::of(&node["lag"]),
            text::of(&node["version"]),
            text::of(&node["remote"]),
        ]);
    }
    table.shown()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_says_how_far_it_is() {
        let node = json!({
            "node_id": "edge-1", "connected": true, "since": "2027-01-15T08:00:00Z", "revision": 812, "lag": 0,
            "version": "0.1.0",
        });
        assert_eq!(
            table(&[node]),
            "NODE     STATE       SINCE              REVISION   BEHIND   VERSION   ADDRESS\n\
             edge-1   connected   2027-01-15 08:00   812        0        0.1.0     -\n"
        );
    }
}
