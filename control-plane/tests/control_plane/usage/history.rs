//! Tests the usage of the past, and how long it is kept.

use super::*;
use crate::harness::{Plane, START};
use crate::node::{METER, secret};
use latchkey_policy::key::KeyDigest;
use latchkey_protocol::KeyUsage;
use serde_json::json;
use std::time::{Duration, Instant};

fn all_where(buckets: &[Bucket], wanted: impl Fn(&Bucket) -> bool) -> Vec<Bucket> {
    buckets
        .iter()
        .filter(|bucket| wanted(bucket))
        .cloned()
        .collect()
}

#[tokio::test]
async fn usage_groups_by_time_and_code() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (one, two) = (client.key("one").await, client.key("two").await);
    let mut node = node(&plane, 1).await;
    let [first, second] = ["one", "two"].map(|name| node.snapshot.key(name).number);
    let total = |key, allowed, limited| KeyUsage {
        key,
        requests: vec![allowed, 0, 0, 0, 0, 0, 0, limited],
        ..KeyUsage::default()
    };
    node.count(vec![total(first, 5, 0), total(second, 1, 2)])
        .await;
    plane.clock.advance(5_400);
    let client = plane.log_in().await;
    node.count(vec![total(first, 9, 0)]).await;

    let bucket = |start: &str, key: &str, code: &str, requests: u64| {
        (
            format!("2027-01-15T{start}:00:00Z"),
            key.to_owned(),
            code.to_owned(),
            requests,
        )
    };
    let mut all = vec![
        bucket("08", &one, "allowed", 5),
        bucket("08", &two, "allowed", 1),
        bucket("08", &two, "rate_limited", 2),
        bucket("09", &one, "allowed", 4),
    ];
    all.sort();
    assert_eq!(buckets(&client, "").await, all);
    assert_eq!(
        buckets(&client, "?code=allowed").await,
        all_where(&all, |bucket| bucket.2 == "allowed")
    );
    assert_eq!(
        buckets(&client, &format!("?key_id={two}")).await,
        all_where(&all, |bucket| bucket.1 == two)
    );
    assert_eq!(
        buckets(&client, "?from=2027-01-15T09:15:00Z").await,
        all_where(&all, |bucket| bucket.0.contains("T09"))
    );
    assert_eq!(
        buckets(&client, "?to=2027-01-15T09:00:00Z").await,
        all_where(&all, |bucket| bucket.0.contains("T08"))
    );
    assert_eq!(buckets(&client, "?to=1799999999").await, []);
    let by_day = buckets(&client, &format!("?bucket=day&key_id={one}")).await;
    assert_eq!(by_day, [bucket("00", &one, "allowed", 9)]);
    let answer = client.get("/v1/usage?bucket=day").await;
    let found =
        ["/data/from", "/data/to", "/data/bucket", "/message"].map(|pointer| answer.text(pointer));
    assert_eq!(
        found,
        [
            "2027-01-14T00:00:00Z",
            "2027-01-16T00:00:00Z",
            "day",
            "Usage retrieved successfully"
        ]
    );

    for refused in [
        "bucket=week",
        "code=public",
        "from=tomorrow",
        "to=0",
        "from=5&to=5",
        "limit=3",
        "from=1&from=2",
    ] {
        client
            .get(&format!("/v1/usage?{refused}"))
            .await
            .refused(400, "invalid_request");
    }
    client
        .get("/v1/usage?key_id=key_000000000000")
        .await
        .refused(404, "key_not_found");
}

#[tokio::test]
async fn oversized_usage_response_is_refused() {
    let plane = Plane::start().await;
    plane.create_keys("key", 5_001).await;
    let mut node = node(&plane, 1).await;
    let used = |&key: &u64| KeyUsage {
        key,
        requests: vec![1, 0, 0, 1],
        ..KeyUsage::default()
    };
    let numbers: Vec<_> = node.snapshot.keys.values().map(|key| key.number).collect();
    node.count(numbers[..5_000].iter().map(used).collect())
        .await;
    let client = plane.log_in().await;
    for query in ["", "?bucket=day"] {
        assert_eq!(buckets(&client, query).await.len(), 10_000);
    }
    node.count(vec![used(&numbers[5_000])]).await;
    for query in ["", "?bucket=day"] {
        let refused = client.get(&format!("/v1/usage{query}")).await;
        refused.refused(400, "invalid_request");
        assert!(
            refused
                .text("/error")
                .contains("`from`, `to`, `key_id` or `code`"),
            "{refused:?}"
        );
        assert!(refused.text("/error").contains("`group_by`"), "{refused:?}");
    }
    assert_eq!(buckets(&client, "?code=allowed").await.len(), 5_001);
    for (group, len) in [("time,code", 2), ("key", 5_001)] {
        let answer = client.get(&format!("/v1/usage?group_by={group}")).await;
        assert_eq!(
            answer.at("/data/buckets").as_array().unwrap().len(),
            len,
            "{group}"
        );
    }
}

#[tokio::test]
async fn usage_needs_a_permission() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client.key("CI").await;
    let mut node = node(&plane, 1).await;
    node.count(vec![admitted(node.snapshot.key("CI").number, 5)])
        .await;
    let pool = plane.pool().await;
    for statement in [
        "INSERT INTO accounts (id, name, tier, created_at) VALUES ('acc_other', 'other', 'pro', 2000000000)",
        "INSERT INTO users (id, account_id, email, password_hash, roles, created_at) \
         SELECT 'usr_other', 'acc_other', 'other@localhost', password_hash, '[\"admin\"]', 2000000000 FROM users",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let other = plane.client("other@localhost").await;
    assert_eq!(
        (
            buckets(&client, "").await.len(),
            buckets(&other, "").await.len()
        ),
        (1, 0)
    );

    sqlx::query("UPDATE users SET roles = '[\"dns_manager\"]' WHERE id = 'usr_other'")
        .execute(&pool)
        .await
        .unwrap();
    let refused = other.get("/v1/usage").await;
    refused.refused(403, "missing_permission");
    assert!(
        refused.text("/error").contains("account:usage:read"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn old_usage_is_deleted() {
    const DAY: i64 = 86_400;
    let plane = Plane::start().await;
    plane.create_keys("key", 2).await;
    let (mut one, mut two) = (node(&plane, 1).await, node(&plane, 2).await);
    let [key, other] = ["key-0", "key-1"].map(|name| one.snapshot.key(name).number);
    one.count(vec![admitted(key, 5)]).await;
    let pool = plane.pool().await;
    // Two processes that have ended, one of them long ago.
    for (instance, reported_at) in [("gone", START - 1), ("left", START + DAY)] {
        let statement = "INSERT INTO node_usage (instance, key_seq, requests, windows, reported_at) \
             VALUES (?, ?, '[1]', '[]', ?)";
        sqlx::query(statement)
            .bind(instance)
            .bind(key.cast_signed())
            .bind(reported_at)
            .execute(&pool)
            .await
            .unwrap();
    }
    let rows = async |query: &str| -> Vec<String> {
        sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_all(&pool)
            .await
            .unwrap()
    };
    let (instances, kinds) = (
        "SELECT DISTINCT instance FROM node_usage WHERE key_seq = 1 ORDER BY 1",
        "SELECT CAST(kind AS TEXT) FROM window_counts WHERE key_seq = 1 ORDER BY 1",
    );
    let hours = "SELECT CAST(hour AS TEXT) FROM usage_buckets";
    let reported = format!("{:?}", KeyDigest::of(&secret(METER, 1)));
    let reported = reported.as_str();
    assert_eq!(key, 1);
    for (seconds, left, counted, kept) in [
        // The windows before the current ones are kept.
        (
            60,
            vec![reported, "gone", "left"],
            vec!["1", "2", "3", "4"],
            1,
        ),
        (60, vec![reported, "gone", "left"], vec!["2", "3", "4"], 1),
        (2 * 3_600, vec![reported, "gone", "left"], vec!["3", "4"], 1),
        (2 * DAY, vec![reported, "gone", "left"], vec!["4"], 1),
        (40 * DAY, vec![reported, "gone", "left"], vec!["4"], 1),
        // 45 days have passed, and it is March. One of the processes has an open stream.
        (3 * DAY, vec![reported, "left"], vec![], 1),
        (DAY, vec![reported], vec![], 1),
        (353 * DAY, vec![reported], vec![], 1),
        (DAY, vec![reported], vec![], 0),
    ] {
        plane.clock.advance(seconds);
        let now = plane.clock.now();
        // A report of this day confirms the clock.
        two.count(vec![KeyUsage {
            key: other,
            windows: windows(now, 1),
            ..KeyUsage::default()
        }])
        .await;
        tidy(&plane, now).await;
        assert_eq!(rows(instances).await, left, "after {seconds}");
        assert_eq!(rows(kinds).await, counted, "after {seconds}");
        assert_eq!(rows(hours).await.len(), kept, "after {seconds}");
    }
}

async fn tidy(plane: &Plane, now: i64) {
    plane.store().clean_up_windows(now).await.unwrap();
    plane
        .store()
        .clean_up_history(now, 400 * 24 * 3_600)
        .await
        .unwrap();
}

#[tokio::test]
async fn clock_that_nodes_contradict_deletes_nothing() {
    let plane = Plane::start().await;
    let id = plane.log_in().await.key("CI").await;
    let mut node = node(&plane, 1).await;
    let key = node.snapshot.key("CI").number;
    node.count(vec![admitted(key, 5)]).await;
    // The clock is two years ahead; the reports of nodes are not of its day.
    let years = 2 * 366 * 86_400;
    plane.clock.advance(years);
    tidy(&plane, plane.clock.now()).await;
    node.count(vec![admitted(key, 6)]).await;
    tidy(&plane, plane.clock.now()).await;
    plane.clock.advance(-years);
    let usage = shown(&plane.log_in().await, &id).await["usage"].clone();
    assert_eq!(
        (&usage["requests_today"], &usage["requests_this_month"]),
        (&json!(5), &json!(5))
    );
}

#[tokio::test]
async fn old_rows_are_deleted_in_steps() {
    let plane = Plane::start().await;
    plane.create_keys("key", 1).await;
    let mut node = node(&plane, 1).await;
    let key = node.snapshot.key("key-0").number;
    node.count(vec![admitted(key, 5)]).await;
    let pool = plane.pool().await;
    for insert in [
        "INSERT INTO window_counts SELECT 1, n, 1, 1",
        "INSERT INTO usage_buckets SELECT 1, n, 'allowed', 1",
        "INSERT INTO node_usage SELECT 'gone', n, '[]', '[]', 0",
    ] {
        let numbers =
            "WITH numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 12000)";
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "{numbers} {insert} FROM numbers"
        )))
        .execute(&pool)
        .await
        .unwrap();
    }
    tidy(&plane, plane.clock.now()).await;
    for (table, left) in [
        ("window_counts", 4),
        ("usage_buckets", 1),
        ("usage_sums", 1),
        ("usage_days", 1),
        ("node_usage", 1),
    ] {
        let count = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        assert_eq!(
            sqlx::query_scalar::<_, i64>(count)
                .fetch_one(&pool)
                .await
                .unwrap(),
            left,
            "{table}"
        );
    }
}

/// Reports the maximum number of keys, by two nodes in turn.
#[tokio::test]
async fn ten_thousand_keys_are_stored_quickly() {
    let plane = Plane::start().await;
    plane.create_keys("key", 10_000).await;
    let (mut one, mut two) = (node(&plane, 1).await, node(&plane, 2).await);
    let numbers: Vec<_> = one.snapshot.keys.values().map(|key| key.number).collect();
    let mut fastest = Duration::MAX;
    for round in 1..=3 {
        for node in [&mut one, &mut two] {
            let last_uses = used(1, START + i64::from(round), &[192, 0, 2, 1]);
            let used = |&key: &u64| KeyUsage {
                last_uses: last_uses.clone(),
                ..admitted(key, round)
            };
            let started = Instant::now();
            node.count(numbers.iter().map(used).collect()).await;
            fastest = fastest.min(started.elapsed());
        }
    }
    println!("{fastest:?}");
    // The fastest report counts, as the machine may be busy.
    assert!(fastest < Duration::from_secs(1), "it took {fastest:?}");
}
