//! `latchkey node`: shows and manages the connected Envoys.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::error::CommandError;
use super::exit::Exit;
use super::moment::Moment;
use super::output::note;
use super::query::Query;
use super::table::Table;
use super::{Context, Run, text};

/// Subcommands of `latchkey node`.
#[derive(Subcommand)]
pub enum Command {
    /// List the Envoys that may be serving
    List,
    /// Stop counting a lost Envoy that no longer serves
    Forget(Forget),
    /// Serve Envoys that hold a snapshot of another database
    AcceptEpoch(AcceptEpoch),
}

/// The lost nodes to forget.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Forget {
    /// Handle of the node as shown by `latchkey node list`, or `unknown` for all nodes that the
    /// database does not know
    handle: Option<String>,
    /// All nodes lost before this time: RFC 3339, Unix seconds, or a past span such as 2h
    #[arg(long, value_name = "TIME")]
    lost_before: Option<Moment>,
}

/// The epoch to accept.
#[derive(Args)]
pub struct AcceptEpoch {
    /// Epoch as shown by `latchkey node list` (default: the epochs of all waiting Envoys, which are
    /// listed first)
    epoch: Option<String>,
}

impl Run for Command {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let (api, none) = (&context.api, Query::default());
        let data = match self {
            Self::List => {
                let data = api.get(&["nodes"], &none).await?;
                context.output.show(&data, || listed(&data))?;
                return Ok(Exit::Done);
            }
            Self::Forget(Forget {
                lost_before: Some(before),
                ..
            }) => {
                api.post(
                    &["nodes", "forget"],
                    &none,
                    &json!({"lost_before": before.back()}),
                )
                .await?
            }
            Self::Forget(Forget { handle, .. }) => {
                api.delete(&["nodes", handle.as_deref().unwrap_or_default()], &none)
                    .await?
            }
            Self::AcceptEpoch(AcceptEpoch { epoch }) => {
                let epochs = match epoch {
                    Some(epoch) => vec![epoch],
                    None => waiting(&api.get(&["nodes"], &none).await?),
                };
                let mut accepted = Vec::new();
                for epoch in epochs {
                    let data = api
                        .post(&["nodes", "accept-epoch"], &none, &json!({"epoch": epoch}))
                        .await?;
                    accepted.extend(text::entries(&data, "epochs").iter().cloned());
                }
                json!({"epochs": accepted})
            }
        };
        context.output.show(&data, || done(&data))?;
        Ok(Exit::Done)
    }
}

/// Returns the epochs of waiting nodes. Prints these nodes on stderr.
fn waiting(data: &Value) -> Vec<String> {
    let mut epochs = BTreeMap::<_, Vec<_>>::new();
    for node in text::entries(data, "nodes")
        .iter()
        .filter(|node| node["state"] == "waiting")
    {
        epochs
            .entry(text::field(node, "epoch").to_owned())
            .or_default()
            .push(text::of(&node["node_id"]));
    }
    for (epoch, nodes) in &epochs {
        note(&format!("epoch {epoch}: {}", nodes.join(", ")));
    }
    epochs.into_keys().collect()
}

fn done(data: &Value) -> String {
    let list = |name| {
        text::entries(data, name)
            .iter()
            .map(text::of)
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (
        data.get("epochs").is_some(),
        list("epochs"),
        list("forgotten"),
    ) {
        (true, epochs, _) if epochs.is_empty() => "no node is waiting\n".to_owned(),
        (true, epochs, _) => format!("accepted: {epochs}\n"),
        (false, _, nodes) if nodes.is_empty() => "no node was forgotten\n".to_owned(),
        (false, _, nodes) => format!("forgotten: {nodes}\n"),
    }
}

fn listed(data: &Value) -> String {
    let mut shown = table(text::entries(data, "nodes"));
    if let Some(unknown) = data.get("unknown") {
        let until = match unknown["expires_in_seconds"].as_u64() {
            Some(seconds) => {
                format!("for {seconds} more seconds, or until `latchkey node forget unknown`")
            }
            None => "until `latchkey node forget unknown`".to_owned(),
        };
        shown += &format!(
            "Envoys that the database does not know may be serving: they count as one, {until}.\n"
        );
    }
    for peer in text::entries(data, "refused_peers") {
        let (node, remote) = (text::of(&peer["node_id"]), text::of(&peer["remote"]));
        let (reason, count, at) = (
            text::of(&peer["reason"]),
            text::of(&peer["count"]),
            text::date(&peer["at"]),
        );
        let reason = if reason == "nodes" {
            "exceeding the number of connected nodes".to_owned()
        } else {
            format!("its {reason}")
        };
        shown +=
            &format!("Refused: {node} from {remote} for {reason}, {count} times, last at {at}.\n");
    }
    shown
}

fn table(nodes: &[Value]) -> String {
    let mut table = Table::new([
        "NODE", "HANDLE", "STATE", "SINCE", "REVISION", "BEHIND", "SKEW", "VERSION", "ADDRESS",
    ]);
    for node in nodes {
        let state = match (
            text::of(&node["state"]),
            node.get("epoch"),
            node.get("refused"),
        ) {
            (state, Some(epoch), _) => format!("{state} (epoch {})", text::of(epoch)),
            (state, _, Some(reason)) => format!("{state} (refused: {})", text::of(reason)),
            (state, ..) => state,
        };
        table.line([
            text::of(&node["node_id"]),
            text::of(&node["handle"]),
            state,
            text::date(&node["since"]),
            text::of(&node["revision"]),
            text::of(&node["lag"]),
            node["clock_skew_ms"]
                .as_i64()
                .map_or_else(|| "-".to_owned(), |skew| format!("{skew} ms")),
            text::of(&node["version"]),
            text::of(&node["remote"]),
        ]);
    }
    table.shown()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_lines_with_how_far_they_are() {
        let node = json!({
            "handle": "ba7816bf8f01", "node_id": "edge-1", "state": "connected", "since": "2027-01-15T08:00:00Z",
            "revision": 812, "lag": 0, "clock_skew_ms": -12, "version": "0.2.0",
        });
        assert_eq!(
            table(&[node]),
            "NODE     HANDLE         STATE       SINCE              REVISION   BEHIND   SKEW     VERSION   ADDRESS\n\
             edge-1   ba7816bf8f01   connected   2027-01-15 08:00   812        0        -12 ms   0.2.0     -\n"
        );
    }

    #[test]
    fn what_was_done_is_said_in_a_line() {
        for (data, line) in [
            (json!({"epochs": []}), "no node is waiting\n"),
            (json!({"epochs": ["00ff"]}), "accepted: 00ff\n"),
            (json!({"forgotten": []}), "no node was forgotten\n"),
            (
                json!({"forgotten": ["ba7816bf8f01", "unknown"]}),
                "forgotten: ba7816bf8f01, unknown\n",
            ),
        ] {
            assert_eq!(done(&data), line);
        }
    }

    #[test]
    fn unknown_nodes_and_refused_peers_are_shown() {
        let peer = json!({"node_id": "edge-9", "reason": "token", "count": 3, "at": "2027-01-15T08:00:00Z"});
        let shown = listed(&json!({"nodes": [], "unknown": {}, "refused_peers": [peer]}));
        assert!(
            shown.contains("count as one, until `latchkey node forget unknown`."),
            "{shown}"
        );
        assert!(
            shown.contains(
                "Refused: edge-9 from - for its token, 3 times, last at 2027-01-15 08:00."
            ),
            "{shown}"
        );
    }
}
