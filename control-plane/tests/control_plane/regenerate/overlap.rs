//! Tests overlaps: which secrets are valid, until when, and who can replace a new secret.

use super::{made, mask, regenerate};
use crate::harness::{Answer, Plane, START, imported};
use crate::node::Node;
use latchkey_protocol::{KeyUsage, LastUse};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::time::Duration;

/// Returns the number of the newest secret of the only key.
async fn secret(plane: &Plane) -> u32 {
    sqlx::query_scalar("SELECT secret FROM keys")
        .fetch_one(&plane.pool().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn old_secret_use_counts_separately() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    // The key itself can also repeat its call, with its old secret.
    for name in ["CI", "by itself"] {
        let (id, old) = made(
            &admin,
            json!({"name": name, "permissions": ["account:apikeys:*"]}),
        )
        .await;
        let key = plane.bearer(&old);
        let client = if name == "CI" { &admin } else { &key };
        let mut node = Node::ready(&plane).await;
        let number = node.snapshot.key(name).number;
        let first = client.regenerate(&id, 3_600).await;
        node.catch_up(plane.store().revision()).await;
        let last_uses = vec![LastUse {
            secret: 1,
            at: START,
            ip: vec![192, 0, 2, 1],
        }];
        node.count(vec![KeyUsage {
            key: number,
            requests: vec![1],
            last_uses,
            ..KeyUsage::default()
        }])
        .await;
        let second = client.regenerate(&id, 3_600).await;
        let snapshot = Node::ready(&plane).await.snapshot;
        let held = [&old, &first, &second].map(|secret| snapshot.by(secret).is_some());
        assert_eq!(held, [true, false, true], "{name}");
    }
}

/// Two calls run at once, and one replaces the secret that the other returns.
#[tokio::test]
async fn secret_made_meanwhile_is_reported() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (id, _) = made(&client, json!({"name": "CI"})).await;
    let mut node = Node::ready(&plane).await;
    let key = node.snapshot.key("CI").number;
    client.regenerate(&id, 3_600).await;
    // Both calls wait for reports of the second secret. One creates a third secret, and the other
    // then waits for reports of that one.
    let rotate = || regenerate(&client, &id, json!({"overlap_seconds": 3_600}));
    let report = async {
        while secret(&plane).await < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        node.catch_up(plane.store().revision()).await;
        let last_uses = vec![LastUse {
            secret: 3,
            at: START,
            ip: vec![192, 0, 2, 1],
        }];
        node.count(vec![KeyUsage {
            key,
            requests: vec![1],
            last_uses,
            ..KeyUsage::default()
        }])
        .await;
    };
    let (one, other, ()) = tokio::join!(rotate(), rotate(), report);
    let (done, refused) = if one.status == StatusCode::OK {
        (one, other)
    } else {
        (other, one)
    };
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    refused.refused(409, "overlap_running");
    assert!(
        Node::ready(&plane)
            .await
            .snapshot
            .by(&done.text("/data/api_key"))
            .is_some()
    );
}

#[tokio::test]
async fn repeated_rotation_keeps_the_secret_in_use() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (id, first) = made(&client, json!({"name": "CI"})).await;
    let mut node = Node::ready(&plane).await;
    let second = client.regenerate(&id, 3_600).await;
    let third = client.regenerate(&id, 60).await;
    node.catch_up(plane.store().revision()).await;
    let held = [&first, &second, &third].map(|secret| {
        node.snapshot
            .by(secret)
            .map(|key| (key.secret, key.expires_at))
    });
    assert_eq!(
        held,
        [Some((1, Some(START + 3_600))), None, Some((3, None))]
    );
    assert_eq!(Node::ready(&plane).await.snapshot, node.snapshot);
    let shown = client.get(&format!("/v1/keys/{id}")).await;
    let masks: Vec<_> = shown
        .at("/data/secrets")
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["key_prefix"].clone())
        .collect();
    assert_eq!(masks, [mask(&third), mask(&first)]);
    let entry = client.get("/v1/audit?limit=1").await;
    assert_eq!(
        entry.at("/data/entries/0/after"),
        &json!({"key_prefix": mask(&third), "retry": true})
    );
    // A replaced secret never becomes valid again.
    client
        .send(
            Method::POST,
            "/v1/keys/import",
            json!({"keys": [imported("again", &second)]}),
        )
        .await
        .refused(409, "key_taken");
}

#[tokio::test]
async fn overlap_ends_with_the_key() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (id, old) = made(&client, json!({"name": "CI", "expires_at": START + 60})).await;
    let answer = regenerate(&client, &id, json!({"overlap_seconds": 3_600})).await;
    assert_eq!(
        answer.text("/data/secrets/1/ends_at"),
        "2027-01-15T08:01:00Z"
    );
    // A later expiry does not make the old secret valid for longer.
    plane.clock.advance(60);
    client
        .patch(
            &format!("/v1/keys/{id}"),
            json!({"expires_at": START + 6_000}),
        )
        .await;
    let node = Node::ready(&plane).await;
    assert_eq!(node.snapshot.by(&old).unwrap().expires_at, Some(START + 60));

    // The same holds if the expiry was set after the regeneration.
    let (id, old) = made(&client, json!({"name": "CD"})).await;
    regenerate(&client, &id, json!({"overlap_seconds": 36_000})).await;
    let path = format!("/v1/keys/{id}");
    let expiring = client
        .patch(&path, json!({"expires_at": START + 100}))
        .await;
    assert_eq!(
        expiring.text("/data/secrets/1/ends_at"),
        "2027-01-15T08:01:40Z"
    );
    plane.clock.advance(100);
    let revived = client.patch(&path, json!({"expires_at": null})).await;
    assert_eq!(
        revived.at("/data/secrets").as_array().unwrap().len(),
        1,
        "{revived:?}"
    );
    assert_eq!(
        Node::ready(&plane)
            .await
            .snapshot
            .by(&old)
            .unwrap()
            .expires_at,
        Some(START + 100)
    );
}

#[tokio::test]
async fn second_overlap_is_refused_unless_a_retry() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client
        .user("zoe@localhost", json!({"roles": ["admin"]}))
        .await;
    let zoe = plane.client("zoe@localhost").await;
    let (id, old) = made(&client, json!({"name": "CI"})).await;
    client.regenerate(&id, 3_600).await;
    let overlap = || json!({"overlap_seconds": 3_600});
    regenerate(&zoe, &id, overlap())
        .await
        .refused(409, "overlap_running");
    // A user who logs in again is the same caller.
    let again = plane.log_in().await;
    plane.clock.advance(600);
    assert_eq!(
        regenerate(&again, &id, overlap())
            .await
            .text("/data/secrets/1/ends_at"),
        "2027-01-15T09:00:00Z"
    );
    plane.clock.advance(601);
    regenerate(&again, &id, overlap())
        .await
        .refused(409, "overlap_running");
    let node = Node::ready(&plane).await;
    assert_eq!(
        node.snapshot.by(&old).unwrap().expires_at,
        Some(START + 3_600)
    );

    // Regenerating without an overlap ends all secrets. With an overlap, it is possible again once
    // the old secret has ended.
    plane.clock.advance(3_600 - 1_201);
    let current = plane.log_in().await.regenerate(&id, 60).await;
    let only = plane.client("zoe@localhost").await.regenerate(&id, 0).await;
    let node = Node::ready(&plane).await;
    assert!(node.snapshot.by(&only).is_some() && node.snapshot.by(&current).is_none());
    assert_eq!(node.snapshot.keys.len(), 1);
}

#[tokio::test]
async fn secret_just_admitted_is_kept() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (id, _) = made(&client, json!({"name": "CI"})).await;
    let mut node = Node::ready(&plane).await;
    let key = node.snapshot.key("CI").number;
    let second = client.regenerate(&id, 3_600).await;
    node.publish().await;
    // The report arrives during the call.
    let path = format!("/v1/keys/{id}/regenerate");
    let call = client.send(Method::POST, &path, json!({"overlap_seconds": 3_600}));
    let report = async {
        // Envoys report requests that they admit by an allowance with this delay.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let last_uses = vec![LastUse {
            secret: 2,
            at: START,
            ip: vec![192, 0, 2, 1],
        }];
        node.count(vec![KeyUsage {
            key,
            requests: vec![1],
            last_uses,
            ..KeyUsage::default()
        }])
        .await;
    };
    let (answer, ()) = tokio::join!(call, report);
    answer.refused(409, "overlap_running");
    assert!(Node::ready(&plane).await.snapshot.by(&second).is_some());
}

#[tokio::test]
async fn concurrent_rotations_leave_the_promised_secrets() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (id, first) = made(&client, json!({"name": "CI"})).await;
    let rotate = || regenerate(&client, &id, json!({"overlap_seconds": 3_600}));
    let answers = tokio::join!(rotate(), rotate(), rotate(), rotate(), rotate());
    let answers = [answers.0, answers.1, answers.2, answers.3, answers.4];
    assert!(
        answers.iter().all(|answer| answer.status == StatusCode::OK),
        "{answers:?}"
    );
    let node = Node::ready(&plane).await;
    assert_eq!(
        node.snapshot.by(&first).unwrap().expires_at,
        Some(START + 3_600)
    );
    let valid: Vec<_> = answers
        .iter()
        .filter(|answer| node.snapshot.by(&answer.text("/data/api_key")).is_some())
        .collect();
    assert_eq!((valid.len(), node.snapshot.keys.len()), (1, 2));
    let revision = |answer: &Answer| answer.number("/data/enforcement/revision");
    assert_eq!(
        answers.iter().map(revision).max(),
        Some(revision(valid[0])),
        "the last one"
    );
}

#[tokio::test]
async fn both_secrets_authenticate_during_the_overlap() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let (id, old) = made(
        &admin,
        json!({"name": "CI", "permissions": ["account:apikeys:*"]}),
    )
    .await;
    // A key can regenerate itself.
    let by_old = plane.bearer(&old);
    let new = by_old.regenerate(&id, 60).await;
    let by_new = plane.bearer(&new);
    plane.clock.advance(59);
    let path = format!("/v1/keys/{id}");
    for client in [&by_old, &by_new] {
        assert_eq!(client.get(&path).await.text("/data/key_id"), id);
    }
    let secrets = by_new.get(&path).await;
    for index in [0, 1] {
        let pointer = format!("/data/secrets/{index}/last_used_at");
        assert_eq!(secrets.text(&pointer), "2027-01-15T08:00:59Z");
    }
    plane.clock.advance(1);
    by_old.get(&path).await.refused(401, "expired_key");
    assert_eq!(by_new.get(&path).await.status, StatusCode::OK);
    admin.regenerate(&id, 0).await;
    for client in [&by_old, &by_new] {
        client.get(&path).await.refused(401, "invalid_key");
    }
}
