//! Tests wrong passwords: how often they can be tried, which callers are held back, and how they
//! are recorded.

use crate::harness::{Answer, Client, EMAIL, PASSWORD, Plane};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Starts a control plane that trusts a proxy, so that log-ins can come from many addresses.
async fn behind_proxy() -> Plane {
    Plane::start_with(&["--trusted-hops=1"]).await
}

async fn log_in_from(plane: &Plane, address: &str, email: &str, password: &str) -> Answer {
    let request = plane
        .request(Method::POST, "/v1/sessions")
        .header("x-forwarded-for", address);
    Answer::to(request.json(&json!({"email": email, "password": password}))).await
}

/// Tries a wrong password from each address, and returns the statuses.
async fn statuses(plane: &Plane, email: &str, addresses: impl Iterator<Item = String>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for address in addresses {
        statuses.push(
            log_in_from(plane, &address, email, "wrong")
                .await
                .status
                .as_u16(),
        );
    }
    statuses
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|other| **other == status).count()
}

#[tokio::test]
async fn foreign_wrong_passwords_delay_no_client() {
    let mut plane = behind_proxy().await;
    assert_eq!(
        log_in_from(&plane, "198.51.100.7", EMAIL, PASSWORD)
            .await
            .status,
        StatusCode::OK
    );
    plane.restart().await;
    let attack = statuses(&plane, EMAIL, (0..120).map(|n| format!("192.0.2.{n}"))).await;
    assert_eq!((count(&attack, 401), count(&attack, 429)), (100, 20));
    let unknown = log_in_from(&plane, "203.0.113.9", EMAIL, PASSWORD).await;
    unknown.refused(429, "too_many_requests");
    assert_eq!(unknown.headers["retry-after"], "60");
    assert_eq!(
        log_in_from(&plane, "198.51.100.7", EMAIL, PASSWORD)
            .await
            .status,
        StatusCode::OK
    );
    // The client is held back by its own wrong passwords.
    let own = statuses(&plane, EMAIL, (0..12).map(|_| "198.51.100.7".to_owned())).await;
    assert_eq!((count(&own, 401), count(&own, 429)), (10, 2));
    log_in_from(&plane, "198.51.100.7", EMAIL, PASSWORD)
        .await
        .refused(429, "too_many_requests");
    plane.clock.advance(60);
    assert_eq!(
        log_in_from(&plane, "203.0.113.9", EMAIL, PASSWORD)
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn one_client_locks_nobody_out() {
    let plane = behind_proxy().await;
    let own = statuses(&plane, EMAIL, (0..30).map(|_| "192.0.2.1".to_owned())).await;
    assert_eq!(count(&own, 401), 10);
    assert_eq!(
        log_in_from(&plane, "192.0.2.2", EMAIL, PASSWORD)
            .await
            .status,
        StatusCode::OK,
        "it was never there"
    );
    // A client that tries many users is held back for all of them, and other clients are not.
    for n in 0..60 {
        log_in_from(&plane, "192.0.2.1", &format!("user-{n}@localhost"), "wrong").await;
    }
    log_in_from(&plane, "192.0.2.1", "other@localhost", "wrong")
        .await
        .refused(429, "too_many_requests");
    assert_eq!(
        log_in_from(&plane, "192.0.2.3", EMAIL, PASSWORD)
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn ipv6_client_is_counted_by_its_64() {
    let plane = behind_proxy().await;
    let one = statuses(&plane, EMAIL, (0..20).map(|n| format!("2001:db8::{n:x}:1"))).await;
    assert_eq!((count(&one, 401), count(&one, 429)), (10, 10));
    let mapped = ["192.0.2.1".to_owned(), "::ffff:192.0.2.1".to_owned()];
    let mapped = statuses(&plane, EMAIL, mapped.into_iter().cycle().take(12)).await;
    assert_eq!((count(&mapped, 401), count(&mapped, 429)), (10, 2));
    let networks = statuses(
        &plane,
        EMAIL,
        (0..20).map(|n| format!("2001:db8:0:{n:x}1::1")),
    )
    .await;
    assert_eq!(count(&networks, 401), 20);
    // The client is recognized from another address of its network.
    assert_eq!(
        log_in_from(&plane, "2001:db8:7::1", EMAIL, PASSWORD)
            .await
            .status,
        StatusCode::OK
    );
    statuses(&plane, EMAIL, (0..120).map(|n| format!("198.51.100.{n}"))).await;
    assert_eq!(
        log_in_from(&plane, "2001:db8:7::2", EMAIL, PASSWORD)
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn concurrent_passwords_stay_within_the_limit() {
    let plane = behind_proxy().await;
    let tries = (0..60).map(|_| log_in_from(&plane, "192.0.2.1", EMAIL, "wrong"));
    let mut tried = 0;
    for answer in futures(tries).await {
        tried += usize::from(answer.status == StatusCode::UNAUTHORIZED);
    }
    assert!((1..=10).contains(&tried), "{tried} were tried");
}

/// Runs all futures at the same time, and returns their outputs.
async fn futures<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in pending.iter_mut().filter(|(_, output)| output.is_none()) {
            if let std::task::Poll::Ready(ready) = future.as_mut().poll(context) {
                *output = Some(ready);
            }
        }
        if pending.iter().all(|(_, output)| output.is_some()) {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
    pending
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

#[tokio::test]
async fn newest_clients_are_remembered_as_digests() {
    let plane = behind_proxy().await;
    for n in 0..25 {
        assert_eq!(
            log_in_from(&plane, &format!("192.0.2.{n}"), EMAIL, PASSWORD)
                .await
                .status,
            StatusCode::OK
        );
        plane.clock.advance(1);
    }
    let pool = plane.pool().await;
    let known: Vec<(Vec<u8>, i64)> =
        sqlx::query_as("SELECT client, last_login_at FROM known_clients ORDER BY 2")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!((known.len(), known[0].1), (20, crate::harness::START + 5));
    assert!(known.iter().all(|(client, _)| client.len() == 32));
    plane.clock.advance(60);
    statuses(&plane, EMAIL, (0..120).map(|n| format!("198.51.100.{n}"))).await;
    log_in_from(&plane, "192.0.2.4", EMAIL, PASSWORD)
        .await
        .refused(429, "too_many_requests");
    assert_eq!(
        log_in_from(&plane, "192.0.2.5", EMAIL, PASSWORD)
            .await
            .status,
        StatusCode::OK
    );
    // Deleting a user also deletes the data about their log-ins.
    let admin = log_in_from(&plane, "192.0.2.24", EMAIL, PASSWORD).await;
    let admin = plane.bearer(&admin.text("/data/token"));
    let user = admin.user("gone@localhost", json!({})).await;
    assert_eq!(
        log_in_from(&plane, "192.0.2.30", "gone@localhost", PASSWORD)
            .await
            .status,
        StatusCode::OK
    );
    let count = "SELECT COUNT(*) FROM known_clients";
    let before: i64 = sqlx::query_scalar(count).fetch_one(&pool).await.unwrap();
    assert_eq!(admin.delete(&user).await.status, StatusCode::OK);
    let after: i64 = sqlx::query_scalar(count).fetch_one(&pool).await.unwrap();
    assert_eq!(before - after, 1);
}

#[tokio::test]
async fn wrong_current_passwords_lock_nobody_out() {
    let plane = Plane::start().await;
    let (stolen, own) = (plane.log_in().await, plane.log_in().await);
    let change = async |client: &Client<'_>, current: &str| {
        client
            .put(
                "/v1/users/me/password",
                json!({"current_password": current, "new_password": PASSWORD}),
            )
            .await
    };
    for _ in 0..10 {
        change(&stolen, "wrong")
            .await
            .refused_by(400, "invalid_request", "current_password");
    }
    let answer = change(&stolen, PASSWORD).await;
    answer.refused(429, "too_many_requests");
    assert_eq!(answer.headers["retry-after"], "60");
    assert_eq!(
        plane.log_in_as(EMAIL, PASSWORD).await.status,
        StatusCode::OK,
        "log-ins go on"
    );
    assert_eq!(
        change(&own, PASSWORD).await.status,
        StatusCode::OK,
        "another session goes on"
    );
}

/// Returns the entries about refused log-ins, the newest first, once there are `entries` of them.
async fn refused(client: &Client<'_>, entries: usize) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = client
            .get("/v1/audit?action=session.refused&limit=1000")
            .await;
        let found = answer.at("/data/entries").as_array().unwrap().clone();
        if found.len() >= entries {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "there are {} entries",
            found.len()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn refused_logins_are_audited_and_measured() {
    let mut plane = behind_proxy().await;
    let admin = log_in_from(&plane, "198.51.100.7", EMAIL, PASSWORD)
        .await
        .text("/data/token");
    statuses(&plane, EMAIL, ["192.0.2.1".to_owned()].into_iter()).await;
    let first = refused(&plane.bearer(&admin), 1).await.remove(0);
    assert_eq!(
        first["actor"],
        json!({"type": "unknown", "id": null, "name": null})
    );
    assert_eq!(
        (&first["target"]["type"], &first["target"]["name"]),
        (&json!("user"), &json!(EMAIL))
    );
    assert_eq!(first["after"], json!({"attempts": 1, "throttled": 0}));
    assert_eq!(first["source_address"], "192.0.2.1");
    assert!(first["request_id"].is_string());
    // The other attempts of the minute share one entry. Attempts for unknown users have none.
    statuses(&plane, EMAIL, (0..11).map(|_| "192.0.2.1".to_owned())).await;
    statuses(
        &plane,
        "nobody@localhost",
        ["192.0.2.1".to_owned()].into_iter(),
    )
    .await;
    plane.clock.advance(60);
    let entries = refused(&plane.bearer(&admin), 2).await;
    assert_eq!(
        (entries.len(), &entries[0]["after"]),
        (2, &json!({"attempts": 11, "throttled": 2}))
    );
    for (outcome, number) in [
        ("accepted", 1.0),
        ("refused", 11.0),
        ("throttled", 2.0),
        ("busy", 0.0),
    ] {
        let metric = plane
            .metric(&format!("latchkey_logins_total{{outcome=\"{outcome}\"}}"))
            .await;
        assert!(
            (metric - number).abs() < f64::EPSILON,
            "{outcome}: {metric}"
        );
    }
    // Entries that are still pending are written at the end.
    statuses(&plane, EMAIL, ["192.0.2.1".to_owned()].into_iter()).await;
    plane.restart().await;
    assert_eq!(
        refused(&plane.bearer(&admin), 3).await[0]["after"]["attempts"],
        1
    );
}

#[tokio::test]
async fn attacker_cannot_fill_the_audit() {
    let mut plane = behind_proxy().await;
    let admin = log_in_from(&plane, "198.51.100.7", EMAIL, PASSWORD)
        .await
        .text("/data/token");
    for minute in 0..3 {
        statuses(&plane, EMAIL, (0..70).map(|n| format!("10.{minute}.0.{n}"))).await;
        plane.clock.advance(60);
        let entries = refused(&plane.bearer(&admin), (70 * (minute + 1)).min(100)).await;
        assert!(entries.len() <= 100, "{}", entries.len());
    }
    plane.restart().await;
    let entries = refused(&plane.bearer(&admin), 101).await;
    assert_eq!(entries.len(), 101, "the rest is one entry");
    assert_eq!(
        entries[0]["after"],
        json!({"attempts": 110, "throttled": 0})
    );
    assert_eq!(entries[0]["target"]["type"], "account");
}

#[tokio::test]
async fn unexpected_forwarded_for_is_counted() {
    let metric = async |plane: &Plane, problem: &str| {
        plane
            .metric(&format!(
                "latchkey_forwarded_for_mismatches_total{{problem=\"{problem}\"}}"
            ))
            .await
    };
    let plane = Plane::start().await;
    log_in_from(&plane, "192.0.2.1", EMAIL, PASSWORD).await;
    plane.log_in().await;
    assert_eq!(
        (
            metric(&plane, "ignored").await,
            metric(&plane, "missing").await
        ),
        (1.0, 0.0)
    );
    let plane = behind_proxy().await;
    log_in_from(&plane, "192.0.2.1", EMAIL, PASSWORD).await;
    plane.log_in().await;
    Answer::to(plane.request(Method::GET, "/readyz")).await;
    assert_eq!(
        (
            metric(&plane, "ignored").await,
            metric(&plane, "missing").await
        ),
        (0.0, 1.0)
    );
}
