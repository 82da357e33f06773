//! Tests `latchkey node` and `latchkey node-token` against a control plane, and changes while nodes
//! are lost.

use super::{Person, mode};
use crate::harness::{NODE_TOKEN, Plane};
use crate::lost::{DAY, becomes, is_lost, ready};
use crate::node::{Node, Snapshot, Stream, complete, handle, hello};
use crate::node_tokens::connect;
use latchkey_protocol::{Hello, from_node, to_node};
use std::fs;
use tonic::Code;

/// Connects a node and drops its stream. Returns its handle.
async fn lose(plane: &Plane, instance: u64) -> String {
    drop(
        ready(
            plane,
            Hello {
                instance,
                staleness_seconds: DAY,
                ..hello()
            },
        )
        .await,
    );
    is_lost(&plane.log_in().await, &handle(instance)).await;
    handle(instance)
}

#[tokio::test]
async fn revoke_exits_4_with_lost_node() {
    let plane = Plane::start_with(&["--node-grace-ms=50"]).await;
    let person = Person::admin(&plane);
    let client = plane.log_in().await;
    let (one, two) = (client.key("one").await, client.key("two").await);
    lose(&plane, 1).await;
    let output = person.run(&["key", "revoke", &one, "--wait", "50"]).await;
    assert_eq!(output.code, 4, "{output:?}");
    assert!(
        output.stdout.contains("in force on 0 of 1 nodes"),
        "{output:?}"
    );
    assert!(
        output
            .stderr
            .starts_with("1 lost node has not acknowledged the change"),
        "{output:?}"
    );
    lose(&plane, 2).await;
    let output = person
        .run(&["key", "revoke", &two, "--wait", "50", "--ignore-lost"])
        .await;
    assert_eq!(output.code, 0, "{output:?}");
    assert!(
        output
            .stderr
            .starts_with("2 lost nodes have not acknowledged the change"),
        "{output:?}"
    );
    // A connected node that does not acknowledge is still counted.
    let _node = Node::connect(
        &plane,
        Hello {
            instance: 3,
            ..hello()
        },
        Snapshot::default(),
    )
    .await;
    let three = client.key("three").await;
    assert_eq!(
        person
            .run(&["key", "revoke", &three, "--wait", "50", "--ignore-lost"])
            .await
            .code,
        4
    );
}

#[tokio::test]
async fn lost_nodes_are_listed_and_forgotten() {
    let plane = Plane::start_with(&["--node-grace-ms=50"]).await;
    let person = Person::admin(&plane);
    let lost = lose(&plane, 1).await;
    let list = person.run(&["node", "list"]).await.done();
    let line: Vec<_> = list
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .take(3)
        .collect();
    assert_eq!(line, ["edge-1", &lost, "lost"], "{list}");
    assert_eq!(
        person.run(&["node", "forget", &lost]).await.done(),
        format!("forgotten: {lost}\n")
    );
    person
        .run(&["node", "forget", &lost])
        .await
        .failed(7, "node");

    let lost = lose(&plane, 2).await;
    let before = |time| ["node", "forget", "--lost-before", time];
    assert_eq!(
        person.run(&before("2027-01-15T08:00:00Z")).await.done(),
        "no node was forgotten\n"
    );
    assert_eq!(
        person.run(&before("2027-01-15T08:00:01Z")).await.done(),
        format!("forgotten: {lost}\n")
    );
    becomes(&plane.log_in().await, 0).await;
}

#[tokio::test]
async fn epochs_of_waiting_nodes_are_accepted() {
    let (plane, other) = (Plane::start().await, Plane::start().await);
    let person = Person::admin(&plane);
    let theirs = Node::ready(&other).await.snapshot;
    let mut stream = Stream::open(&plane, Some(&format!("Bearer {NODE_TOKEN}")))
        .await
        .unwrap();
    stream
        .send(from_node::Message::Hello(complete(hello(), &theirs)))
        .await;
    assert!(matches!(
        stream.next().await,
        Ok(to_node::Message::Waiting(_))
    ));
    let output = person.run(&["node", "accept-epoch"]).await;
    let epoch = hex::encode(&theirs.epoch);
    assert_eq!(
        (output.code, output.stdout),
        (0, format!("accepted: {epoch}\n"))
    );
    assert_eq!(output.stderr, format!("epoch {epoch}: edge-1\n"));
    assert!(matches!(
        stream.next().await,
        Ok(to_node::Message::Welcome(_))
    ));
    assert_eq!(
        person.run(&["node", "accept-epoch"]).await.done(),
        "no node is waiting\n"
    );
}

#[tokio::test]
async fn node_tokens_are_created_and_revoked() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    let create = |name: &'static str| ["node-token", "create", name, "--node", "edge-*"];
    let shown = person
        .run(&[&create("shown")[..], &["--quiet"]].concat())
        .await
        .done();
    person
        .run(&[&create("saved")[..], &["--save", "edge.token"]].concat())
        .await
        .done();
    let saved = fs::read_to_string(person.path("edge.token")).unwrap();
    assert_eq!(mode(&person.path("edge.token")), 0o600);
    let given = "a token of a Secret";
    let person = person.with("LATCHKEY_NEW_NODE_TOKEN", given);
    let output = person.run(&create("given")).await.done();
    assert!(!output.contains(given), "{output}");
    for (instance, token) in (1..).zip([shown.trim_end(), saved.trim_end(), given]) {
        connect(&plane, token, "edge-1", instance).await.unwrap();
    }
    let revoked = person.run(&["node-token", "revoke", "given"]).await.done();
    assert!(revoked.contains("given revoked"), "{revoked}");
    assert_eq!(
        connect(&plane, given, "edge-1", 3)
            .await
            .err()
            .unwrap()
            .code(),
        Code::Unauthenticated
    );
    let list = person.run(&["node-token", "list"]).await.done();
    let lines = list
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().take(3).collect::<Vec<_>>());
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            ["given", "edge-*", "revoked"],
            ["saved", "edge-*", "valid"],
            ["shown", "edge-*", "valid"]
        ]
    );
    person
        .run(&["node-token", "revoke", "given"])
        .await
        .failed(7, "node token");
}
