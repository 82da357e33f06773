//! Nodes: every Envoy that may be deciding requests, and its progress. The page updates
//! automatically.

mod manage;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use latchkey_api_types::{Node, NodeList};
use latchkey_model::clock::SKEW_WARNED;
use latchkey_model::clock::rfc3339;
use maud::{Markup, html};
use serde::Deserialize;

use crate::ConsoleState;
use crate::api::with_query;
use crate::error::PageError;
use crate::flash::Flash;
use crate::form::Query;
use crate::layout;
use crate::partial::is_partial;
use crate::session::Session;
use crate::widgets::{badge, cell, number, number_cell, time};

const PATH: &str = "/console/nodes";

/// The number of seconds for which a page updates. A page that updated forever would keep its
/// session alive forever.
const FOLLOWED: i64 = 15 * 60;

/// The HTTP status that ends htmx's polling.
const STOP_POLLING: u16 = 286;

/// Returns the routes of the page and its actions.
pub(super) fn router() -> Router<ConsoleState> {
    Router::new()
        .route(PATH, get(page))
        .route(&format!("{PATH}/forget"), post(manage::forget))
        .route(&format!("{PATH}/accept-epoch"), post(manage::accept))
}

/// The time until which the page polls, in Unix seconds.
#[derive(Deserialize, Default)]
#[serde(default)]
struct PollParams {
    until: String,
}

/// Notices after a change.
const SENTENCES: [(&str, &str); 2] = [
    ("forgotten", "Forgotten"),
    (
        "accepted",
        "Accepted: nodes of that database now load this database's snapshot",
    ),
];

async fn page(
    session: Session,
    flash: Flash,
    headers: HeaderMap,
    Query(params): Query<PollParams>,
) -> Result<Response, PageError> {
    let found: NodeList = session.api.get("/v1/nodes").await?;

    if is_partial(&headers) {
        let polls = params
            .until
            .parse()
            .is_ok_and(|until: i64| session.now < until);
        let status = StatusCode::from_u16(STOP_POLLING).unwrap_or_default();
        let status = if polls { StatusCode::OK } else { status };
        return Ok((status, Html(state(&session, &found, polls).into_string())).into_response());
    }

    let until = session.now.saturating_add(FOLLOWED).to_string();
    let content = html! {
        h1 { "Nodes" }
        (flash.notice(&SENTENCES))
        p { "A node is an Envoy that enforces the keys and rules of this control plane. A change \
        is in force everywhere once every node has the newest revision." }
        div #nodes .wide tabindex="0" role="region" aria-label="Nodes"
            hx-get=(with_query(PATH, &[("until", &until)])) hx-trigger="every 2s" hx-swap="innerHTML settle:0ms" {
            (state(&session, &found, true))
        }
    };
    Ok(layout::page(&session, PATH, "Nodes", &content).into_response())
}

/// Renders the part of the page that each poll replaces.
fn state(session: &Session, found: &NodeList, polls: bool) -> Markup {
    if found.nodes.is_empty() {
        return html! { (warnings(session, found)) (no_nodes(polls)) };
    }

    let current = found
        .nodes
        .iter()
        .filter(|node| node.state == "connected" && node.lag == 0)
        .count();

    html! {
        (warnings(session, found))
        table .stack {
            caption {
                "Newest revision " strong { (number(found.revision)) } ", on " (current) " of " (found.nodes.len())
                @if found.nodes.len() == 1 { " node" } @else { " nodes" } ", as of " (time(&rfc3339(session.now))) "."
                @if !polls { " This page no longer updates: " a href=(PATH) { "update again" } "." }
            }
            thead { tr {
                th scope="col" { "Node" }
                th scope="col" { "State" }
                th scope="col" { "Since" }
                th .number scope="col" { "Revision" }
                th .number scope="col" { "Behind by" }
                th scope="col" { "Address" }
                th scope="col" { "Filter" }
                th scope="col" { "Clock" }
                th scope="col" { "Handle" }
                th scope="col" { "Actions" }
            } }
            tbody { @for node in &found.nodes { (row(session, node)) } }
        }
    }
}

/// Renders warnings about waiting and unknown nodes and refused peers, which keep changes from
/// being complete.
fn warnings(session: &Session, found: &NodeList) -> Markup {
    let waiting = found
        .nodes
        .iter()
        .filter(|node| node.state == "waiting")
        .count();

    html! {
        @if waiting > 0 {
            p .notice .warn role="status" {
                (waiting) @if waiting == 1 { " node holds" } @else { " nodes hold" }
                " a snapshot of another database and receives no changes until you accept it. If \
                 this control plane uses the wrong database, stop it instead."
            }
        }
        @if let Some(unknown) = &found.unknown {
            div .notice .warn role="status" {
                p { "Nodes that the database does not know may be serving, because nothing was \
                recorded for some time before this control plane started. They count as one lost \
                node "
                    @match unknown.expires_in_seconds {
                        Some(seconds) => { "for " (number(seconds)) " more seconds." },
                        None => "until you forget them.",
                    }
                }
                (manage::forget_unknown(session))
            }
        }
        @for peer in &found.refused_peers {
            p .faint {
                "Refused for " (refusal_reason(&peer.reason)) ": " (peer.node_id)
                @if let Some(remote) = &peer.remote { " from " (remote) }
                ", " (number(peer.count)) @if peer.count == 1 { " time" } @else { " times" }
                ", last " (time(&peer.at)) "."
            }
        }
    }
}

fn state_badge(node: &Node) -> Markup {
    match node.state.as_str() {
        "connected" => badge("good", "connected"),
        "waiting" => badge("warn", "waiting"),
        _ => badge("bad", "lost"),
    }
}

fn row(session: &Session, node: &Node) -> Markup {
    html! {
        tr {
            th scope="row" { (node.node_id) }
            (cell("State", &html! { span {
                (state_badge(node))
                @if let Some(refused) = &node.refused { " " span .faint { (refused) } }
            } }))
            (cell("Since", &time(&node.since)))
            (number_cell("Revision", &html! { @if node.revision == 0 { span .faint { "none yet" } } @else { (number(node.revision)) } }))
            (number_cell("Behind by", &html! { @match node.lag {
                0 => "0",
                lag => { span .warn { (number(lag)) } },
            } }))
            (cell("Address", &html! { @if let Some(remote) = &node.remote { (remote) } @else { span .faint { "none" } } }))
            (cell("Filter", &html! { (node.version) }))
            (cell("Clock", &html! { @match node.clock_skew_ms {
                Some(skew) => { span .warn[skew.abs() > SKEW_WARNED] { (skew) " ms" } },
                None => { span .faint { "not reported" } },
            } }))
            (cell("Handle", &html! { code { (node.handle) } }))
            (cell("Actions", &manage::actions(session, node)))
        }
    }
}

fn no_nodes(polls: bool) -> Markup {
    html! {
        div .nothing {
            p .lead { "No Envoy is connected." }
            p { "Nothing is enforced until one is. To connect an Envoy, copy from " code { "envoy/latchkey.yaml" } " to its configuration:" }
            ol .left {
                li { "the filter " code { "latchkey" } " and the guard behind it, first among the HTTP filters;" }
                li { "the cluster " code { "latchkey" } ", with the address of this control plane's stream ("
                    code { "--stream-listen" } ");" }
                li { "as " code { "control_plane.token" } " of the filter, a token that "
                    code { "latchkey node-token create" } " shows." }
            }
            @if polls { p .faint { "This page shows the Envoy as soon as it connects." } }
            @else { p { "This page no longer updates: " a href=(PATH) { "update again" } "." } }
        }
    }
}

/// Describes the reason why a peer was refused.
fn refusal_reason(reason: &str) -> String {
    match reason {
        "nodes" => "exceeding the number of connected nodes".to_owned(),
        reason => format!("its {reason}"),
    }
}
