//! The permissions of a key: (its roles ∪ its own permissions) ∩ those that its owner holds now;
//! and its services.

use std::time::{Duration, Instant};

use latchkey_tests::{Gateway, Load, Sample, User, request};
use reqwest::Method;
use serde_json::{Value, json};

/// Starts a gateway where each permission has a path, such as `/dns:read`, and each service too,
/// such as `/service/dns`.
async fn gateway() -> Gateway {
    let gateway = Gateway::start().await;
    let permissions = [
        "dns:read",
        "dns:write",
        "cache:purge",
        "billing:invoices:read",
        "datacenter_shared:read",
    ];
    let permissions = permissions
        .map(|name| json!({ "path": { "exact": format!("/{name}") }, "permission": name }));
    let services = ["dns", "cdn"];
    let services = services
        .map(|name| json!({ "path": { "prefix": format!("/service/{name}") }, "service": name }));
    let both = json!({ "path": { "exact": "/both" }, "service": "dns", "permission": "dns:read" });
    let rules: Vec<Value> = permissions
        .into_iter()
        .chain(services)
        .chain([both])
        .collect();
    gateway
        .control_plane
        .put_routes(json!({ "rules": rules }))
        .await
        .unwrap();
    gateway
}

async fn owner(gateway: &Gateway) -> User {
    let owner = json!({ "email": "owner@example.com", "roles": ["admin"] });
    gateway.control_plane.create_user(owner).await.unwrap()
}

/// Changes the owner's roles and permissions, and waits until the change is in force.
async fn owner_has(gateway: &Gateway, owner: &User, roles: &[&str], permissions: &[&str]) {
    let change = json!({ "roles": roles, "permissions": permissions });
    let path = format!("/v1/users/{}", owner.user_id);
    let enforcement = gateway
        .control_plane
        .change(Method::PATCH, &path, change)
        .await
        .unwrap();
    assert_eq!(
        (enforcement.nodes, enforcement.acknowledged),
        (1, 1),
        "{enforcement:?}"
    );
}

/// A rule, the roles and permissions of the key and of its owner, the paths that they open, and
/// paths that they do not.
struct Case {
    rule: &'static str,
    key: (&'static [&'static str], &'static [&'static str]),
    owner: (&'static [&'static str], &'static [&'static str]),
    opens: &'static [&'static str],
    keeps_shut: &'static [&'static str],
}

const CASES: [Case; 11] = [
    Case {
        rule: "a key without roles and permissions opens what asks for neither",
        key: (&[], &[]),
        owner: (&["admin"], &[]),
        opens: &["/", "/service/dns", "/service/cdn"],
        keeps_shut: &["/dns:read", "/cache:purge", "/both"],
    },
    Case {
        rule: "a role opens what its pattern matches",
        key: (&["dns_manager"], &[]),
        owner: (&["admin"], &[]),
        opens: &["/dns:read", "/dns:write", "/both"],
        keeps_shut: &["/cache:purge", "/billing:invoices:read"],
    },
    Case {
        rule: "a permission of the key's own opens itself alone",
        key: (&[], &["dns:read"]),
        owner: (&["admin"], &[]),
        opens: &["/dns:read"],
        keeps_shut: &["/dns:write", "/datacenter_shared:read"],
    },
    Case {
        rule: "roles and own permissions add up",
        key: (&["cache_purger"], &["dns:write"]),
        owner: (&["admin"], &[]),
        opens: &["/cache:purge", "/dns:write"],
        keeps_shut: &["/dns:read"],
    },
    Case {
        rule: "a star stands for one segment or more, at the end",
        key: (&[], &["billing:*"]),
        owner: (&["admin"], &[]),
        opens: &["/billing:invoices:read"],
        keeps_shut: &["/dns:read"],
    },
    Case {
        rule: "a star stands for one segment or more, in front",
        key: (&["read_only_admin"], &[]),
        owner: (&["admin"], &[]),
        opens: &[
            "/dns:read",
            "/billing:invoices:read",
            "/datacenter_shared:read",
        ],
        keeps_shut: &["/dns:write", "/cache:purge"],
    },
    Case {
        rule: "an administrator's key opens everything",
        key: (&["admin"], &[]),
        owner: (&["admin"], &[]),
        opens: &[
            "/dns:read",
            "/dns:write",
            "/cache:purge",
            "/billing:invoices:read",
            "/datacenter_shared:read",
        ],
        keeps_shut: &[],
    },
    Case {
        rule: "what the owner does not hold any more, the key's role does not open",
        key: (&["dns_manager"], &[]),
        owner: (&["cache_purger"], &["dns:read"]),
        opens: &["/dns:read"],
        keeps_shut: &["/dns:write", "/cache:purge"],
    },
    Case {
        rule: "what the owner does not hold any more, the key's own permission does not open",
        key: (&[], &["dns:read", "cache:purge"]),
        owner: (&[], &["cache:*"]),
        opens: &["/cache:purge"],
        keeps_shut: &["/dns:read"],
    },
    Case {
        rule: "what the owner alone holds, the key does not open",
        key: (&[], &["dns:read"]),
        owner: (&["admin"], &["cache:purge"]),
        opens: &["/dns:read"],
        keeps_shut: &["/cache:purge", "/dns:write"],
    },
    Case {
        rule: "an owner who holds nothing opens nothing that asks for something",
        key: (&["admin"], &["dns:read"]),
        owner: (&[], &[]),
        opens: &["/", "/service/dns"],
        keeps_shut: &["/dns:read", "/cache:purge"],
    },
];

#[tokio::test]
async fn permission_rules_hold_at_envoy() {
    let gateway = gateway().await;
    let owner = owner(&gateway).await;
    let mut keys = Vec::new();
    for Case {
        rule,
        key: (roles, permissions),
        ..
    } in &CASES
    {
        let key = json!({ "name": rule, "roles": roles, "permissions": permissions });
        keys.push(
            gateway
                .control_plane
                .create_key_of(&owner, key)
                .await
                .unwrap()
                .api_key,
        );
    }
    for (
        Case {
            rule,
            owner: (roles, permissions),
            opens,
            keeps_shut,
            ..
        },
        key,
    ) in CASES.iter().zip(&keys)
    {
        owner_has(&gateway, &owner, roles, permissions).await;
        for path in *opens {
            let answer = gateway.ask(path, Some(key)).await;
            assert_eq!(answer.status, 200, "{rule}: {path}: {}", answer.body);
        }
        for path in *keeps_shut {
            let answer = gateway.ask(path, Some(key)).await;
            assert_eq!(
                (answer.status, answer.code()),
                (403, "missing_permission"),
                "{rule}: {path}"
            );
        }
    }
    owner_has(&gateway, &owner, &["admin"], &[]).await;
    assert_eq!(
        gateway.ask("/dns:write", Some(&keys[1])).await.status,
        200,
        "what came back is there again"
    );
}

#[tokio::test]
async fn scope_is_all_services_or_a_list() {
    let gateway = gateway().await;
    let table = [
        ("left out, it is all", json!({}), [200, 200]),
        (
            "all, those of later rules too",
            json!({ "scope": "all" }),
            [200, 200],
        ),
        ("a list", json!({ "scope": ["dns"] }), [200, 403]),
        (
            "a list of several",
            json!({ "scope": ["vm", "cdn", "dns"] }),
            [200, 200],
        ),
        (
            "a list of what no rule names",
            json!({ "scope": ["vm"] }),
            [403, 403],
        ),
    ];
    for (rule, mut key, statuses) in table {
        key["name"] = rule.into();
        let key = gateway.control_plane.create_key(key).await.unwrap().api_key;
        for (service, status) in ["dns", "cdn"].into_iter().zip(statuses) {
            let answer = gateway
                .ask(&format!("/service/{service}"), Some(&key))
                .await;
            assert_eq!(answer.status, status, "{rule}: {service}: {}", answer.body);
            assert_eq!(
                answer.code(),
                if status == 200 { "" } else { "out_of_scope" },
                "{rule}: {service}"
            );
        }
        assert_eq!(
            gateway.ask("/", Some(&key)).await.status,
            200,
            "{rule}: where no service is asked for"
        );
    }
}

/// Demotes or disables the owner of many keys while all of them are in use. No request that starts
/// after the API's answer passes.
async fn after_the_answer_every_key_is_refused(change: Value, status: u16, code: &str) {
    const KEYS: usize = 16;
    let gateway = gateway().await;
    let owner = owner(&gateway).await;
    let mut keys = Vec::new();
    for number in 0..KEYS {
        let key = json!({ "name": format!("key {number}"), "roles": ["dns_manager"], "limits": { "minute": u32::MAX } });
        keys.push(
            gateway
                .control_plane
                .create_key_of(&owner, key)
                .await
                .unwrap()
                .api_key,
        );
    }
    let requests = keys
        .iter()
        .map(|key| request("GET", "/dns:read", &[("x-api-key", key)]));
    let load = Load::start(gateway.envoy.gateway(), requests);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let path = format!("/v1/users/{}", owner.user_id);
    let enforcement = gateway
        .control_plane
        .change(Method::PATCH, &path, change)
        .await
        .unwrap();
    let answered = Instant::now();
    assert_eq!(
        (enforcement.nodes, enforcement.acknowledged),
        (1, 1),
        "{enforcement:?}"
    );
    for key in &keys {
        let answer = gateway.ask("/dns:read", Some(key)).await;
        assert_eq!((answer.status, answer.code()), (status, code));
    }
    for samples in load.stop().await {
        let (after, before): (Vec<Sample>, Vec<Sample>) = samples
            .into_iter()
            .partition(|sample| sample.start > answered);
        assert!(
            before.iter().any(|sample| sample.status == 200),
            "{before:?}"
        );
        assert!(
            !after.is_empty() && after.iter().all(|sample| sample.status == status),
            "{after:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demoted_owners_keys_are_refused() {
    let demoted = json!({ "roles": ["billing_manager"] });
    after_the_answer_every_key_is_refused(demoted, 403, "missing_permission").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabled_owners_keys_are_refused() {
    after_the_answer_every_key_is_refused(json!({ "disabled": true }), 401, "disabled_key").await;
}
