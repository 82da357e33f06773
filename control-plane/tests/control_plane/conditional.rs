//! Tests `ETag` and `If-Match`: a user cannot undo another user's change by accident.

use crate::harness::{Answer, Client, Plane, START};
use crate::node::Node;
use latchkey_protocol::{KeyUsage, LastUse};
use reqwest::header::{ETAG, IF_MATCH};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn conditional(
    client: &Client<'_>,
    method: Method,
    path: &str,
    tag: &str,
    body: &Value,
) -> Answer {
    Answer::to(
        client
            .request(method, path)
            .header(IF_MATCH, tag)
            .json(body),
    )
    .await
}

fn tag(answer: &Answer) -> String {
    answer.headers[ETAG].to_str().unwrap().to_owned()
}

async fn tag_of(client: &Client<'_>, path: &str) -> String {
    tag(&client.get(path).await)
}

#[tokio::test]
async fn entity_tag_changes_with_edits_only() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let made = client.generate(json!({"name": "CI"})).await;
    let id = made.text("/data/key_id");
    let path = format!("/v1/keys/{id}");
    let first = tag_of(&client, &path).await;
    assert!(
        first.starts_with('"') && first.ends_with('"'),
        "{first} is strong"
    );
    assert_eq!(tag(&made), first);
    let mut node = Node::ready(&plane).await;
    let key = node.snapshot.key("CI").number;
    let last_uses = vec![LastUse {
        secret: 1,
        at: START,
        ip: vec![192, 0, 2, 1],
    }];
    node.count(vec![KeyUsage {
        key,
        requests: vec![1],
        last_uses,
        ..KeyUsage::default()
    }])
    .await;
    assert_eq!(tag_of(&client, &path).await, first);
    // The tag does not depend on the tier's limits either.
    client
        .put(
            "/v1/tiers",
            json!({"tiers": [{"name": "basic", "limits": {"minute": 5}}]}),
        )
        .await;
    assert_eq!(tag_of(&client, &path).await, first);

    let mut seen = vec![first];
    for change in [
        json!({"name": "CD"}),
        json!({"description": "for CD"}),
        json!({"expires_at": START + 600}),
        json!({"allowed_ips": ["192.0.2.1"]}),
        json!({"denied_ips": ["192.0.2.1"]}),
        json!({"limits": {"day": 7}}),
        json!({"active": false}),
    ] {
        let edited = client
            .patch(&format!("{path}?wait_ms=0"), change.clone())
            .await;
        assert_eq!(tag(&edited), tag_of(&client, &path).await, "{change}");
        assert!(!seen.contains(&tag(&edited)), "{change}");
        seen.push(tag(&edited));
    }
    let regenerated = client
        .send(
            Method::POST,
            &format!("{path}/regenerate?wait_ms=0"),
            json!({}),
        )
        .await;
    assert_eq!(tag(&regenerated), tag_of(&client, &path).await);
    assert!(!seen.contains(&tag(&regenerated)));
    client.delete(&format!("{path}?wait_ms=0")).await;
    assert_ne!(tag_of(&client, &path).await, tag(&regenerated));
}

#[tokio::test]
async fn change_of_a_changed_version_is_refused() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let user = client.user("zoe@localhost", json!({})).await;
    let key = format!("/v1/keys/{}", client.key("CI").await);
    let regenerate = format!("{key}/regenerate");
    let rules = |prefix: &str| json!({"rules": [{"path": {"prefix": prefix}, "public": true}], "unmatched": "valid_key"});
    let tiers = |limit: u32| json!({"tiers": [{"name": "basic", "limits": {"minute": limit}}]});
    for (shown, other, (method, path, body)) in [
        (
            &key,
            json!({"name": "CD"}),
            (Method::PATCH, &key, json!({"description": "late"})),
        ),
        (
            &key,
            json!({"name": "CE"}),
            (Method::POST, &regenerate, json!({})),
        ),
        (
            &key,
            json!({"name": "CF"}),
            (Method::DELETE, &key, Value::Null),
        ),
        (
            &user,
            json!({"roles": ["admin"]}),
            (Method::PATCH, &user, json!({"disabled": true})),
        ),
        (
            &user,
            json!({"roles": []}),
            (Method::DELETE, &user, Value::Null),
        ),
        (
            &"/v1/routes".to_owned(),
            rules("/a"),
            (Method::PUT, &"/v1/routes".to_owned(), rules("/b")),
        ),
        (
            &"/v1/tiers".to_owned(),
            tiers(5),
            (Method::PUT, &"/v1/tiers".to_owned(), tiers(6)),
        ),
    ] {
        let stale = tag_of(&client, shown).await;
        let by_other = if method == Method::PUT {
            Method::PUT
        } else {
            Method::PATCH
        };
        let changed = client.send(by_other, shown, other).await;
        assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
        let revision = plane.store().revision();
        for tag in [
            stale.clone(),
            "\"other\"".to_owned(),
            format!("W/{}", tag(&changed)),
            format!("{stale}, \"b\""),
        ] {
            let refused = conditional(&client, method.clone(), path, &tag, &body).await;
            refused.refused(412, "precondition_failed");
        }
        assert_eq!(plane.store().revision(), revision, "{method} {path}");
        let current = format!("{stale} , {}", tag_of(&client, shown).await);
        let accepted = conditional(&client, method.clone(), path, &current, &body).await;
        assert_eq!(
            accepted.status,
            StatusCode::OK,
            "{method} {path}: {accepted:?}"
        );
    }
}

#[tokio::test]
async fn one_of_two_conditional_edits_wins() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let path = format!("/v1/keys/{}", client.key("CI").await);
    let tag = tag_of(&client, &path).await;
    let edit = |limit: u32| {
        let body = json!({"limits": {"minute": limit}});
        let (client, path, tag) = (&client, &path, &tag);
        async move {
            conditional(client, Method::PATCH, path, tag, &body)
                .await
                .status
                .as_u16()
        }
    };
    let (first, second, third) = tokio::join!(edit(1), edit(2), edit(3));
    let mut statuses = [first, second, third];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412]);
}

#[tokio::test]
async fn star_matches_any_existing_version() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let path = format!("/v1/keys/{}", client.key("CI").await);
    let edited = conditional(&client, Method::PATCH, &path, "*", &json!({"name": "CD"})).await;
    assert_eq!(edited.status, StatusCode::OK);
    let missing = conditional(
        &client,
        Method::PATCH,
        "/v1/keys/key_000000000000",
        "*",
        &json!({"name": "CD"}),
    )
    .await;
    missing.refused(404, "key_not_found");
    let webhook = client
        .send(
            Method::POST,
            "/v1/webhooks",
            json!({"url": "https://example.com/hook"}),
        )
        .await;
    let path = format!("/v1/webhooks/{}", webhook.text("/data/webhook_id"));
    let edit = json!({"active": false});
    // A resource without a tag matches no given tag.
    conditional(&client, Method::PATCH, &path, "\"a\"", &edit)
        .await
        .refused(412, "precondition_failed");
    assert_eq!(client.get(&path).await.at("/data/active"), &json!(true));
    assert_eq!(
        conditional(&client, Method::PATCH, &path, "*", &edit)
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn conditional_revocation_can_be_repeated() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let path = format!("/v1/keys/{}", client.key("CI").await);
    let tag = tag_of(&client, &path).await;
    for _ in 0..2 {
        let revoked = conditional(&client, Method::DELETE, &path, &tag, &Value::Null).await;
        assert_eq!(revoked.status, StatusCode::OK, "{revoked:?}");
    }
}

#[tokio::test]
async fn malformed_if_match_is_named() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let path = format!("/v1/keys/{}", client.key("CI").await);
    for tag in ["", "a", "\"a", "*, \"a\""] {
        let refused = conditional(&client, Method::PATCH, &path, tag, &json!({"name": "CD"})).await;
        refused.refused_by(400, "invalid_request", "If-Match");
    }
}
