//! Tests `/v1/tiers`.

use crate::harness::Plane;
use crate::node::Node;
use latchkey_policy::limit::{Limits, Window};
use reqwest::StatusCode;
use serde_json::{Value, json};

fn contract() -> Value {
    json!({"tiers": [
        {"name": "free", "limits": {"minute": 10}}, {"name": "basic", "limits": {"minute": 100}},
        {"name": "pro", "limits": {"minute": 1_000}}, {"name": "enterprise", "limits": {"minute": 10_000}},
    ]})
}

#[tokio::test]
async fn contract_tiers_exist_until_replaced() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    assert_eq!(client.get("/v1/tiers").await.at("/data"), &contract());
    let others = json!({"tiers": [
        {"name": "gold", "limits": {"day": 5, "month": 4_294_967_295_u64}}, {"name": "basic", "limits": {}},
    ]});
    let put = client.put("/v1/tiers", others.clone()).await;
    assert_eq!((put.status, put.enforcement()), (StatusCode::OK, (0, 0)));
    assert_eq!(put.at("/data/tiers"), &others["tiers"]);
    assert_eq!(client.get("/v1/tiers").await.at("/data"), &others);

    let gold = client
        .generate(json!({"name": "gold", "tier": "gold", "limits": {"day": 3}}))
        .await;
    assert_eq!(
        gold.at("/data/limits"),
        &json!({"day": 3, "month": 4_294_967_295_u64})
    );
    assert_eq!(gold.at("/data/rate_limit"), &Value::Null);
    let basic = client.generate(json!({"name": "basic"})).await;
    assert_eq!(
        basic.at("/data/limits"),
        &json!({}),
        "no limit, as the operator says"
    );
    let unknown = client.generate(json!({"name": "x", "tier": "pro"})).await;
    unknown.refused_by(400, "invalid_request", "tier");
    assert_eq!(
        unknown.text("/error"),
        "Field `tier` must be one of gold, basic."
    );
}

#[tokio::test]
async fn tier_in_use_cannot_be_removed() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client
        .generate(json!({"name": "CI", "tier": "pro"}))
        .await
        .text("/data/key_id");
    let without = |name: &str| {
        let mut all = contract();
        all["tiers"]
            .as_array_mut()
            .unwrap()
            .retain(|tier| tier["name"] != name);
        all
    };
    let revision = plane.store().revision();
    for name in ["pro", "basic"] {
        let refused = client.put("/v1/tiers", without(name)).await;
        refused.refused_by(409, "tier_in_use", "tiers");
        assert!(
            refused.text("/error").contains(&format!("`{name}`")),
            "{refused:?}"
        );
    }
    assert_eq!(client.get("/v1/tiers").await.at("/data"), &contract());
    assert_eq!(plane.store().revision(), revision);

    let mut node = Node::ready(&plane).await;
    client.delete(&format!("/v1/keys/{id}?wait_ms=0")).await;
    assert_eq!(
        client
            .put("/v1/tiers?wait_ms=0", without("pro"))
            .await
            .status,
        StatusCode::OK
    );
    node.catch_up(plane.store().revision()).await;
    assert!(
        node.snapshot.policies.is_empty(),
        "a policy of a deleted tier is reported as removed"
    );
    assert_eq!(
        client
            .get(&format!("/v1/keys/{id}"))
            .await
            .at("/data/limits"),
        &json!({})
    );
}

#[tokio::test]
async fn new_tier_limits_reach_only_its_keys() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    for body in [
        json!({"name": "basic"}),
        json!({"name": "own", "limits": {"hour": 7}}),
        json!({"name": "pro", "tier": "pro"}),
    ] {
        client.generate(body).await;
    }
    let mut node = Node::ready(&plane).await;
    let pro = node.snapshot.policy("pro").clone();
    let mut others = contract();
    others["tiers"][1]["limits"] = json!({"minute": 50, "hour": 60});
    let (answer, batches) = tokio::join!(client.put("/v1/tiers", others), node.publish());
    assert_eq!(answer.enforcement(), (1, 1));
    let limits = Limits::default().with(Window::Minute, Some(50));
    assert_eq!(
        node.snapshot.policy("basic").limits,
        limits.with(Window::Hour, Some(60))
    );
    assert_eq!(
        node.snapshot.policy("own").limits,
        limits.with(Window::Hour, Some(7))
    );
    assert_eq!(node.snapshot.policy("pro"), &pro);
    let sent = latchkey_policy::record::Records::new(
        latchkey_policy::record::Kind::Policy,
        &batches[0].policies,
    );
    assert_eq!(sent.count(), 2);
}

#[tokio::test]
async fn bad_tiers_are_refused_by_field() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let tier = |name: &str| json!({"name": name, "limits": {"minute": 1}});
    for (body, field) in [
        (json!({}), "tiers"),
        (json!({"tiers": {}}), "tiers"),
        (json!({"tiers": [], "tier": 1}), "tier"),
        (json!({"tiers": [["free", {"minute": 1}]]}), "tiers[0]"),
        (
            json!({"tiers": [tier("free"), tier("Free")]}),
            "tiers[1].name",
        ),
        (json!({"tiers": [tier("free"), tier("")]}), "tiers[1].name"),
        (
            json!({"tiers": [tier("free"), tier("free")]}),
            "tiers[1].name",
        ),
        (json!({"tiers": [{"name": "free"}]}), "tiers[0].limits"),
        (
            json!({"tiers": [{"name": "free", "limits": null}]}),
            "tiers[0].limits",
        ),
        (
            json!({"tiers": [{"name": "free", "limits": {"minute": 0}}]}),
            "tiers[0].limits.minute",
        ),
        (
            json!({"tiers": [{"name": "free", "limits": {"week": 1}}]}),
            "tiers[0].limits.week",
        ),
        (json!({"tiers": vec![tier("free"); 257]}), "tiers"),
    ] {
        client
            .put("/v1/tiers", body)
            .await
            .refused_by(400, "invalid_request", field);
    }
    assert_eq!(client.get("/v1/tiers").await.at("/data"), &contract());
    assert_eq!(plane.store().revision(), 1);
}
