//! Tests `/v1/services`, and that scopes can only name existing services.

use crate::accounts::audited;
use crate::harness::Plane;
use crate::node::Node;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn service_is_registered_described_and_deleted() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let body = json!({"name": "dns", "description": "Zones and records"});
    let made = client.send(Method::POST, "/v1/services", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let mut expected = json!({"name": "dns", "description": "Zones and records", "created_at": "2027-01-15T08:00:00Z"});
    assert_eq!(made.at("/data"), &expected);
    client.service("cdn").await;
    assert_eq!(
        client.get("/v1/services/cdn").await.at("/data/description"),
        &Value::Null
    );
    let listed = client.get("/v1/services?search=zones").await;
    assert_eq!(
        listed.at("/data"),
        &json!({"services": [expected], "total": 1, "total_is_estimate": false, "next_cursor": null})
    );
    expected["description"] = json!("DNS");
    for change in [json!({"description": "DNS"}), json!({})] {
        assert_eq!(
            client.patch("/v1/services/dns", change).await.at("/data"),
            &expected
        );
    }
    for (body, status, code, field) in [
        (json!({"name": "dns"}), 409, "name_taken", "name"),
        (json!({"name": "latchkey"}), 400, "invalid_request", "name"),
        (json!({"name": "DNS"}), 400, "invalid_request", "name"),
        (json!({"name": ""}), 400, "invalid_request", "name"),
        (json!({}), 400, "invalid_request", "name"),
        (
            json!({"name": "x", "description": "x".repeat(501)}),
            400,
            "invalid_request",
            "description",
        ),
        (json!({"name": "x", "id": 1}), 400, "invalid_request", "id"),
    ] {
        client
            .send(Method::POST, "/v1/services", body)
            .await
            .refused_by(status, code, field);
    }
    client
        .patch("/v1/services/dns", json!({"name": "x"}))
        .await
        .refused_by(400, "invalid_request", "name");
    assert_eq!(
        client.delete("/v1/services/dns").await.text("/data/name"),
        "dns"
    );
    for path in ["/v1/services/dns", "/v1/services/%ff"] {
        client.get(path).await.refused(404, "service_not_found");
        client
            .patch(path, json!({}))
            .await
            .refused(404, "service_not_found");
        client.delete(path).await.refused(404, "service_not_found");
    }
    assert_eq!(client.get("/v1/services").await.number("/data/total"), 1);
    let expected = [
        "user.create",
        "service.create",
        "service.create",
        "service.update",
        "service.delete",
    ];
    assert_eq!(audited(&plane).await, expected);
}

#[tokio::test]
async fn scope_names_registered_services() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client.service("dns").await;
    let refused = client
        .generate(json!({"name": "x", "scope": ["dns", "cdn"]}))
        .await;
    refused.refused_by(400, "invalid_request", "scope[1]");
    assert!(
        refused.text("/error").contains("POST /v1/services"),
        "{refused:?}"
    );
    let made = client
        .generate(json!({"name": "CI", "scope": ["dns", "latchkey"]}))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    client.key("all").await;
    client
        .delete("/v1/services/dns")
        .await
        .refused(409, "service_in_use");
    let revision = plane.store().revision();
    client.service("cdn").await;
    assert_eq!(
        plane.store().revision(),
        revision,
        "no node has anything to do with it"
    );
    client
        .delete(&format!("/v1/keys/{}", made.text("/data/key_id")))
        .await;
    assert_eq!(
        client.delete("/v1/services/dns").await.status,
        StatusCode::OK
    );
    let node = Node::ready(&plane).await;
    assert_eq!(
        node.snapshot.policy("all").services,
        None,
        "all is also what comes later"
    );
}

#[tokio::test]
async fn services_are_bounded_per_account() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999) \
         INSERT INTO services (account_id, name, created_at) SELECT ?, printf('s%d', i), 5 FROM n";
    sqlx::query(fill)
        .bind(&plane.owner().await.0)
        .execute(&plane.pool().await)
        .await
        .unwrap();
    client.service("last").await;
    let answer = client
        .send(Method::POST, "/v1/services", json!({"name": "more"}))
        .await;
    answer.refused(403, "service_limit");
    assert!(answer.text("/error").contains("1000"), "{answer:?}");
    client.delete("/v1/services/last").await;
    client.service("more").await;
}
