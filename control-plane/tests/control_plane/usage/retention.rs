//! Tests that details of revoked keys are deleted after a time, and that the keys are still never
//! accepted again.

use super::*;
use crate::harness::{Client, Plane, imported};
use crate::node::{Node, Snapshot, hello};
use reqwest::{Method, StatusCode};
use serde_json::json;

const DAY: i64 = 86_400;
const KEPT: i64 = 100 * DAY;

/// Lets a node confirm the day, and deletes old data.
async fn tidy(plane: &Plane, node: &mut Node) {
    let now = plane.clock.now();
    let other = node.snapshot.key("other").number;
    node.count(vec![KeyUsage {
        key: other,
        windows: windows(now, 1),
        ..KeyUsage::default()
    }])
    .await;
    plane.store().clean_up_revoked(now, KEPT).await.unwrap();
}

async fn refused_as_taken(client: &Client<'_>, key: &str) {
    let import = client
        .send(
            Method::POST,
            "/v1/keys/import",
            json!({"keys": [imported("again", key)]}),
        )
        .await;
    import.refused(409, "key_taken");
}

async fn count(plane: &Plane, table: &str) -> i64 {
    let query = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
    sqlx::query_scalar(query)
        .fetch_one(&plane.pool().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn revoked_tombstone_is_never_accepted_again() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client.key("other").await;
    let id = client.import("CI", "sk-0").await;
    let new = client.regenerate(&id, 0).await;
    let newest = client.regenerate(&id, 0).await;
    // No other key has the same policy.
    client
        .patch(&format!("/v1/keys/{id}"), json!({"limits": {"day": 5}}))
        .await;
    let mut node = node(&plane, 1).await;
    let mut away = Node::connect(
        &plane,
        Hello {
            instance: 9,
            ..hello()
        },
        Snapshot::default(),
    )
    .await;
    away.publish().await;
    let (held, policies) = (away.snapshot.clone(), count(&plane, "policies").await);
    drop(away);
    let path = format!("/v1/keys/{id}");
    let (revoked, _) = tokio::join!(client.delete(&path), node.publish());
    assert_eq!(revoked.status, StatusCode::OK, "{revoked:?}");

    plane.clock.advance(KEPT);
    let client = plane.log_in().await;
    tidy(&plane, &mut node).await;
    assert_eq!(
        client.get(&format!("/v1/keys/{id}")).await.status,
        StatusCode::OK,
        "it is kept to the end"
    );
    plane.clock.advance(1);
    tidy(&plane, &mut node).await;
    client
        .get(&format!("/v1/keys/{id}"))
        .await
        .refused(404, "key_not_found");
    for key in ["sk-0", new.as_str(), newest.as_str()] {
        refused_as_taken(&client, key).await;
    }
    for key in [new, newest] {
        plane
            .bearer(&key)
            .get("/v1/keys")
            .await
            .refused(401, "invalid_key");
    }
    assert_eq!(
        (
            count(&plane, "old_secrets").await,
            count(&plane, "tombstones").await
        ),
        (0, 3)
    );
    assert_eq!(count(&plane, "policies").await, policies - 1);

    // All nodes must load a new snapshot if they were away before the removal.
    let mut back = Node::connect(
        &plane,
        Hello {
            instance: 9,
            ..hello()
        },
        held,
    )
    .await;
    assert!(
        !back.welcome.resume,
        "it goes on with a key that it does not know to be revoked"
    );
    back.publish().await;
    assert_eq!(back.snapshot.names(), ["other"]);
    let held = node.snapshot.clone();
    drop(node);
    let follows = Node::connect(
        &plane,
        Hello {
            instance: 1,
            ..hello()
        },
        held,
    )
    .await;
    assert!(follows.welcome.resume, "it knows all that there is to know");
}

#[tokio::test]
async fn old_secrets_leave_tombstones() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client.key("other").await;
    let id = client.import("CI", "sk-0").await;
    client.regenerate(&id, 0).await;
    let overlapping = client.regenerate(&id, 3_600).await;
    let mut node = node(&plane, 1).await;
    plane.clock.advance(KEPT + 1);
    let client = plane.log_in().await;
    tidy(&plane, &mut node).await;
    // The other secret has ended too, but nodes have not been sent that yet.
    assert_eq!(
        (
            count(&plane, "old_secrets").await,
            count(&plane, "tombstones").await
        ),
        (1, 1)
    );
    refused_as_taken(&client, "sk-0").await;
    let shown = client.get(&format!("/v1/keys/{id}")).await;
    assert_eq!(shown.at("/data/active"), &json!(true), "{shown:?}");
    assert!(node.snapshot.by(&overlapping).is_some());
}

#[tokio::test]
async fn revoked_keys_are_deleted_in_steps() {
    let plane = Plane::start().await;
    plane.log_in().await.key("other").await;
    let keys = plane.create_keys("key", 700).await;
    let mut node = node(&plane, 1).await;
    let ids: Vec<_> = keys.iter().map(|(_, id)| id.clone()).collect();
    let account = plane.owner().await.0.clone();
    plane
        .store()
        .revoke_keys(&account, &ids, plane.clock.now())
        .await
        .unwrap();
    node.publish().await;
    plane.clock.advance(KEPT + 1);
    tidy(&plane, &mut node).await;
    assert_eq!(
        (
            count(&plane, "keys").await,
            count(&plane, "tombstones").await
        ),
        (1, 700)
    );
    assert_eq!(count(&plane, "node_usage").await, 1);
    let client = plane.log_in().await;
    assert_eq!(
        client.get("/v1/keys?state=all").await.number("/data/total"),
        1
    );
    // The other key has the same policy.
    let added = client.key("added").await;
    node.publish().await;
    assert_eq!(node.snapshot.key("added").id, added);
}
