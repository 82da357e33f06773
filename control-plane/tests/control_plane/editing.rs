//! Tests `PATCH /v1/keys/{id}`.

use crate::harness::{Answer, Plane};
use crate::node::Node;
use latchkey_policy::limit::{Limits, Window};
use reqwest::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn key_is_edited_field_by_field() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let body = json!({"name": "CI", "description": "old", "limits": {"minute": 5, "day": 50}, "denied_ips": ["::1"]});
    let made = client.generate(body).await;
    let path = format!("/v1/keys/{}", made.text("/data/key_id"));
    plane.clock.advance(60);
    let mut expected = made.at("/data").clone();
    for field in ["api_key", "enforcement"] {
        expected.as_object_mut().unwrap().remove(field);
    }
    expected["updated_at"] = json!("2027-01-15T08:01:00Z");
    for (change, field, value) in [
        (json!({"name": " new "}), "name", json!("new")),
        (json!({"description": "new"}), "description", json!("new")),
        (json!({"description": null}), "description", Value::Null),
        (
            json!({"expires_at": 1_800_003_600}),
            "expires_at",
            json!("2027-01-15T09:00:00Z"),
        ),
        (json!({"expires_at": null}), "expires_at", Value::Null),
        (
            json!({"allowed_ips": ["10.0.0.1"]}),
            "allowed_ips",
            json!([{"cidr": "10.0.0.1/32", "enabled": true}]),
        ),
        (json!({"denied_ips": []}), "denied_ips", json!([])),
        (json!({"active": false}), "active", json!(false)),
        (json!({"active": true}), "active", json!(true)),
        (
            json!({"limits": {"hour": 20}}),
            "limits",
            json!({"minute": 5, "hour": 20, "day": 50}),
        ),
        (
            json!({"limits": {"day": null, "hour": 30}}),
            "limits",
            json!({"minute": 5, "hour": 30}),
        ),
        (
            json!({"limits": {"minute": 6, "hour": null}}),
            "limits",
            json!({"minute": 6}),
        ),
    ] {
        expected[field] = value;
        expected["rate_limit"] = expected["limits"]["minute"].clone();
        expected["disabled"] = json!(expected["active"] == false);
        for list in ["allowed_ips", "denied_ips"] {
            expected[format!("{list}_count")] = json!(expected[list].as_array().unwrap().len());
        }
        let edited = client.patch(&path, change.clone()).await;
        assert_eq!(edited.status, StatusCode::OK, "{change}: {edited:?}");
        let mut shown = client.get(&path).await.at("/data").clone();
        shown.as_object_mut().unwrap().remove("usage");
        assert_eq!(shown, expected, "{change}");
        let mut answer = edited.at("/data").clone();
        answer.as_object_mut().unwrap().remove("enforcement");
        assert_eq!(
            (edited.enforcement(), answer),
            ((0, 0), expected.clone()),
            "{change}"
        );
    }
    let all = client.patch(&path, json!({"limits": null})).await;
    assert_eq!(
        (all.at("/data/limits"), all.number("/data/rate_limit")),
        (&json!({"minute": 100}), 100)
    );
}

#[tokio::test]
async fn repeated_edit_waits_for_the_earlier_one() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let path = format!("/v1/keys/{}", client.key("CI").await);
    let change = json!({"active": false, "limits": {"minute": 5}});
    let first = client.patch(&path, change.clone()).await;
    client.key("another").await;
    let revision = plane.store().revision();
    plane.clock.advance(60);
    for change in [change, json!({})] {
        let again = client.patch(&path, change).await;
        assert_eq!(
            again.at("/data/enforcement/revision"),
            first.at("/data/enforcement/revision")
        );
        assert_eq!(again.at("/data/updated_at"), first.at("/data/updated_at"));
    }
    assert_eq!(plane.store().revision(), revision);
}

#[tokio::test]
async fn weaker_user_may_only_narrow_a_key() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let [dev, prod] = [
        admin.subaccount("dev").await,
        admin.subaccount("prod").await,
    ];
    let holding = json!({"permissions": ["account:apikeys:*", "dns:read"], "subaccounts": [dev]});
    admin.user("zoe@localhost", holding).await;
    let zoe = plane.client("zoe@localhost").await;
    let made = |name: &str, permission: &str, subaccounts: Value| {
        json!({
            "name": name, "permissions": [permission], "allowed_subaccounts": subaccounts, "limits": {"hour": 50},
            "expires_at": 1_900_000_000, "allowed_ips": ["10.0.0.0/8"],
        })
    };
    let made_by_zoe = zoe
        .generate(made("hers", "dns:read", json!([])))
        .await
        .text("/data/key_id");
    let mut keys = vec![(made_by_zoe, None)];
    for (name, permission, subaccounts, refusal) in [
        (
            "more",
            "dns:write",
            json!([dev]),
            Some("missing_permission"),
        ),
        (
            "elsewhere",
            "dns:read",
            json!([dev, prod]),
            Some("subaccount_denied"),
        ),
        (
            "everywhere",
            "dns:read",
            json!([]),
            Some("subaccount_denied"),
        ),
        ("less", "dns:read", json!([dev]), None),
    ] {
        let answer = admin.generate(made(name, permission, subaccounts)).await;
        keys.push((answer.text("/data/key_id"), refusal));
    }
    for (id, refusal) in keys {
        let path = format!("/v1/keys/{id}");
        for narrower in [
            json!({"active": false, "description": "off"}),
            json!({"expires_at": 1_850_000_000, "name": format!("of {id}"), "active": false}),
            json!({"limits": {"minute": 99, "hour": 40, "day": 1_000_000}}),
            json!({"limits": {"minute": 99}, "allowed_ips": ["10.0.0.0/8"]}),
            json!({"allowed_ips": ["10.0.0.0/9", "10.128.0.0/9"], "denied_ips": ["192.0.2.1"]}),
        ] {
            let answer = zoe.patch(&path, narrower.clone()).await;
            assert_eq!(answer.status, StatusCode::OK, "{narrower}: {answer:?}");
        }
        for wider in [
            json!({"active": true}),
            json!({"expires_at": 1_850_000_001}),
            json!({"expires_at": null}),
            json!({"allowed_ips": []}),
            json!({"allowed_ips": ["10.0.0.0/8", "192.0.2.1"]}),
            json!({"limits": {"minute": 100}}),
            json!({"limits": {"hour": 41}}),
            json!({"limits": {"day": null}}),
            json!({"limits": null}),
            json!({"limits": {"month": 1}, "active": true}),
        ] {
            let before = admin.get(&path).await;
            let answer = zoe.patch(&path, wider.clone()).await;
            let Some(code) = refusal else {
                assert_eq!(answer.status, StatusCode::OK, "{wider}: {answer:?}");
                // Undoes the edit before the next one.
                let names = ["active", "expires_at", "allowed_ips", "denied_ips"];
                let mut undo: Value = names
                    .map(|name| (name, before.body["data"][name].clone()))
                    .into_iter()
                    .collect();
                undo["limits"] = json!({"minute": 99, "hour": 40, "day": 1_000_000, "month": null});
                assert_eq!(admin.patch(&path, undo).await.status, StatusCode::OK);
                continue;
            };
            answer.refused(403, code);
            assert_eq!(admin.get(&path).await.body, before.body, "{wider}");
        }
    }
}

#[tokio::test]
async fn immutable_attribute_is_refused_with_advice() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let path = format!("/v1/keys/{}", client.key("CI").await);
    let revision = plane.store().revision();
    for (field, value) in [
        ("scope", json!("all")),
        ("scope", Value::Null),
        ("roles", json!([])),
        ("permissions", json!(["dns:read"])),
        ("allowed_subaccounts", json!([])),
        ("environment", json!("test")),
        ("tier", json!("pro")),
        ("api_key", json!("lk_live_0")),
        ("secret", json!("x")),
        ("sha256", json!("x")),
    ] {
        let answer: Answer = client
            .patch(&path, json!({"name": "new", field: value}))
            .await;
        answer.refused_by(400, "invalid_request", field);
        assert!(
            answer
                .text("/error")
                .contains("revoke the key and create another one"),
            "{answer:?}"
        );
    }
    for (body, field) in [
        (json!({"name": ""}), "name"),
        (json!({"name": null}), "name"),
        (json!({"description": "x".repeat(501)}), "description"),
        (json!({"expires_at": 1}), "expires_at"),
        (json!({"allowed_ips": null}), "allowed_ips"),
        (json!({"denied_ips": ["x"]}), "denied_ips[0]"),
        (json!({"active": "yes"}), "active"),
        (json!({"limits": {"minute": 0}}), "limits.minute"),
        (json!({"owner": "usr_1"}), "owner"),
    ] {
        client
            .patch(&path, body)
            .await
            .refused_by(400, "invalid_request", field);
    }
    assert_eq!(plane.store().revision(), revision);
    assert_eq!(client.get(&path).await.text("/data/name"), "CI");
}

/// The name stays unique among the other keys.
#[tokio::test]
async fn revoked_key_cannot_be_edited() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client.key("taken").await;
    let path = format!("/v1/keys/{}", client.key("CI").await);
    client
        .patch(&path, json!({"name": "taken"}))
        .await
        .refused_by(409, "name_taken", "name");
    client.delete(&path).await;
    client
        .patch(&path, json!({"active": true}))
        .await
        .refused(409, "key_revoked");
    client
        .patch("/v1/keys/key_000000000000", json!({}))
        .await
        .refused(404, "key_not_found");
    client
        .patch("/v1/keys/%ff", json!({}))
        .await
        .refused(404, "key_not_found");
}

#[tokio::test]
async fn edited_key_moves_to_a_matching_policy() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let [one, two] =
        [client.key("one").await, client.key("two").await].map(|id| format!("/v1/keys/{id}"));
    let mut node = Node::ready(&plane).await;
    let (shared, slot) = (
        node.snapshot.key("one").policy,
        node.snapshot.key("one").slot,
    );
    let limit = json!({"limits": {"minute": 3}});

    let (answer, _) = tokio::join!(client.patch(&one, limit.clone()), node.publish());
    assert_eq!(answer.enforcement(), (1, 1));
    assert_eq!(
        node.snapshot.policy("one").limits,
        Limits::default().with(Window::Minute, Some(3))
    );
    assert_eq!(
        (
            node.snapshot.key("two").policy,
            node.snapshot.policies.len()
        ),
        (shared, 2)
    );
    assert_eq!(
        node.snapshot.key("one").slot,
        slot,
        "it is counted where it was"
    );

    tokio::join!(client.patch(&two, limit), node.publish());
    assert_eq!(
        node.snapshot.key("two").policy,
        node.snapshot.key("one").policy
    );
    assert_eq!(
        node.snapshot.policies.len(),
        1,
        "nobody has the first one any more"
    );

    tokio::join!(
        client.patch(&one, json!({"limits": null, "active": false})),
        node.publish()
    );
    assert_eq!(node.snapshot.key("one").policy, shared, "it is there again");
    assert!(node.snapshot.key("one").disabled && !node.snapshot.key("two").disabled);

    tokio::join!(
        client.patch(
            &one,
            json!({"name": "renamed", "expires_at": 1_900_000_000})
        ),
        node.publish()
    );
    let key = node.snapshot.key("renamed");
    assert_eq!((key.policy, key.expires_at), (shared, Some(1_900_000_000)));
    assert_eq!(node.snapshot, Node::ready(&plane).await.snapshot);
}
