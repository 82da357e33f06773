//! Tests `DELETE /v1/users/{id}`, which removes a user with their keys and sessions.

use crate::accounts::audited;
use crate::harness::{EMAIL, PASSWORD, Plane, START, plain_key};
use crate::node::{Node, PATIENCE, Snapshot, former_hello};
use latchkey_policy::key::{Environment, PlainKey};
use latchkey_store::NewKey;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::pin::pin;
use std::time::{Duration, Instant};

#[tokio::test]
async fn deletion_removes_user_keys_and_sessions() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let path = admin
        .user("zoe@localhost", json!({"roles": ["admin"]}))
        .await;
    let zoe = plane.client("zoe@localhost").await;
    let [one, two] = [zoe.key("one").await, zoe.key("two").await];
    let revoked = zoe.key("revoked").await;
    zoe.delete(&format!("/v1/keys/{revoked}")).await;
    admin.key("admins").await;
    let mut node = Node::ready(&plane).await;
    let revision = plane.store().revision();
    let (answer, batches) = tokio::join!(admin.delete(&path), node.publish());
    assert_eq!(
        (answer.status, answer.enforcement()),
        (StatusCode::OK, (1, 1)),
        "{answer:?}"
    );
    assert_eq!(answer.number("/data/revoked_keys"), 2);
    assert_eq!(path, format!("/v1/users/{}", answer.text("/data/user_id")));
    assert_eq!(
        (batches.len(), plane.store().revision()),
        (1, revision + 1),
        "all of it is one revision"
    );
    assert_eq!(node.snapshot.names(), ["admins"]);
    assert_eq!(node.snapshot.policies.len(), 1);

    zoe.get("/v1/roles").await.refused(401, "invalid_session");
    plane
        .log_in_as("zoe@localhost", PASSWORD)
        .await
        .refused(401, "invalid_credentials");
    admin.get(&path).await.refused(404, "user_not_found");
    admin
        .patch(&path, json!({"disabled": true}))
        .await
        .refused(404, "user_not_found");
    let again = admin.delete(&path).await;
    assert_eq!(
        (
            again.status,
            again.number("/data/revoked_keys"),
            again.enforcement()
        ),
        (StatusCode::OK, 2, (1, 1))
    );
    assert_eq!(admin.get("/v1/users").await.number("/data/total"), 1);
    let shown = admin.get(&format!("/v1/keys/{one}")).await;
    assert_eq!(
        (shown.at("/data/active"), shown.at("/data/owner")),
        (&json!(false), answer.at("/data/user_id"))
    );

    admin.user("zoe@localhost", json!({})).await;
    let reported =
        "SELECT target_id FROM audit WHERE action = 'key.revoke' AND actor_name = ? ORDER BY seq";
    let reported: Vec<String> = sqlx::query_scalar(reported)
        .bind(EMAIL)
        .fetch_all(&plane.pool().await)
        .await
        .unwrap();
    assert_eq!(reported, [one, two]);
    let deleted: (String, String) =
        sqlx::query_as("SELECT target_name, before FROM audit WHERE action = 'user.delete'")
            .fetch_one(&plane.pool().await)
            .await
            .unwrap();
    let before: Value = serde_json::from_str(&deleted.1).unwrap();
    assert_eq!(
        (deleted.0.as_str(), &before["email"]),
        ("zoe@localhost", &json!("zoe@localhost"))
    );
}

/// Checks also that users cannot delete themselves.
#[tokio::test]
async fn users_cannot_delete_stronger_ones() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let own = format!("/v1/users/{}", plane.owner().await.1);
    let manager = admin
        .user(
            "manager@localhost",
            json!({"permissions": ["account:users:*"]}),
        )
        .await;
    let narrow = admin.subaccount("dev").await;
    let confined = json!({"permissions": ["account:users:*"], "subaccounts": [narrow]});
    admin.user("confined@localhost", confined).await;
    let reader = admin
        .user("reader@localhost", json!({"roles": ["read_only_admin"]}))
        .await;
    let nobody = admin.user("nobody@localhost", json!({})).await;
    let revision = plane.store().revision();
    let client = plane.client("manager@localhost").await;
    admin
        .delete(&own)
        .await
        .refused(409, "cannot_delete_yourself");
    client
        .delete(&manager)
        .await
        .refused(409, "cannot_delete_yourself");
    client.delete(&own).await.refused(403, "missing_permission");
    client
        .delete(&reader)
        .await
        .refused(403, "missing_permission");
    plane
        .client("confined@localhost")
        .await
        .delete(&nobody)
        .await
        .refused(403, "subaccount_denied");
    assert_eq!(plane.store().revision(), revision);
    assert_eq!(client.delete(&nobody).await.number("/data/revoked_keys"), 0);

    // So there is always an administrator who can undo every change.
    let second = admin
        .user(
            "second@localhost",
            json!({"roles": ["admin"], "permissions": ["*"]}),
        )
        .await;
    let second_client = plane.client("second@localhost").await;
    assert_eq!(second_client.delete(&own).await.status, StatusCode::OK);
    second_client
        .delete(&second)
        .await
        .refused(409, "cannot_delete_yourself");
    let actions = audited(&plane).await;
    assert_eq!(
        actions
            .iter()
            .filter(|action| *action == "user.delete")
            .count(),
        2
    );
}

/// Creates many keys for a user without the API.
async fn make_keys(plane: &Plane, path: &str, count: usize) -> Vec<PlainKey> {
    let (account_id, user_id) = (&plane.owner().await.0, path.rsplit('/').next().unwrap());
    let secrets: Vec<_> = (0..count).map(|_| plain_key()).collect();
    let new = |(index, secret)| {
        let name = format!("zoes-{index}");
        NewKey::new(
            account_id,
            user_id,
            &name,
            secret,
            "basic",
            Environment::Live,
        )
    };
    let keys: Vec<_> = secrets.iter().enumerate().map(new).collect();
    plane.store().create_keys(&keys, START).await.unwrap();
    secrets
}

/// Waits until all keys are removed.
async fn all_removed(plane: &Plane) {
    let pool = plane.pool().await;
    let began = Instant::now();
    while sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM removals)")
        .fetch_one(&pool)
        .await
        .unwrap()
    {
        assert!(began.elapsed() < PATIENCE, "keys are still being removed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn deleted_users_keys_are_refused_immediately() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let path = admin
        .user("zoe@localhost", json!({"roles": ["admin"]}))
        .await;
    let secrets = make_keys(&plane, &path, 3_000).await;
    let mut node = Node::ready(&plane).await;
    let (answer, _) = tokio::join!(admin.delete(&path), node.publish());
    assert_eq!(
        (answer.status, answer.enforcement()),
        (StatusCode::OK, (1, 1)),
        "{answer:?}"
    );
    assert_eq!(answer.number("/data/revoked_keys"), 3_000);
    let user_id = answer.text("/data/user_id");
    let refuses = |node: &Node| {
        let ended = node
            .snapshot
            .settings
            .as_ref()
            .unwrap()
            .ended_owners()
            .contains(&user_id);
        ended || node.snapshot.names().is_empty()
    };
    assert!(
        refuses(&node),
        "a node that has acknowledged refuses the keys"
    );
    // Other calls continue during the removal.
    plane
        .bearer(secrets.last().unwrap().expose())
        .get("/v1/keys")
        .await
        .refused(401, "invalid_key");
    assert_eq!(admin.total().await, 0);
    // A name is free at once, too.
    let key = admin.key("zoes-2999").await;
    while node.snapshot.keys.len() != 1 {
        node.publish().await;
        assert!(refuses(&node) || node.snapshot.keys.len() == 1);
    }
    all_removed(&plane).await;
    node.catch_up(plane.store().revision()).await;
    assert_eq!(
        node.snapshot.settings.as_ref().unwrap().ended_owners(),
        [""; 0]
    );
    assert_eq!(
        (node.snapshot.names(), node.snapshot.policies.len()),
        (vec!["zoes-2999"], 1)
    );
    assert_eq!(
        admin
            .get(&format!("/v1/keys/{key}"))
            .await
            .at("/data/active"),
        &json!(true)
    );
}

#[tokio::test]
async fn deletion_goes_on_after_a_crash() {
    let mut plane = Plane::start().await;
    let path = plane.log_in().await.user("zoe@localhost", json!({})).await;
    make_keys(&plane, &path, 20_000).await;
    let answer = plane.log_in().await.delete(&path).await;
    assert_eq!(answer.number("/data/revoked_keys"), 20_000);
    plane.crash().await;
    // The removal takes much longer than a crash.
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM keys WHERE revoked_at IS NULL")
        .fetch_one(&plane.pool().await)
        .await
        .unwrap();
    assert!(left > 0, "nothing is left to go on with");
    let admin = plane.log_in().await;
    assert_eq!(admin.total().await, 0);
    let node = Node::ready(&plane).await;
    let ended = node
        .snapshot
        .settings
        .as_ref()
        .unwrap()
        .ended_owners()
        .to_vec();
    assert!(node.snapshot.keys.is_empty() || ended == [path.rsplit('/').next().unwrap()]);
    all_removed(&plane).await;
    let count = "SELECT COUNT(DISTINCT target_id) FROM audit WHERE action = 'key.revoke'";
    let entries: i64 = sqlx::query_scalar(count)
        .fetch_one(&plane.pool().await)
        .await
        .unwrap();
    assert_eq!(entries, 20_000);
}

#[tokio::test]
async fn node_0_1_acknowledges_removed_keys() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let path = admin.user("zoe@localhost", json!({})).await;
    make_keys(&plane, &path, 3_000).await;
    let mut node = Node::connect(&plane, former_hello(), Snapshot::default()).await;
    node.publish().await;
    let path = format!("{path}?wait_ms=20000");
    let mut delete = pin!(admin.delete(&path));
    let answer = loop {
        tokio::select! {
            answer = &mut delete => break answer,
            _ = node.publish() => {}
        }
    };
    assert_eq!(
        (answer.status, answer.enforcement()),
        (StatusCode::OK, (1, 1)),
        "{answer:?}"
    );
    assert_eq!(
        node.snapshot.names(),
        [""; 0],
        "the node got each key and no owner"
    );
    assert_eq!(
        node.snapshot.settings.as_ref().unwrap().ended_owners(),
        [""; 0]
    );
}
