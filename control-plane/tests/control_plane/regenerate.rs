//! Tests `POST /v1/keys/{id}/regenerate`: the new secret, and the end of the old one.

mod overlap;
mod refused;

use crate::harness::{Answer, Client, Plane, START};
use crate::node::{HeldKey, Node, hello};
use latchkey_policy::key::{Environment, KeyFormat};
use latchkey_protocol::{KeyUsage, LastUse};
use latchkey_store::{NewKey, StoreError};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const DAY: i64 = 86_400;

async fn regenerate(client: &Client<'_>, id: &str, body: Value) -> Answer {
    client
        .send(Method::POST, &format!("/v1/keys/{id}/regenerate"), body)
        .await
}

/// Creates a key, and returns its id and its secret.
async fn made(client: &Client<'_>, body: Value) -> (String, String) {
    let answer = client.generate(body).await;
    (answer.text("/data/key_id"), answer.text("/data/api_key"))
}

fn mask(secret: &str) -> String {
    format!("{}...{}", &secret[..12], &secret[36..])
}

async fn tidy(plane: &Plane, now: i64) {
    plane.use_a_key_on(now).await;
    plane.store().clean_up_secrets(now).await.unwrap();
}

/// The overlap lasts as long as requested.
#[tokio::test]
async fn regenerated_keys_old_secret_overlaps() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (id, old) = made(&client, json!({"name": "CI", "environment": "test"})).await;
    let mut node = Node::ready(&plane).await;
    let before = node.snapshot.by(&old).unwrap().clone();
    plane.clock.advance(10);
    let answer = regenerate(&client, &id, json!({"overlap_seconds": 60})).await;
    assert_eq!(
        (answer.status, answer.text("/message").as_str()),
        (StatusCode::OK, "API key regenerated successfully")
    );
    let new = answer.text("/data/api_key");
    assert_eq!(
        KeyFormat::default().check(new.as_bytes()),
        Ok(Environment::Test)
    );
    assert_eq!(
        answer.number("/data/enforcement/revision"),
        plane.store().revision()
    );

    // The key has two records with the same slot and policy.
    node.publish().await;
    let ends = HeldKey {
        expires_at: Some(START + 70),
        ..before.clone()
    };
    assert_eq!(node.snapshot.by(&old), Some(&ends));
    assert_eq!(
        node.snapshot.by(&new),
        Some(&HeldKey {
            secret: 2,
            ..before.clone()
        })
    );
    assert_eq!(Node::ready(&plane).await.snapshot, node.snapshot);
    assert_eq!(Node::ready(&plane).await.welcome.keys, 2);

    let shown = client.get(&format!("/v1/keys/{id}")).await;
    let secret = |secret: &str, created_at: &str, ends_at: Value| {
        json!({
            "key_prefix": mask(secret), "created_at": created_at, "ends_at": ends_at, "last_used_at": null,
            "last_used_ip": null,
        })
    };
    let current = secret(&new, "2027-01-15T08:00:10Z", Value::Null);
    let ending = secret(&old, "2027-01-15T08:00:00Z", json!("2027-01-15T08:01:10Z"));
    assert_eq!(shown.at("/data/secrets"), &json!([current, ending]));
    assert_eq!(
        (
            shown.text("/data/key_prefix"),
            shown.text("/data/name").as_str()
        ),
        (mask(&new), "CI")
    );
    assert_eq!(shown.text("/data/updated_at"), "2027-01-15T08:00:10Z");
    for pointer in ["secrets", "key_prefix", "created_at"].map(|field| format!("/data/{field}")) {
        assert_eq!(answer.at(&pointer), shown.at(&pointer));
    }
    assert_eq!(
        client.get("/v1/keys").await.at("/data/keys/0/secrets"),
        shown.at("/data/secrets")
    );
    for text in [
        shown.body.to_string(),
        answer.at("/data/secrets").to_string(),
    ] {
        assert!(!text.contains(&old) && !text.contains(&new), "{text}");
    }
    plane.clock.advance(60);
    assert_eq!(
        client
            .get(&format!("/v1/keys/{id}"))
            .await
            .at("/data/secrets"),
        &json!([current])
    );
}

#[tokio::test]
async fn old_secret_ends_without_overlap() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (id, old) = made(&client, json!({"name": "CI"})).await;
    let mut node = Node::ready(&plane).await;
    for body in [json!({}), json!({"overlap_seconds": 0})] {
        let before = node.snapshot.clone();
        let path = format!("/v1/keys/{id}/regenerate?wait_ms=0");
        let answer = client.send(Method::POST, &path, body).await;
        assert_eq!(
            answer.enforcement(),
            (1, 0),
            "the node has not acknowledged it"
        );
        let batches = node.publish().await;
        assert_eq!((batches.len(), batches[0].removed_keys.len()), (1, 32));
        assert_eq!(node.snapshot.keys.len(), 1);
        assert!(
            node.snapshot.by(&answer.text("/data/api_key")).is_some()
                && node.snapshot.by(&old).is_none()
        );
        assert_eq!(answer.at("/data/secrets").as_array().unwrap().len(), 1);
        // A node that was away is sent the change, too.
        let mut late = Node::connect(&plane, hello(), before).await;
        late.publish().await;
        assert_eq!(late.snapshot, node.snapshot);
        node = late;
    }
    assert_eq!(node.snapshot.key("CI").secret, 3);
}

#[tokio::test]
async fn changes_apply_to_the_old_secret() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (id, old) = made(&client, json!({"name": "CI"})).await;
    let new = client.regenerate(&id, 3_600).await;
    let mut node = Node::ready(&plane).await;
    let path = format!("/v1/keys/{id}");
    for (change, ends) in [
        (json!({"name": "renamed"}), 3_600),
        (json!({"active": false}), 3_600),
        (json!({"limits": {"minute": 5}}), 3_600),
        (json!({"expires_at": START + 600}), 600),
        (json!({"expires_at": START + 6_000}), 3_600),
        (
            json!({"expires_at": null, "denied_ips": ["192.0.2.1"]}),
            3_600,
        ),
    ] {
        client
            .patch(&format!("{path}?wait_ms=0"), change.clone())
            .await;
        node.catch_up(plane.store().revision()).await;
        let [old, new] = [&old, &new].map(|secret| node.snapshot.by(secret).unwrap().clone());
        assert_eq!(
            old,
            HeldKey {
                secret: 1,
                expires_at: Some(START + ends),
                ..new
            },
            "{change}"
        );
        assert_eq!(
            node.snapshot.policies.len(),
            1,
            "{change}: the policies before went with both"
        );
    }
    assert_eq!(node.snapshot, Node::ready(&plane).await.snapshot);
}

#[tokio::test]
async fn revocation_ends_both_secrets() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (id, old) = made(&client, json!({"name": "CI"})).await;
    let new = client.regenerate(&id, 3_600).await;
    let mut node = Node::ready(&plane).await;
    let away = node.snapshot.clone();
    assert_eq!(away.keys.len(), 2);
    client.delete(&format!("/v1/keys/{id}?wait_ms=0")).await;
    let batches = node.publish().await;
    assert_eq!(
        (batches.len(), batches[0].removed_keys.len()),
        (1, 64),
        "in one change"
    );
    let mut back = Node::connect(&plane, hello(), away).await;
    back.publish().await;
    for snapshot in [
        &node.snapshot,
        &back.snapshot,
        &Node::ready(&plane).await.snapshot,
    ] {
        assert!(
            snapshot.keys.is_empty() && snapshot.policies.is_empty(),
            "{snapshot:?}"
        );
    }
    regenerate(&client, &id, json!({}))
        .await
        .refused(409, "key_revoked");
    let shown = client.get(&format!("/v1/keys/{id}")).await;
    assert_eq!(shown.at("/data/secrets/0/key_prefix"), &json!(mask(&new)));
    assert_eq!(
        shown.at("/data/secrets").as_array().unwrap().len(),
        1,
        "{old}"
    );
}

/// Forgets the secret a day after its end.
#[tokio::test]
async fn ended_secret_is_never_accepted_again() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (id, old) = made(&client, json!({"name": "CI"})).await;
    client.regenerate(&id, 60).await;
    let mut node = Node::ready(&plane).await;
    let revision = plane.store().revision();
    // A clock that no node confirms is not trusted.
    plane
        .store()
        .clean_up_secrets(START + 60 + DAY)
        .await
        .unwrap();
    tidy(&plane, START + 59 + DAY).await;
    assert_eq!(plane.store().revision(), revision);
    tidy(&plane, START + 60 + DAY).await;
    assert_eq!(plane.store().revision(), revision + 1);
    let batches = node.publish().await;
    assert_eq!(
        (batches[0].removed_keys.len(), node.snapshot.keys.len()),
        (32, 1)
    );
    assert!(node.snapshot.by(&old).is_none());
    tidy(&plane, START + 60 + DAY).await;
    assert_eq!(
        plane.store().revision(),
        revision + 1,
        "nothing is left to do"
    );

    let (account, user) = plane.owner().await;
    let unknown = KeyFormat::default()
        .generate(Environment::Live, getrandom::fill)
        .unwrap();
    let mut again = NewKey::new(account, user, "again", &unknown, "basic", Environment::Live);
    again.digest = latchkey_policy::key::KeyDigest::of(old.as_bytes());
    let taken = plane.store().create_keys(&[again], START).await;
    assert!(matches!(taken, Err(StoreError::SecretTaken)), "{taken:?}");
}

/// The last use of the key is the latest of its secrets'.
#[tokio::test]
async fn last_use_is_shown_per_secret() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (id, _) = made(&client, json!({"name": "CI"})).await;
    let mut node = Node::ready(&plane).await;
    let key = node.snapshot.key("CI").number;
    let mut count = 0;
    let mut report = async |node: &mut Node, uses: &[(u32, i64, u8)]| {
        count += 1;
        let last_uses = uses.iter().map(|&(secret, second, host)| LastUse {
            secret,
            at: START + second,
            ip: vec![192, 0, 2, host],
        });
        let usage = KeyUsage {
            key,
            requests: vec![count],
            last_uses: last_uses.collect(),
            ..KeyUsage::default()
        };
        node.count(vec![usage]).await;
    };
    let reported = async |client: &Client<'_>| {
        let shown = client.get(&format!("/v1/keys/{id}")).await;
        let use_of = |value: &Value| {
            let at = value["last_used_at"]
                .as_str()
                .map(|at| at.trim_start_matches("2027-01-15T08:").to_owned());
            (
                at.unwrap_or_default(),
                value["last_used_ip"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            )
        };
        let secrets = shown
            .at("/data/secrets")
            .as_array()
            .unwrap()
            .iter()
            .map(use_of)
            .collect::<Vec<_>>();
        (use_of(shown.at("/data")), secrets)
    };
    let used = |at: &str, ip: &str| (at.to_owned(), ip.to_owned());
    plane.clock.advance(600);
    report(&mut node, &[(1, 10, 1)]).await;
    assert_eq!(
        reported(&client).await,
        (
            used("00:10Z", "192.0.2.1"),
            vec![used("00:10Z", "192.0.2.1")]
        )
    );

    client.regenerate(&id, 3_600).await;
    node.publish().await;
    let first = used("00:10Z", "192.0.2.1");
    assert_eq!(
        reported(&client).await,
        (first.clone(), vec![used("", ""), first]),
        "the new one was not used yet"
    );
    report(&mut node, &[(2, 20, 2), (1, 30, 3)]).await;
    let (second, first) = (used("00:20Z", "192.0.2.2"), used("00:30Z", "192.0.2.3"));
    assert_eq!(
        reported(&client).await,
        (first.clone(), vec![second, first.clone()])
    );
    report(&mut node, &[(2, 40, 4), (1, 25, 5)]).await;
    let second = used("00:40Z", "192.0.2.4");
    assert_eq!(
        reported(&client).await,
        (second.clone(), vec![second.clone(), first])
    );
    // Reports about a removed secret count only for the key.
    client.regenerate(&id, 0).await;
    node.publish().await;
    assert_eq!(reported(&client).await, (second, vec![used("", "")]));
    report(&mut node, &[(2, 50, 6)]).await;
    assert_eq!(
        reported(&client).await,
        (used("00:50Z", "192.0.2.6"), vec![used("", "")])
    );
}

#[tokio::test]
async fn audit_names_replaced_and_new_secret() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (id, old) = made(&client, json!({"name": "CI"})).await;
    let new = client.regenerate(&id, 60).await;
    let answer = client.get("/v1/audit?limit=1").await;
    let entry = answer.at("/data/entries/0");
    assert_eq!(
        (&entry["action"], &entry["target"]["id"]),
        (&json!("key.regenerate"), &json!(id))
    );
    assert_eq!(entry["before"], json!({"key_prefix": mask(&old)}));
    assert_eq!(
        entry["after"],
        json!({"key_prefix": mask(&new), "overlap_seconds": 60})
    );
}
