//! Tests the permissions of a key: shown as they were requested, and sent to nodes in their
//! effective form.

use crate::harness::Plane;
use crate::node::Node;
use latchkey_policy::limit::{Limits, Window};
use reqwest::StatusCode;
use serde_json::json;

#[tokio::test]
async fn key_is_sent_with_all_attributes() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let [dev, prod] = [
        client.subaccount("dev").await,
        client.subaccount("prod").await,
    ];
    client.service("dns").await;
    client.service("cdn").await;
    let asked = json!({
        "name": "CI", "scope": ["dns", "cdn"], "roles": ["dns_manager", "cache_purger"],
        "permissions": ["vm:read", "account:apikeys:read"], "allowed_subaccounts": [prod],
        "limits": {"minute": 5, "month": 4_294_967_295_u64},
    });
    let answer = client.generate(asked.clone()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let shown = client
        .get(&format!("/v1/keys/{}", answer.text("/data/key_id")))
        .await;
    for field in [
        "scope",
        "roles",
        "permissions",
        "allowed_subaccounts",
        "limits",
    ] {
        assert_eq!(
            shown.at(&format!("/data/{field}")),
            &asked[field],
            "{field}"
        );
        assert_eq!(
            answer.at(&format!("/data/{field}")),
            &asked[field],
            "{field}"
        );
    }
    assert_eq!(shown.number("/data/rate_limit"), 5);
    client.key("plain").await;

    let node = Node::ready(&plane).await;
    let policy = node.snapshot.policy("CI");
    let texts = |patterns: &[latchkey_policy::permission::Pattern]| {
        patterns.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        policy.services.as_deref(),
        Some(&["cdn".to_owned(), "dns".to_owned()][..])
    );
    assert_eq!(policy.roles, ["cache_purger", "dns_manager"]);
    assert_eq!(
        texts(&policy.grants),
        ["account:apikeys:read", "cache:purge", "dns:*", "vm:read"]
    );
    assert_eq!(texts(&policy.owner_grants), ["*"]);
    assert_eq!(
        (policy.subaccounts.as_slice(), policy.confined),
        (&[prod.clone()][..], true)
    );
    let limits = Limits::default()
        .with(Window::Minute, Some(5))
        .with(Window::Month, Some(u32::MAX));
    assert_eq!(policy.limits, limits);

    let plain = node.snapshot.policy("plain");
    assert_eq!(
        (
            plain.services.as_deref(),
            plain.roles.len(),
            plain.grants.len()
        ),
        (None, 0, 0)
    );
    let mut all = [dev, prod];
    all.sort();
    assert_eq!(
        (plain.subaccounts.as_slice(), plain.confined),
        (&all[..], false)
    );
    assert_eq!(
        plain.limits,
        Limits::default().with(Window::Minute, Some(100))
    );
}

#[tokio::test]
async fn list_order_does_not_change_the_policy() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    for service in ["dns", "cdn", "vm"] {
        client.service(service).await;
    }
    for (name, scope, permissions) in [
        ("one", ["dns", "cdn"], ["a:b", "c:d"]),
        ("two", ["cdn", "dns"], ["c:d", "a:b"]),
        ("three", ["cdn", "vm"], ["c:d", "a:b"]),
    ] {
        client
            .generate(json!({"name": name, "scope": scope, "permissions": permissions}))
            .await;
    }
    let node = Node::ready(&plane).await;
    assert_eq!(
        node.snapshot.key("one").policy,
        node.snapshot.key("two").policy
    );
    assert_eq!(node.snapshot.policies.len(), 2);
}

#[tokio::test]
async fn scoped_account_keys_body_is_accepted() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let body = json!({
        "name": "CI pipeline", "permissions": ["datacenter_shared:read", "account:apikeys:read"],
        "allowed_subaccounts": [], "allowed_ips": ["203.0.113.7", "10.0.0.0/8"], "expires_at": 1_900_000_000,
    });
    let answer = client.generate(body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    assert_eq!(
        answer.at("/data/permissions"),
        &json!(["datacenter_shared:read", "account:apikeys:read"])
    );
    assert_eq!(answer.at("/data/allowed_subaccounts"), &json!([]));
    let forever = client
        .generate(json!({"name": "x", "permissions": [], "expires_at": null}))
        .await;
    assert_eq!(forever.status, StatusCode::CREATED, "{forever:?}");
}

#[tokio::test]
async fn slots_are_reused_and_unique() {
    let plane = Plane::start().await;
    let account = &plane.owner().await.0;
    let first = plane.create_keys("first", 5).await;
    let gone: Vec<_> = first
        .iter()
        .skip(1)
        .step_by(2)
        .map(|(_, id)| id.clone())
        .collect();
    plane.store().revoke_keys(account, &gone, 0).await.unwrap();
    plane.create_keys("second", 3).await;
    let node = Node::ready(&plane).await;
    let mut slots: Vec<_> = node.snapshot.keys.values().map(|key| key.slot).collect();
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2, 3, 4, 5], "six keys at most lived at once");
    let mut numbers: Vec<_> = node.snapshot.keys.values().map(|key| key.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 3, 5, 6, 7, 8], "numbers are never used again");

    let all: Vec<_> = node
        .snapshot
        .keys
        .values()
        .map(|key| key.id.clone())
        .collect();
    plane.store().revoke_keys(account, &all, 0).await.unwrap();
    plane.create_keys("third", 7).await;
    let node = Node::ready(&plane).await;
    let mut slots: Vec<_> = node.snapshot.keys.values().map(|key| key.slot).collect();
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2, 3, 4, 5, 6]);
}
