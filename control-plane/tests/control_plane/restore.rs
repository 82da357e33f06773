//! Tests what a restore keeps of the replaced database, and what it cannot know.

use crate::harness::{Client, Plane};
use crate::node::{INSTANCE, Node, Snapshot, Stream, complete, handle, hello};
use latchkey_protocol::{Hello, from_node};
use latchkey_store::backup::{backup, restore};
use latchkey_store::{OpenMode, Store};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use tonic::Code;

const DAY: u64 = 86_400;

/// Creates a control plane, a backup with one node, and one node that is newer.
async fn backed_up() -> (Plane, PathBuf) {
    let mut plane = Plane::start().await;
    drop(
        Node::connect(
            &plane,
            Hello {
                staleness_seconds: DAY,
                ..hello()
            },
            Snapshot::default(),
        )
        .await,
    );
    let file = plane.database().with_extension("backup");
    backup(&plane.database(), &file).await.unwrap();
    let later = Hello {
        instance: 2,
        staleness_seconds: DAY,
        ..hello()
    };
    drop(Node::connect(&plane, later, Snapshot::default()).await);
    plane.take().shutdown().await;
    (plane, file)
}

fn remove_database(plane: &Plane) {
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", plane.database().display()));
    }
}

/// Returns the handles of all nodes, and whether unknown nodes may exist.
async fn nodes(client: &Client<'_>) -> (Vec<Value>, bool) {
    let answer = client.get("/v1/nodes").await;
    let nodes = answer.at("/data/nodes").as_array().unwrap();
    let mut handles: Vec<_> = nodes.iter().map(|node| node["handle"].clone()).collect();
    handles.sort_by_key(ToString::to_string);
    (handles, answer.body["data"]["unknown"].is_object())
}

#[tokio::test]
async fn restore_over_unrelated_database_has_unknown_past() {
    for runs in [false, true] {
        let (mut plane, file) = backed_up().await;
        remove_database(&plane);
        if runs {
            // The database has just recorded the time.
            plane.run().await;
            plane.take().shutdown().await;
        } else {
            drop(
                Store::open(&plane.database(), OpenMode::Create)
                    .await
                    .unwrap(),
            );
        }
        assert!(
            !restore(&file, &plane.database(), true, 5)
                .await
                .unwrap()
                .replaces_later
        );
        plane.run().await;
        let client = plane.log_in().await;
        assert_eq!(
            nodes(&client).await,
            (vec![json!(handle(INSTANCE))], true),
            "{runs}"
        );
        let answer = client
            .send(
                Method::POST,
                "/v1/keys/generate?wait_ms=0",
                json!({"name": "new"}),
            )
            .await;
        assert_eq!(answer.at("/data/enforcement/complete"), false, "{runs}");
    }
}

/// Restores over a database that accepted the epoch of the backup.
#[tokio::test]
async fn restore_over_accepting_database_keeps_nodes() {
    let (mut plane, file) = backed_up().await;
    let store = Store::open(&plane.database(), OpenMode::Existing)
        .await
        .unwrap();
    let epoch: String = store
        .epoch()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    drop(store);
    remove_database(&plane);
    plane.run().await;
    let accepted = plane
        .log_in()
        .await
        .send(
            Method::POST,
            "/v1/nodes/accept-epoch",
            json!({"epoch": epoch}),
        )
        .await;
    assert_eq!(accepted.status, StatusCode::OK, "{accepted:?}");
    plane.take().shutdown().await;
    restore(&file, &plane.database(), true, 5).await.unwrap();
    plane.run().await;
    assert_eq!(
        nodes(&plane.log_in().await).await,
        (vec![json!(handle(INSTANCE))], true)
    );
}

#[tokio::test]
async fn restore_over_earlier_state_has_unknown_past() {
    let (mut plane, file) = backed_up().await;
    let earlier = plane.database().with_extension("earlier");
    plane.copy_database(&earlier).await;
    plane.run().await;
    plane.create_keys("key", 1).await;
    let newer = plane.database().with_extension("newer");
    backup(&plane.database(), &newer).await.unwrap();
    plane.take().shutdown().await;
    remove_database(&plane);
    fs::copy(&earlier, plane.database()).unwrap();
    assert!(
        !restore(&newer, &plane.database(), true, 5)
            .await
            .unwrap()
            .replaces_later
    );
    // If the replaced database is a later one, the restore reports that.
    remove_database(&plane);
    fs::copy(&earlier, plane.database()).unwrap();
    assert!(
        restore(&file, &plane.database(), true, 6)
            .await
            .unwrap()
            .replaces_later
    );
    plane.run().await;
    let mut both = vec![json!(handle(INSTANCE)), json!(handle(2))];
    both.sort_by_key(ToString::to_string);
    assert_eq!(nodes(&plane.log_in().await).await, (both, false));
}

#[tokio::test]
async fn node_tokens_revoked_since_stay_revoked() {
    let mut plane = Plane::start().await;
    let client = plane.log_in().await;
    let create = async |name: &str| {
        let answer = client
            .send(
                Method::POST,
                "/v1/node-tokens",
                json!({"name": name, "node": "*"}),
            )
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.text("/data/node_token")
    };
    let (leaked, _kept) = (create("leaked").await, create("kept").await);
    let file = plane.database().with_extension("backup");
    backup(&plane.database(), &file).await.unwrap();
    create("later").await;
    for name in ["leaked", "later"] {
        assert_eq!(
            client
                .delete(&format!("/v1/node-tokens/{name}"))
                .await
                .status,
            StatusCode::OK
        );
    }
    drop(client);
    plane.take().shutdown().await;
    restore(&file, &plane.database(), true, 5).await.unwrap();
    plane.run().await;
    let listed = plane.log_in().await.get("/v1/node-tokens").await;
    let tokens = listed.at("/data/node_tokens").as_array().unwrap().iter();
    let states: Vec<_> = tokens
        .map(|token| (token["name"].clone(), token["revoked_at"].is_null()))
        .collect();
    assert_eq!(
        states,
        [
            (json!("leaked"), false),
            (json!("kept"), true),
            (json!("later"), false)
        ]
    );
    let mut stream = Stream::open(&plane, Some(&format!("Bearer {leaked}")))
        .await
        .unwrap();
    stream
        .send(from_node::Message::Hello(complete(
            hello(),
            &Snapshot::default(),
        )))
        .await;
    assert_eq!(stream.end().await.code(), Code::Unauthenticated);
}
