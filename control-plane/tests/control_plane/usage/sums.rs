//! Tests the sums of usage by hour and by day, which must match the usage of the keys.

use super::*;

/// Queries of the rows of both tables, and of their expected rows while no key is deleted.
const SUMS: [(&str, &str, &str); 2] = [
    (
        "sums",
        "SELECT account_id || ' ' || hour || ' ' || code || ' ' || requests FROM usage_sums ORDER BY 1",
        "SELECT account_id || ' ' || hour || ' ' || code || ' ' || SUM(requests) FROM usage_buckets \
         JOIN keys ON seq = key_seq GROUP BY account_id, hour, code ORDER BY 1",
    ),
    (
        "days",
        "SELECT account_id || ' ' || day || ' ' || code || ' ' || key_seq || ' ' || requests FROM usage_days ORDER BY 1",
        "SELECT account_id || ' ' || (hour / 24) || ' ' || code || ' ' || key_seq || ' ' || SUM(requests) \
         FROM usage_buckets JOIN keys ON seq = key_seq GROUP BY account_id, hour / 24, code, key_seq ORDER BY 1",
    ),
];

async fn rows(plane: &Plane, query: &'static str) -> Vec<String> {
    sqlx::query_scalar(query)
        .fetch_all(&plane.pool().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn sums_follow_what_nodes_report() {
    let plane = Plane::start().await;
    plane.create_keys("key", 3).await;
    let mut node = node(&plane, 1).await;
    let keys: Vec<_> = node.snapshot.keys.values().map(|key| key.number).collect();
    let mut total = 0;
    for round in 1..=30 {
        // The totals of a process grow: the rows of the hour are first inserted, then raised.
        total += round;
        node.count(keys.iter().map(|key| admitted(*key, total)).collect())
            .await;
        if round % 5 == 0 {
            plane.clock.advance(3_600 * 7);
        }
    }
    for (table, found, expected) in SUMS {
        let found = rows(&plane, found).await;
        assert!(found.len() > 3, "{table}: {found:?}");
        assert_eq!(found, rows(&plane, expected).await, "{table}");
    }
}

#[tokio::test]
async fn deleted_keys_usage_stays_in_sums() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client.key("stays").await;
    client.key("goes").await;
    let pool = plane.pool().await;
    let hour = START / 3_600;
    for (seq, requests) in [(1, 5), (2, 7)] {
        let insert = sqlx::query(
            "INSERT INTO usage_buckets (key_seq, hour, code, requests) VALUES (?, ?, 'allowed', ?)",
        );
        insert
            .bind(seq)
            .bind(hour)
            .bind(requests)
            .execute(&pool)
            .await
            .unwrap();
    }
    sqlx::query("DELETE FROM keys WHERE seq = 2")
        .execute(&pool)
        .await
        .unwrap();
    let sums = client.get("/v1/usage?group_by=code").await;
    assert_eq!(
        sums.at("/data/buckets"),
        &json!([{"code": "allowed", "requests": 12}])
    );
    assert_eq!(
        (sums.number("/data/keys"), sums.at("/data/keys_is_estimate")),
        (2, &json!(false))
    );
    for query in [
        "group_by=key",
        "group_by=key&top_keys=5",
        "group_by=key&top_keys=1",
    ] {
        let by_key = client.get(&format!("/v1/usage?{query}")).await;
        let requests: Vec<_> = by_key
            .at("/data/buckets")
            .as_array()
            .unwrap()
            .iter()
            .map(|row| &row["requests"])
            .collect();
        assert_eq!(requests, [&json!(5)], "{query}");
    }
}

#[tokio::test]
async fn top_keys_span_all_days() {
    let plane = Plane::start().await;
    plane.create_keys("key", 300).await;
    let client = plane.log_in().await;
    let pool = plane.pool().await;
    // Hours of three days, of which the first and the last are not complete. No single day shows
    // which key has the most requests.
    let insert = "WITH RECURSIVE hours (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM hours WHERE n < 60) \
         INSERT INTO usage_buckets SELECT seq, ? / 3600 - n, iif(n % 2, 'allowed', 'rate_limited'), \
         1 + (seq * 7919 + n * 104729) % 1000 FROM keys, hours";
    sqlx::query(insert)
        .bind(START)
        .execute(&pool)
        .await
        .unwrap();
    let (from, to) = (START - 3_600 * 49, START - 3_600 * 2);
    for (code, times) in [
        ("", format!("&from={from}&to={to}")),
        ("&code=allowed", format!("&from={from}&to={to}")),
    ] {
        let all = client
            .get(&format!("/v1/usage?group_by=key{code}{times}"))
            .await;
        let mut expected: Vec<_> = all.at("/data/buckets").as_array().unwrap().clone();
        expected.sort_by_key(|row| {
            (
                std::cmp::Reverse(row["requests"].as_u64()),
                row["key_id"].to_string(),
            )
        });
        let top = client
            .get(&format!("/v1/usage?group_by=key&top_keys=20{code}{times}"))
            .await;
        assert_eq!(
            top.at("/data/buckets").as_array().unwrap(),
            &expected[..20],
            "{code}{times}"
        );
        assert_eq!(top.at("/data/top_keys_is_estimate"), &json!(false));
        assert_eq!(top.number("/data/keys"), 300);
    }
}
