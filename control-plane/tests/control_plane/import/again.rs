//! Tests imports that are dry runs, repeated, or made again after a revocation.

use super::{hex, import, with};
use crate::harness::{Answer, Client, Plane, START, imported};
use crate::node::{Node, complete, hello};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn import_with(client: &Client<'_>, rows: &[Value], options: Value) -> Answer {
    let mut body = json!({ "keys": rows });
    body.as_object_mut()
        .unwrap()
        .extend(options.as_object().unwrap().clone());
    client.send(Method::POST, "/v1/keys/import", body).await
}

const DAY: i64 = 24 * 60 * 60;

#[tokio::test]
async fn dry_run_reports_without_changes() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client.key("taken").await;
    client.import("there", "sk-there-0123").await;
    let (revision, total) = (plane.store().revision(), client.total().await);
    let rows = [
        imported("good", "sk-good-0123"),
        imported("taken", "sk-other-0123"),
        imported("again", "sk-there-0123"),
        with("late", "sk-late-01234", json!({"expires_at": START})),
        imported("good", "sk-good-2-0123"),
        imported("good-3", "sk-good-0123"),
        with("tier", "sk-tier-01234", json!({"tier": "gold"})),
        with("scope", "sk-scope-01234", json!({"scope": ["nothing"]})),
    ];
    let reported = import_with(&client, &rows, json!({"dry_run": true})).await;
    assert_eq!(reported.status, StatusCode::OK, "{reported:?}");
    assert_eq!(
        (
            reported.number("/data/importable"),
            reported.number("/data/refused")
        ),
        (1, 7)
    );
    let problems: Vec<_> = reported
        .at("/data/problems")
        .as_array()
        .unwrap()
        .iter()
        .collect();
    let found: Vec<_> = problems
        .iter()
        .map(|problem| {
            (
                problem["row"].as_u64().unwrap(),
                problem["code"].as_str().unwrap(),
                problem["field"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        (1, "name_taken", "keys[1].name"),
        (2, "key_taken", "keys[2].sha256"),
        (3, "invalid_request", "keys[3].expires_at"),
        (4, "name_taken", "keys[4].name"),
        (5, "key_taken", "keys[5].sha256"),
        (6, "invalid_request", "keys[6].tier"),
        (7, "invalid_request", "keys[7].scope[0]"),
    ];
    assert_eq!(found, expected);
    assert_eq!(
        (plane.store().revision(), client.total().await),
        (revision, total)
    );
    assert!(
        import_with(&client, &rows[..1], json!({"dry_run": true}))
            .await
            .at("/data/problems")
            == &json!([])
    );
    assert_eq!(
        import(&client, &rows[..1]).await.status,
        StatusCode::CREATED
    );

    let many: Vec<_> = (0..30)
        .map(|index| imported("taken", &format!("sk-{index:010}")))
        .collect();
    let reported = import_with(&client, &many, json!({"dry_run": true})).await;
    let problems = reported.at("/data/problems").as_array().unwrap().len();
    assert_eq!((reported.number("/data/refused"), problems), (30, 20));
}

#[tokio::test]
async fn dry_run_reports_remaining_keys() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (_, admin) = operator.account("acme", json!({"max_keys": 2})).await;
    admin.key("one").await;
    let rows = [
        imported("two", "sk-two-012345"),
        imported("three", "sk-three-0123"),
    ];
    let reported = import_with(&admin, &rows, json!({"dry_run": true})).await;
    assert_eq!(
        (
            reported.number("/data/room"),
            reported.number("/data/importable")
        ),
        (1, 1)
    );
    assert_eq!(reported.text("/data/problems/0/code"), "key_limit");
    assert_eq!(
        import_with(&operator, &rows, json!({"dry_run": true}))
            .await
            .at("/data/room"),
        &Value::Null
    );
}

#[tokio::test]
async fn dry_run_needs_the_import_permission() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    admin
        .user(
            "zoe@localhost",
            json!({"permissions": ["account:apikeys:read"]}),
        )
        .await;
    let zoe = plane.client("zoe@localhost").await;
    let reported = import_with(
        &zoe,
        &[imported("a", "sk-there-0123")],
        json!({"dry_run": true}),
    )
    .await;
    reported.refused(403, "missing_permission");
}

#[tokio::test]
async fn interrupted_import_resumes() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let rows: Vec<_> = (0..5)
        .map(|index| imported(&format!("k{index}"), &format!("sk-{index:010}")))
        .collect();
    import(&client, &rows[..3]).await;
    import(&client, &rows)
        .await
        .refused_by(409, "name_taken", "keys[0].name");
    let skip = json!({"skip_existing": true});
    let reported = import_with(&client, &rows, skip.clone()).await;
    assert_eq!(
        (
            reported.status,
            reported.number("/data/imported"),
            reported.number("/data/skipped")
        ),
        (StatusCode::CREATED, 2, 3)
    );
    assert_eq!(reported.text("/data/keys/0/name"), "k3");
    assert_eq!(client.total().await, 5);
    let revision = plane.store().revision();
    let reported = import_with(&client, &rows, skip.clone()).await;
    assert_eq!(
        (
            reported.number("/data/imported"),
            reported.number("/data/skipped")
        ),
        (0, 5)
    );
    assert_eq!(plane.store().revision(), revision, "nothing has changed");
    let reported = import_with(
        &client,
        &rows,
        json!({"skip_existing": true, "dry_run": true}),
    )
    .await;
    assert_eq!(
        (
            reported.number("/data/importable"),
            reported.number("/data/skipped")
        ),
        (0, 5)
    );

    // A row with a known name and another key is not skipped; the error has its index in the
    // request.
    let rows = [rows[0].clone(), imported("k1", "sk-another-0123")];
    import_with(&client, &rows, skip.clone())
        .await
        .refused_by(409, "name_taken", "keys[1].name");
    let rows = [
        rows[0].clone(),
        with("new", "sk-another-0123", json!({"tier": "gold"})),
    ];
    import_with(&client, &rows, skip)
        .await
        .refused_by(400, "invalid_request", "keys[1].tier");
}

#[tokio::test]
async fn foreign_keys_are_not_skipped() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (_, admin) = operator.account("acme", json!({})).await;
    operator.import("theirs", "sk-there-0123").await;
    for options in [
        json!({"skip_existing": true}),
        json!({"skip_existing": true, "reimport_unused": true}),
    ] {
        let reported = import_with(&admin, &[imported("ours", "sk-there-0123")], options).await;
        reported.refused_by(409, "key_taken", "keys[0].sha256");
    }
}

#[tokio::test]
async fn failed_imports_digest_is_not_burned() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let mut node = Node::ready(&plane).await;
    let first = client.import("CI", "sk-there-0123").await;
    node.publish().await;
    let away = node.snapshot.clone();
    client.delete(&format!("/v1/keys/{first}?wait_ms=0")).await;
    let row = imported("CI", "sk-there-0123");
    import(&client, std::slice::from_ref(&row))
        .await
        .refused_by(409, "key_taken", "keys[0].sha256");
    let again = json!({"reimport_unused": true});
    import_with(
        &client,
        &[row.clone(), imported("CD", "sk-there-0123")],
        again.clone(),
    )
    .await
    .refused_by(409, "key_taken", "keys[1].sha256");
    let made = import_with(&client, std::slice::from_ref(&row), again.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let second = made.text("/data/keys/0/key_id");
    assert_ne!(second, first);
    // All nodes have the second key by its digest: one that is connected, one that was away, and a
    // new one.
    let revision = plane.store().revision();
    node.catch_up(revision).await;
    let mut away = Node::connect(&plane, complete(hello(), &away), away).await;
    away.catch_up(revision).await;
    assert_eq!(node.snapshot.by("sk-there-0123").unwrap().id, second);
    assert_eq!(node.snapshot, away.snapshot);
    let mut node = Node::ready(&plane).await;
    assert_eq!(node.snapshot, away.snapshot);
    let old = client.get(&format!("/v1/keys/{first}")).await;
    assert!(
        old.at("/data/revoked_at").is_string(),
        "the first is what it was: {old:?}"
    );
    client.delete(&format!("/v1/keys/{second}?wait_ms=0")).await;
    node.catch_up(plane.store().revision()).await;
    assert!(node.snapshot.by("sk-there-0123").is_none());
}

/// Checks revoked keys that were used, or that belong to another account.
#[tokio::test]
async fn used_or_foreign_digests_stay_burned() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (_, admin) = operator.account("acme", json!({})).await;
    let [used, old, replaced] = [
        operator.import("used", "sk-used-01234").await,
        operator.import("old", "sk-old-012345").await,
        operator.import("replaced", "sk-replaced-0123").await,
    ];
    let ours = operator.generate(json!({"name": "ours"})).await;
    let pool = plane.pool().await;
    sqlx::query("UPDATE keys SET last_used_at = 1 WHERE id = ?")
        .bind(&used)
        .execute(&pool)
        .await
        .unwrap();
    operator.regenerate(&replaced, 0).await;
    for id in [&used, &old, &replaced, &ours.text("/data/key_id")] {
        operator.delete(&format!("/v1/keys/{id}")).await;
    }
    let again = json!({"reimport_unused": true});
    let burned = [
        imported("a", "sk-used-01234"),
        imported("a", "sk-replaced-0123"),
        json!({"name": "a", "sha256": hex(&ours.text("/data/api_key"))}),
    ];
    for row in burned {
        let reported = import_with(&operator, std::slice::from_ref(&row), again.clone()).await;
        reported.refused_by(409, "key_taken", "keys[0].sha256");
    }
    let row = imported("a", "sk-old-012345");
    let reported = import_with(&admin, std::slice::from_ref(&row), again.clone()).await;
    reported.refused_by(409, "key_taken", "keys[0].sha256");
    plane.clock.advance(7 * DAY);
    let operator = plane.log_in().await;
    let reported = import_with(&operator, std::slice::from_ref(&row), again).await;
    reported.refused_by(409, "key_taken", "keys[0].sha256");
}
