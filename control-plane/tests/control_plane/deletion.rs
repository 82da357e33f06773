//! `DELETE /v1/users/{id}`: a user goes with their keys and sessions.

use crate::accounts::audited;
use crate::harness::{EMAIL, PASSWORD, Plane};
use crate::node::Node;
use reqwest::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn a_deleted_user_is_gone_with_their_keys_and_sessions() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let path = admin.user("zoe@localhost", json!({"roles": ["admin"]})).await;
    let zoe = plane.client("zoe@localhost").await;
    let [one, two] = [zoe.key("one").await, zoe.key("two").await];
    let revoked = zoe.key("revoked").await;
    zoe.delete(&format!("/v1/keys/{revoked}")).await;
    admin.key("admins").await;
    let mut node = Node::ready(&plane).await;
    let revision = plane.store().revision();
    let (answer, batches) = tokio::join!(admin.delete(&path), node.publish());
    assert_eq!((answer.status, answer.enforcement()), (StatusCode::OK, (1, 1)), "{answer:?}");
    assert_eq!(answer.number("/data/revoked_keys"), 2);
    assert_eq!(path, format!("/v1/users/{}", answer.text("/data/user_id")));
    assert_eq!((batches.len(), plane.store().revision()), (1, revision + 1), "all of it is one revision");
    assert_eq!(node.snapshot.names(), ["admins"]);
    assert_eq!(node.snapshot.policies.len(), 1);

    zoe.get("/v1/roles").await.refused(401, "invalid_session");
    plane.log_in_as("zoe@localhost", PASSWORD).await.refused(401, "invalid_credentials");
    admin.get(&path).await.refused(404, "user_not_found");
    admin.patch(&path, json!({"disabled": true})).await.refused(404, "user_not_found");
    admin.delete(&path).await.refused(404, "user_not_found");
    assert_eq!(admin.get("/v1/users").await.number("/data/total"), 1);
    let shown = admin.get(&format!("/v1/keys/{one}")).await;
    assert_eq!((shown.at("/data/active"), shown.at("/data/owner")), (&json!(false), answer.at("/data/user_id")));

    admin.user("zoe@localhost", json!({})).await;
    let told = "SELECT target_id FROM audit WHERE action = 'key.revoke' AND actor_name = ? ORDER BY seq";
    let told: Vec<String> = sqlx::query_scalar(told).bind(EMAIL).fetch_all(&plane.pool().await).await.unwrap();
    assert_eq!(told, [one, two]);
    let deleted: (String, String) =
        sqlx::query_as("SELECT target_name, before FROM audit WHERE action = 'user.delete'")
            .fetch_one(&plane.pool().await)
            .await
            .unwrap();
    let before: Value = serde_json::from_str(&deleted.1).unwrap();
    assert_eq!((deleted.0.as_str(), &before["email"]), ("zoe@localhost", &json!("zoe@localhost")));
}

#[tokio::test]
async fn nobody_deletes_themselves_nor_whoever_holds_more() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let own = format!("/v1/users/{}", plane.owner().await.1);
    let manager = admin.user("manager@localhost", json!({"permissions": ["account:users:*"]})).await;
    let narrow = admin.subaccount("dev").await;
    let confined = json!({"permissions": ["account:users:*"], "subaccounts": [narrow]});
    admin.user("confined@localhost", confined).await;
    let reader = admin.user("reader@localhost", json!({"roles": ["read_only_admin"]})).await;
    let nobody = admin.user("nobody@localhost", json!({})).await;
    let revision = plane.store().revision();
    let client = plane.client("manager@localhost").await;
    admin.delete(&own).await.refused(409, "cannot_delete_yourself");
    client.delete(&manager).await.refused(409, "cannot_delete_yourself");
    client.delete(&own).await.refused(403, "missing_permission");
    client.delete(&reader).await.refused(403, "missing_permission");
    plane.client("confined@localhost").await.delete(&nobody).await.refused(403, "subaccount_denied");
    assert_eq!(plane.store().revision(), revision);
    assert_eq!(client.delete(&nobody).await.number("/data/revoked_keys"), 0);

    // So somebody is always left who can undo everything.
    let second = admin.user("second@localhost", json!({"roles": ["admin"], "permissions": ["*"]})).await;
    let second_client = plane.client("second@localhost").await;
    assert_eq!(second_client.delete(&own).await.status, StatusCode::OK);
    second_client.delete(&second).await.refused(409, "cannot_delete_yourself");
    let actions = audited(&plane).await;
    assert_eq!(actions.iter().filter(|action| *action == "user.delete").count(), 2);
}
