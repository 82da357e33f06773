//! Tests `/v1/subaccounts`, and their effects on keys.

use crate::harness::Plane;
use crate::node::Node;
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn subaccount_is_created_listed_and_deleted() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let made = client
        .send(Method::POST, "/v1/subaccounts", json!({"name": " dev "}))
        .await;
    assert_eq!(
        (made.status, made.enforcement()),
        (StatusCode::CREATED, (0, 0))
    );
    let id = made.text("/data/subaccount_id");
    assert!(id.starts_with("sub_") && id.len() == 16, "{id}");
    let expected =
        json!({"subaccount_id": id, "name": "dev", "created_at": "2027-01-15T08:00:00Z"});
    let listed = client.get("/v1/subaccounts").await;
    assert_eq!(
        listed.at("/data"),
        &json!({"subaccounts": [expected], "total": 1, "total_is_estimate": false, "next_cursor": null})
    );

    for (body, status, code, field) in [
        (json!({"name": "dev"}), 409, "name_taken", "name"),
        (json!({"name": ""}), 400, "invalid_request", "name"),
        (json!({}), 400, "invalid_request", "name"),
        (
            json!({"name": "x", "id": "sub_1"}),
            400,
            "invalid_request",
            "id",
        ),
    ] {
        client
            .send(Method::POST, "/v1/subaccounts", body)
            .await
            .refused_by(status, code, field);
    }
    let path = format!("/v1/subaccounts/{id}");
    assert_eq!(client.get(&path).await.at("/data"), &expected);
    client.subaccount("prod").await;
    client
        .patch(&path, json!({"name": "prod"}))
        .await
        .refused_by(409, "name_taken", "name");
    client
        .patch(&path, json!({"name": ""}))
        .await
        .refused_by(400, "invalid_request", "name");
    let renamed = client.patch(&path, json!({"name": "staging"})).await;
    assert_eq!(
        (
            renamed.text("/data/subaccount_id"),
            renamed.text("/data/name")
        ),
        (id.clone(), "staging".to_owned())
    );
    assert_eq!(
        client.patch(&path, json!({})).await.at("/data"),
        renamed.at("/data")
    );
    let deleted = client.delete(&path).await;
    assert_eq!(
        (deleted.text("/data/subaccount_id"), deleted.enforcement()),
        (id, (0, 0))
    );
    for path in [&path, "/v1/subaccounts/%ff"] {
        client
            .delete(path)
            .await
            .refused(404, "subaccount_not_found");
        client.get(path).await.refused(404, "subaccount_not_found");
        client
            .patch(path, json!({"name": "x"}))
            .await
            .refused(404, "subaccount_not_found");
    }
    assert_eq!(client.get("/v1/subaccounts").await.number("/data/total"), 1);
    client.subaccount("dev").await;
}

#[tokio::test]
async fn deleted_subaccount_blocks_nothing() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let [dev, gone] = [
        admin.subaccount("dev").await,
        admin.subaccount("gone").await,
    ];
    let holding = json!({"permissions": ["account:*"], "subaccounts": [dev, gone]});
    let path = admin.user("zoe@localhost", holding).await;
    let other = admin
        .user("other@localhost", json!({"subaccounts": [dev]}))
        .await;
    admin.delete(&format!("/v1/subaccounts/{gone}")).await;
    let made = plane
        .client("zoe@localhost")
        .await
        .user("new@localhost", json!({}))
        .await;
    assert_eq!(
        admin.get(&made).await.at("/data/subaccounts"),
        &json!([dev])
    );

    let as_shown = json!({"subaccounts": admin.get(&path).await.at("/data/subaccounts")});
    assert_eq!(as_shown, json!({"subaccounts": [dev, gone]}));
    assert_eq!(
        admin.patch(&path, as_shown.clone()).await.status,
        StatusCode::OK
    );
    admin
        .patch(&other, as_shown)
        .await
        .refused_by(400, "invalid_request", "subaccounts[1]");
}

#[tokio::test]
async fn subaccounts_are_bounded_per_account() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999) \
         INSERT INTO subaccounts (id, account_id, name, created_at) SELECT printf('sub_%012d', i), ?, i, 5 FROM n";
    sqlx::query(fill)
        .bind(&plane.owner().await.0)
        .execute(&plane.pool().await)
        .await
        .unwrap();
    let last = client.subaccount("last").await;
    let revision = plane.store().revision();
    let answer = client
        .send(Method::POST, "/v1/subaccounts", json!({"name": "one more"}))
        .await;
    answer.refused(403, "subaccount_limit");
    assert!(answer.text("/error").contains("1000"), "{answer:?}");
    assert_eq!(plane.store().revision(), revision);
    client.delete(&format!("/v1/subaccounts/{last}")).await;
    client.subaccount("one more").await;
}

#[tokio::test]
async fn keys_follow_the_existing_subaccounts() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let [dev, prod] = [
        client.subaccount("dev").await,
        client.subaccount("prod").await,
    ];
    client.key("all").await;
    client
        .generate(json!({"name": "prod", "allowed_subaccounts": [prod]}))
        .await;
    let mut node = Node::ready(&plane).await;
    let held = |node: &Node, name: &str| {
        let policy = node.snapshot.policy(name);
        (policy.subaccounts.clone(), policy.confined)
    };
    let sorted = |ids: &[&String]| {
        let mut ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        ids.sort();
        ids
    };
    assert_eq!(held(&node, "all"), (sorted(&[&dev, &prod]), false));
    assert_eq!(held(&node, "prod"), (vec![prod.clone()], true));

    let (new, _) = tokio::join!(client.subaccount("new"), node.publish());
    assert_eq!(held(&node, "all"), (sorted(&[&dev, &prod, &new]), false));
    assert_eq!(held(&node, "prod"), (vec![prod.clone()], true));

    let path = format!("/v1/subaccounts/{prod}");
    let (answer, _) = tokio::join!(client.delete(&path), node.publish());
    assert_eq!(answer.enforcement(), (1, 1));
    assert_eq!(held(&node, "all"), (sorted(&[&dev, &new]), false));
    assert_eq!(
        held(&node, "prod"),
        (vec![], true),
        "a key that was kept to one does not get all"
    );
    let shown = client.get("/v1/keys?limit=1").await;
    assert_eq!(shown.at("/data/keys/0/allowed_subaccounts"), &json!([prod]));
}

#[tokio::test]
async fn key_is_confined_to_its_owners_subaccounts() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let [dev, prod] = [
        admin.subaccount("dev").await,
        admin.subaccount("prod").await,
    ];
    let holding = json!({"permissions": ["account:*"], "subaccounts": [dev, prod]});
    let path = admin.user("zoe@localhost", holding).await;
    let zoe = plane.client("zoe@localhost").await;
    zoe.key("all of hers").await;
    zoe.generate(json!({"name": "prod", "allowed_subaccounts": [prod]}))
        .await;
    admin.patch(&path, json!({"subaccounts": [dev]})).await;
    let node = Node::ready(&plane).await;
    for (name, expected) in [("all of hers", vec![dev.clone()]), ("prod", vec![])] {
        let policy = node.snapshot.policy(name);
        assert_eq!(
            (&policy.subaccounts, policy.confined),
            (&expected, true),
            "{name}"
        );
    }

    let listed = zoe.get("/v1/subaccounts").await;
    assert_eq!(listed.number("/data/total"), 1);
    assert_eq!(listed.text("/data/subaccounts/0/subaccount_id"), dev);
    let path = format!("/v1/subaccounts/{prod}");
    zoe.get(&path).await.refused(404, "subaccount_not_found");
    zoe.patch(&path, json!({"name": "hers"}))
        .await
        .refused(404, "subaccount_not_found");
    zoe.delete(&path).await.refused(404, "subaccount_not_found");
    assert_eq!(
        zoe.delete(&format!("/v1/subaccounts/{dev}")).await.status,
        StatusCode::OK
    );
}
