//! Tests regenerations that are refused.

use super::{made, regenerate};
use crate::harness::{Plane, START};
use crate::node::Node;
use reqwest::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn weaker_user_cannot_regenerate_a_key() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let dev = admin.subaccount("dev").await;
    let holding = json!({"permissions": ["account:apikeys:*", "dns:read"], "subaccounts": [dev]});
    admin.user("zoe@localhost", holding).await;
    let zoe = plane.client("zoe@localhost").await;
    for (name, more, code) in [
        (
            "more",
            json!({"permissions": ["dns:write"]}),
            Some("missing_permission"),
        ),
        ("everywhere", json!({}), Some("subaccount_denied")),
        (
            "less",
            json!({"permissions": ["dns:read"], "allowed_subaccounts": [dev]}),
            None,
        ),
    ] {
        let mut body = more;
        body["name"] = json!(name);
        let (id, _) = made(&admin, body).await;
        let revision = plane.store().revision();
        let answer = regenerate(&zoe, &id, json!({})).await;
        match code {
            Some(code) => {
                answer.refused(403, code);
                assert_eq!(plane.store().revision(), revision);
            }
            None => assert_eq!(answer.status, StatusCode::OK, "{answer:?}"),
        }
    }
}

#[tokio::test]
async fn invalid_regeneration_changes_nothing() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let revision = plane.store().revision();
    for overlap in [
        json!(2_592_001),
        json!(-1),
        json!(1.5),
        json!("60"),
        Value::Null,
    ] {
        let refused = regenerate(&client, &id, json!({"overlap_seconds": overlap})).await;
        refused.refused_by(400, "invalid_request", "overlap_seconds");
    }
    regenerate(&client, &id, json!({"overlap": 60}))
        .await
        .refused_by(400, "invalid_request", "overlap");
    for unknown in ["key_000000000000", "import", "%ff"] {
        regenerate(&client, unknown, json!({}))
            .await
            .refused(404, "key_not_found");
    }
    assert_eq!(plane.store().revision(), revision);
    client.regenerate(&id, 2_592_000).await;
}

#[tokio::test]
async fn regenerated_expired_key_needs_later_expiry() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (id, old) = made(&client, json!({"name": "CI", "expires_at": START + 60})).await;
    plane.clock.advance(60);
    let revision = plane.store().revision();
    for body in [json!({}), json!({"overlap_seconds": 3_600})] {
        regenerate(&client, &id, body)
            .await
            .refused(409, "key_expired");
    }
    let past = regenerate(&client, &id, json!({"expires_at": START + 60})).await;
    past.refused_by(400, "invalid_request", "expires_at");
    assert_eq!(plane.store().revision(), revision);

    // Values that are refused without an overlap are also refused with one.
    let body = json!({"expires_at": START + 600, "overlap_seconds": 3_600});
    let answer = regenerate(&client, &id, body).await;
    assert_eq!(answer.text("/data/expires_at"), "2027-01-15T08:10:00Z");
    assert_eq!(answer.at("/data/secrets").as_array().unwrap().len(), 1);
    let node = Node::ready(&plane).await;
    assert!(node.snapshot.by(&old).is_none());
    assert_eq!(
        node.snapshot
            .by(&answer.text("/data/api_key"))
            .unwrap()
            .expires_at,
        Some(START + 600)
    );
    plane.clock.advance(600);
    assert_eq!(
        regenerate(&client, &id, json!({"expires_at": null}))
            .await
            .at("/data/expires_at"),
        &Value::Null
    );
}
