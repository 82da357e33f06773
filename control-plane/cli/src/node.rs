//! `latchkey node`: shows and manages the connected Envoys.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::error::CommandError;
use super::exit::Exit;
use super::output::note;
use super::query::Query;
use super::table::rows;
use super::timestamp::Timestamp;
use super::{Context, Run, text};

/// Subcommands of `latchkey node`.
#[derive(Subcommand)]
pub enum Command {
    /// List the Envoys that may be serving
    List,
    /// Stop counting a lost Envoy that no longer serves
    Forget(ForgetNodes),
    /// Serve Envoys that hold a snapshot of another database
    AcceptEpoch(AcceptEpoch),
}

/// The lost nodes to forget.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct ForgetNodes {
    /// Handle of the node as shown by `latchkey node list`, or `unknown` for all nodes that the
    /// database does not know
    handle: Option<String>,
    /// All nodes lost before this time: RFC 3339, Unix seconds, or a past span such as 2h
    #[arg(long, value_name = "TIME")]
    lost_before: Option<Timestamp>,
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
            Self::List => return context.show(&["nodes"], listed).await,
            Self::Forget(ForgetNodes {
                lost_before: Some(before),
                ..
            }) => {
                api.post(
                    &["nodes", "forget"],
                    &none,
                    &json!({"lost_before": before.in_past()}),
                )
                .await?
            }
            Self::Forget(ForgetNodes { handle, .. }) => {
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
        context.output.show(&data, || summary(&data))?;

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
            .push(text::inline(&node["node_id"]));
    }
    for (epoch, nodes) in &epochs {
        note(&format!("epoch {epoch}: {}", nodes.join(", ")));
    }

    epochs.into_keys().collect()
}

/// Describes the accepted epochs or the forgotten nodes.
fn summary(data: &Value) -> String {
    let list = |name| {
        text::entries(data, name)
            .iter()
            .map(text::inline)
            .collect::<Vec<_>>()
            .join(", ")
    };

    let (epochs, forgotten) = (list("epochs"), list("forgotten"));
    match (
        data.get("epochs").is_some(),
        epochs.as_str(),
        forgotten.as_str(),
    ) {
        (true, "", _) => "no node is waiting\n".to_owned(),
        (true, epochs, _) => format!("accepted: {epochs}\n"),
        (false, _, "") => "no node was forgotten\n".to_owned(),
        (false, _, nodes) => format!("forgotten: {nodes}\n"),
    }
}

/// Formats the response to `node list`: a table, and the Envoys that it does not contain.
fn listed(data: &Value) -> String {
    let mut text = rows(HEADINGS, text::entries(data, "nodes"), line);
    if let Some(unknown) = data.get("unknown") {
        text += &unknown_nodes(unknown);
    }
    let refused = text::entries(data, "refused_peers").iter();
    text.extend(refused.map(refused_peer));
    text
}

fn unknown_nodes(unknown: &Value) -> String {
    let until = match unknown["expires_in_seconds"].as_u64() {
        Some(seconds) => {
            format!("for {seconds} more seconds, or until `latchkey node forget unknown`")
        }
        None => "until `latchkey node forget unknown`".to_owned(),
    };
    format!("Envoys that the database does not know may be serving: they count as one, {until}.\n")
}

fn refused_peer(peer: &Value) -> String {
    let reason = match text::inline(&peer["reason"]).as_str() {
        "nodes" => "exceeding the number of connected nodes".to_owned(),
        reason => format!("its {reason}"),
    };
    format!(
        "Refused: {} from {} for {reason}, {} times, last at {}.\n",
        text::inline(&peer["node_id"]),
        text::inline(&peer["remote"]),
        text::inline(&peer["count"]),
        text::date(&peer["at"])
    )
}

const HEADINGS: [&str; 9] = [
    "NODE", "HANDLE", "STATE", "SINCE", "REVISION", "BEHIND", "SKEW", "VERSION", "ADDRESS",
];

fn line(node: &Value) -> [String; 9] {
    let state = text::inline(&node["state"]);
    let state = match (node.get("epoch"), node.get("refused")) {
        (Some(epoch), _) => format!("{state} (epoch {})", text::inline(epoch)),
        (_, Some(reason)) => format!("{state} (refused: {})", text::inline(reason)),
        _ => state,
    };
    let skew = match node["clock_skew_ms"].as_i64() {
        Some(skew) => format!("{skew} ms"),
        None => text::NOTHING.to_owned(),
    };

    [
        text::inline(&node["node_id"]),
        text::inline(&node["handle"]),
        state,
        text::date(&node["since"]),
        text::inline(&node["revision"]),
        text::inline(&node["lag"]),
        skew,
        text::inline(&node["version"]),
        text::inline(&node["remote"]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_listed_with_their_lag() {
        let node = json!({
            "handle": "ba7816bf8f01", "node_id": "edge-1", "state": "connected", "since": "2027-01-15T08:00:00Z",
            "revision": 812, "lag": 0, "clock_skew_ms": -12, "version": "0.2.0",
        });
        assert_eq!(
            rows(HEADINGS, &[node], line),
            "NODE     HANDLE         STATE       SINCE              REVISION   BEHIND   SKEW     VERSION   ADDRESS\n\
             edge-1   ba7816bf8f01   connected   2027-01-15 08:00   812        0        -12 ms   0.2.0     -\n"
        );
    }

    #[test]
    fn change_is_confirmed_in_one_line() {
        for (data, line) in [
            (json!({"epochs": []}), "no node is waiting\n"),
            (json!({"epochs": ["00ff"]}), "accepted: 00ff\n"),
            (json!({"forgotten": []}), "no node was forgotten\n"),
            (
                json!({"forgotten": ["ba7816bf8f01", "unknown"]}),
                "forgotten: ba7816bf8f01, unknown\n",
            ),
        ] {
            assert_eq!(summary(&data), line);
        }
    }

    #[test]
    fn unknown_nodes_and_refusals_are_shown() {
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
