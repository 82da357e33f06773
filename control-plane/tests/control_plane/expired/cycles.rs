//! Tests keys that expire and are renewed repeatedly, with the limits of an account.

use super::{DAY, regenerate, renew, sweep};
use crate::bounds::Random;
use crate::harness::{Client, Plane, START};
use reqwest::StatusCode;
use serde_json::{Value, json};

const MAX_KEYS: usize = 3;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// A key of the account, as stored in the database.
type Row = (String, String, Option<i64>, bool, bool);

async fn keys(plane: &Plane, account_id: &str) -> Vec<Row> {
    let query = "SELECT id, name, expires_at, slot IS NOT NULL, revoked_at IS NOT NULL FROM keys WHERE account_id = ?";
    sqlx::query_as(query)
        .bind(account_id)
        .fetch_all(&plane.pool().await)
        .await
        .unwrap()
}

/// Makes one random change, and returns whether it changed anything.
async fn step(random: &mut Random, client: &Client<'_>, keys: &[Row], now: i64) -> bool {
    let expiry = if random.one_in(5) {
        Value::Null
    } else {
        json!(now + 30 + 60 * i64::from(random.one_in(2)))
    };
    let any = (!keys.is_empty()).then(|| random.pick(keys).0.clone());
    let answer = match (random.below(8), any) {
        (0..=2, _) | (_, None) => {
            let body = json!({"name": random.pick(&NAMES), "expires_at": expiry});
            client
                .send(reqwest::Method::POST, "/v1/keys/generate?wait_ms=0", body)
                .await
        }
        (3..=4, Some(id)) => renew(client, &id, expiry).await,
        (5, Some(id)) => regenerate(client, &id, json!({"expires_at": expiry})).await,
        (6, Some(id)) => {
            let body = json!({"name": random.pick(&NAMES), "expires_at": expiry, "active": random.one_in(2)});
            client
                .patch(&format!("/v1/keys/{id}?wait_ms=0"), body)
                .await
        }
        (_, Some(id)) => client.delete(&format!("/v1/keys/{id}?wait_ms=0")).await,
    };
    let known = ["key_limit", "name_taken", "key_revoked"];
    let done = [StatusCode::OK, StatusCode::CREATED].contains(&answer.status);
    assert!(
        done || known.contains(&answer.text("/code").as_str()),
        "{answer:?}"
    );
    done
}

#[tokio::test]
async fn revive_cycles_hold_bounded_keys() {
    let plane = Plane::start().await;
    let mut operator = plane.log_in().await;
    let (path, mut client) = operator
        .account("acme", json!({"max_keys": MAX_KEYS}))
        .await;
    let account_id = path.trim_start_matches("/v1/accounts/");
    let (mut now, mut full, mut refused) = (START, 0, 0);
    let mut random = Random(7);
    for round in 0..300 {
        match random.below(12) {
            0 => {
                now += DAY;
                plane.clock.advance(DAY);
                sweep(&plane, now).await;
                (operator, client) = (plane.log_in().await, plane.client("admin@acme").await);
            }
            1..=2 => {
                now += 30;
                plane.clock.advance(30);
            }
            _ => {
                let there_are = keys(&plane, account_id).await;
                refused += i32::from(!step(&mut random, &client, &there_are, now).await);
            }
        }
        let rows = keys(&plane, account_id).await;
        let mut live: Vec<_> = rows
            .iter()
            .filter(|(_, _, expires_at, _, revoked)| {
                !revoked && expires_at.is_none_or(|second| second > now)
            })
            .collect();
        let held = rows.iter().filter(|row| row.3).count();
        assert!(
            live.len() <= MAX_KEYS && held <= 2 * MAX_KEYS,
            "{round}: {rows:?}"
        );
        assert!(
            live.iter().all(|row| row.3),
            "{round}: a live key is not in the snapshot: {rows:?}"
        );
        full += i32::from(held == 2 * MAX_KEYS);
        let count = live.len();
        live.sort_by_key(|row| &row.1);
        live.dedup_by_key(|row| &row.1);
        assert_eq!(
            live.len(),
            count,
            "{round}: two live keys of one name: {rows:?}"
        );
        if round % 10 == 0 {
            assert_eq!(
                operator.get(&path).await.at("/data/keys"),
                &json!(count),
                "{round}: {rows:?}"
            );
        }
    }
    assert!(
        full > 5 && refused > 20,
        "the bounds were hardly reached: {full} {refused}"
    );
}
