//! Tests `/v1/routes`.

use crate::harness::Plane;
use crate::node::{Node, Snapshot, hello};
use latchkey_policy::route::Unmatched;
use latchkey_policy::settings::SettingsRecord;
use reqwest::StatusCode;
use serde_json::{Value, json};

/// Returns a document with one rule of each kind.
fn rules() -> Value {
    json!({"rules": [
        {"host": "api.example.com", "methods": ["GET", "HEAD"], "path": {"exact": "/health"}, "public": true},
        {"path": {"prefix": "/v4/zones"}, "service": "dns", "permission": "dns:read",
         "subaccount": {"header": "x-subaccount"}},
        {"methods": ["POST"], "path": {"template": "/v4/zones/{zone}/records"}, "service": "dns",
         "permission": "dns:write", "subaccount": {"path": "zone"}},
        {"host": "*.example.com", "path": {"prefix": "/"}, "subaccount": {"query": "sub"}},
    ], "unmatched": "deny", "path_case": "ignore"})
}

#[tokio::test]
async fn rules_are_returned_as_put() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let none = json!({"rules": [], "unmatched": "valid_key", "path_case": "refuse"});
    assert_eq!(client.get("/v1/routes").await.at("/data"), &none);
    let put = client.put("/v1/routes", rules()).await;
    assert_eq!((put.status, put.enforcement()), (StatusCode::OK, (0, 0)));
    for (field, value) in rules().as_object().unwrap() {
        assert_eq!(put.at(&format!("/data/{field}")), value);
    }
    let reported = client.get("/v1/routes").await;
    assert_eq!(reported.at("/data"), &rules());
    assert_eq!(
        client
            .put("/v1/routes", reported.at("/data").clone())
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(
        client.put("/v1/routes", json!({"rules": []})).await.status,
        StatusCode::OK
    );
    assert_eq!(client.get("/v1/routes").await.at("/data"), &none);
}

#[tokio::test]
async fn rules_reach_nodes_before_the_keys() {
    let mut plane = Plane::start().await;
    let client = plane.log_in().await;
    client.key("CI").await;
    let mut node = Node::connect(&plane, hello(), Snapshot::default()).await;
    let batches = node.publish().await;
    assert!(
        !batches[0].routes.is_empty() && batches[0].keys.is_empty(),
        "{batches:?}"
    );
    assert!(
        batches[1..].iter().all(|batch| batch.routes.is_empty()),
        "{batches:?}"
    );
    assert_eq!(node.snapshot.settings, Some(SettingsRecord::default()));

    let (answer, batches) = tokio::join!(client.put("/v1/routes", rules()), node.publish());
    assert_eq!((answer.enforcement(), batches.len()), ((1, 1), 1));
    let held = node.snapshot.settings.clone().unwrap().routes;
    assert_eq!((held.rules().len(), held.unmatched()), (4, Unmatched::Deny));
    assert_eq!(
        held.rules()[2].spec().permission.as_deref(),
        Some("dns:write")
    );

    // Unchanged rules are not sent again; changed rules are, also to a node that was away.
    let (_, batches) = tokio::join!(client.key("another"), node.publish());
    assert!(batches[0].routes.is_empty(), "{batches:?}");
    let away = node.snapshot.clone();
    client
        .put("/v1/routes?wait_ms=0", json!({"rules": []}))
        .await;
    plane.restart().await;
    let mut node = Node::connect(&plane, hello(), away).await;
    assert!(node.welcome.resume);
    node.publish().await;
    assert_eq!(node.snapshot.settings, Some(SettingsRecord::default()));
    assert_eq!(node.snapshot, Node::ready(&plane).await.snapshot);
}

#[tokio::test]
async fn many_rules_come_before_many_keys() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let mut node = Node::ready(&plane).await;
    let rule = |n: usize| json!({"path": {"exact": format!("/{n:04}{}", "x".repeat(300))}, "service": "dns"});
    let rules: Vec<_> = (0..1_000).map(rule).collect();
    client
        .put("/v1/routes?wait_ms=0", json!({"rules": rules}))
        .await;
    plane.create_keys("many", 10).await;
    node.catch_up(plane.store().revision()).await;
    let settings = node.snapshot.settings.as_ref().unwrap();
    assert_eq!(settings.routes.rules().len(), 1_000);

    let behind = Snapshot {
        revision: 1,
        epoch: plane.store().epoch().to_vec(),
        ..Snapshot::default()
    };
    let mut node = Node::connect(&plane, hello(), behind).await;
    let batches = node.publish().await;
    assert!(
        batches.len() > 1 && !batches[0].routes.is_empty() && batches[0].keys.is_empty(),
        "in parts"
    );
    assert_eq!(node.snapshot.names().len(), 10);
}

/// A refused document changes nothing.
#[tokio::test]
async fn bad_rules_are_reported_by_field() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client.put("/v1/routes", rules()).await;
    let revision = plane.store().revision();
    let path = json!({"prefix": "/a"});
    for (rule, field) in [
        (
            json!({"path": {"template": "/v4/{zone}/{zone}"}}),
            "path.template",
        ),
        (json!({"path": {"exact": "/a/../b"}}), "path.exact"),
        (json!({"path": {"prefix": "a"}}), "path.prefix"),
        (json!({"path": {"regex": ".*"}}), "path.regex"),
        (json!({"path": {"exact": "/a", "prefix": "/b"}}), "path"),
        (json!({"path": {"exact": null}}), "path.exact"),
        (json!({"path": {"exact": 5}}), "path.exact"),
        (json!({"path": {}}), "path"),
        (json!({"path": ["/a", null, null]}), "path"),
        (json!({"path": "/a"}), "path"),
        (json!({}), "path"),
        (json!({"path": path, "host": "*"}), "host"),
        (json!({"path": path, "host": null}), "host"),
        (json!({"path": path, "methods": []}), "methods"),
        (json!({"path": path, "methods": ["GET", 5]}), "methods[1]"),
        (json!({"path": path, "public": "yes"}), "public"),
        (
            json!({"path": path, "public": true, "service": "dns"}),
            "service",
        ),
        (json!({"path": path, "service": "DNS"}), "service"),
        (json!({"path": path, "permission": "dns:*"}), "permission"),
        (
            json!({"path": path, "subaccount": {"path": "zone"}}),
            "subaccount.path",
        ),
        (
            json!({"path": path, "subaccount": {"cookie": "a"}}),
            "subaccount.cookie",
        ),
        (json!({"path": path, "subaccount": {}}), "subaccount"),
        (json!({"path": path, "hosts": ["a"]}), "hosts"),
        (json!({"path": {"prefix": "/first"}}), "path"),
    ] {
        let first = json!({"path": {"prefix": "/first"}});
        let answer = client
            .put("/v1/routes", json!({"rules": [first, rule]}))
            .await;
        answer.refused_by(400, "invalid_request", &format!("rules[2].{field}"));
        assert!(
            answer
                .text("/error")
                .starts_with(&format!("rules[2].{field}: ")),
            "{answer:?}"
        );
    }
    for (body, field) in [
        (json!({"rules": [5]}), "rules[1]"),
        (json!({"rules": [["/a"]]}), "rules[1]"),
        (
            json!({"rules": vec![json!({"path": path}); 1_001]}),
            "rules",
        ),
        (json!({"rules": {}}), "rules"),
        (json!({}), "rules"),
        (json!({"rules": [], "unmatched": "allow"}), "unmatched"),
        (json!({"rules": [], "default": "deny"}), "default"),
        (json!({"rules": [], "path_case": "lower"}), "path_case"),
    ] {
        client
            .put("/v1/routes", body)
            .await
            .refused_by(400, "invalid_request", field);
    }

    let several = json!({"rules": [
        {"path": {"exact": "/a"}},
        {"path": {"exact": "a"}, "host": "", "service": ""},
        {"paths": {}},
    ]});
    let answer = client.put("/v1/routes", several).await;
    answer.refused_by(400, "invalid_request", "rules[2].host");
    for part in [
        "rules[2].host: ",
        "rules[2].path.exact: ",
        "rules[2].service: ",
        "rules[3].paths: ",
    ] {
        assert!(answer.text("/error").contains(part), "{part}: {answer:?}");
    }
    for (count, reported, more) in [(20, 20, false), (25, 20, true)] {
        let answer = client
            .put("/v1/routes", json!({"rules": vec![json!({}); count]}))
            .await;
        answer.refused_by(400, "invalid_request", "rules[1].path");
        assert_eq!(
            answer.text("/error").matches("is missing").count(),
            reported
        );
        assert_eq!(
            answer.text("/error").ends_with("; and 5 more."),
            more,
            "{answer:?}"
        );
    }
    let many = client
        .put("/v1/routes", json!({"rules": vec![5; 1_001]}))
        .await;
    assert_eq!(
        many.text("/error"),
        "rules: must be at most 1000.",
        "each of them is not looked at"
    );
    assert_eq!(client.get("/v1/routes").await.at("/data"), &rules());
    assert_eq!(plane.store().revision(), revision);
}

#[tokio::test]
async fn rules_differing_by_case_are_named() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let document = |path_case: Option<&str>, second: &str| {
        let rules = json!([
            {"path": {"prefix": "/v1/admin"}, "permission": "admin:read"},
            {"path": {"exact": second}, "public": true},
        ]);
        match path_case {
            None => json!({"rules": rules}),
            Some(path_case) => json!({"rules": rules, "path_case": path_case}),
        }
    };
    let none = json!([]);
    let second = json!([{"rule": 2, "conflicts_with": 1}]);
    for (path_case, path, shown, affected) in [
        (None, "/health", "refuse", &none),
        (None, "/v1/Admin/health", "refuse", &second),
        (Some("refuse"), "/v1/admin./health", "refuse", &second),
        (Some("ignore"), "/v1/Admin/health", "ignore", &second),
        (Some("distinct"), "/v1/Admin/health", "distinct", &none),
    ] {
        let put = client.put("/v1/routes", document(path_case, path)).await;
        assert_eq!(
            put.at("/data/affected_rules"),
            affected,
            "{path_case:?} {path}"
        );
        assert_eq!(put.text("/data/path_case"), shown);
        assert_eq!(
            client.get("/v1/routes").await.text("/data/path_case"),
            shown
        );
    }
    for (path_case, refused) in [
        (None, true),
        (Some("ignore"), true),
        (Some("distinct"), false),
    ] {
        let mut same = document(path_case, "/unused");
        same["rules"][1]["path"] = json!({"prefix": "/V1/Admin"});
        let answer = client.put("/v1/routes", same).await;
        if refused {
            answer.refused_by(400, "invalid_request", "rules[2].path");
            assert!(
                answer
                    .text("/error")
                    .contains("set `path_case` to `distinct`"),
                "{answer:?}"
            );
        } else {
            assert_eq!(answer.status, StatusCode::OK);
        }
    }
}
