//! Tests usage that is summed up over times, keys or codes, and the keys with the most requests.

use super::*;
use crate::harness::Answer;
use reqwest::Method;
use reqwest::header::COOKIE;
use std::collections::BTreeMap;

/// Creates keys with requests of two codes in three hours on two days. The last of the keys is
/// revoked.
async fn used(plane: &Plane) -> Vec<String> {
    let client = plane.log_in().await;
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        ids.push(client.key(name).await);
    }
    let pool = plane.pool().await;
    let hour = START / 3_600;
    for (seq, hour, code, requests) in [
        (1, hour, "allowed", 5),
        (1, hour - 1, "rate_limited", 2),
        (2, hour, "allowed", 1),
        (2, hour - 1, "allowed", 6),
        (3, hour - 9, "allowed", 9),
        // This hour is before the requested range.
        (3, hour - 48, "allowed", 100),
    ] {
        let insert = sqlx::query(
            "INSERT INTO usage_buckets (key_seq, hour, code, requests) VALUES (?, ?, ?, ?)",
        );
        insert
            .bind(seq)
            .bind(hour)
            .bind(code)
            .bind(requests)
            .execute(&pool)
            .await
            .unwrap();
    }
    client
        .delete(&format!("/v1/keys/{}?wait_ms=0", ids[2]))
        .await;
    ids
}

async fn asked(plane: &Plane, query: &str) -> Answer {
    plane
        .log_in()
        .await
        .get(&format!("/v1/usage?{query}"))
        .await
}

#[tokio::test]
async fn ungrouped_usage_is_summed() {
    let plane = Plane::start().await;
    let ids = used(&plane).await;
    let key = |index: usize, name: &str, requests: u64| json!({"key_id": ids[index], "key_name": name, "requests": requests});
    let mut by_key = vec![key(0, "one", 7), key(1, "two", 7), key(2, "three", 9)];
    by_key.sort_by_key(|bucket| bucket["key_id"].to_string());
    for (query, buckets) in [
        (
            "group_by=code",
            json!([{"code": "allowed", "requests": 21}, {"code": "rate_limited", "requests": 2}]),
        ),
        (
            "group_by=code,time&from=1799996400",
            json!([
                {"start": "2027-01-15T07:00:00Z", "code": "allowed", "requests": 6},
                {"start": "2027-01-15T07:00:00Z", "code": "rate_limited", "requests": 2},
                {"start": "2027-01-15T08:00:00Z", "code": "allowed", "requests": 6},
            ]),
        ),
        (
            "group_by=time&bucket=day",
            json!([
                {"start": "2027-01-14T00:00:00Z", "requests": 9},
                {"start": "2027-01-15T00:00:00Z", "requests": 14},
            ]),
        ),
        (
            "group_by=time,time&code=rate_limited",
            json!([{"start": "2027-01-15T07:00:00Z", "requests": 2}]),
        ),
        ("group_by=key", json!(by_key)),
        ("group_by=key&to=5", json!([])),
    ] {
        assert_eq!(
            asked(&plane, query).await.at("/data/buckets"),
            &buckets,
            "{query}"
        );
    }
}

#[tokio::test]
async fn most_used_keys_come_first() {
    let plane = Plane::start().await;
    let ids = used(&plane).await;
    // The first two keys have the same number of requests.
    let tied = if ids[0] < ids[1] {
        ["one", "two"]
    } else {
        ["two", "one"]
    };
    for (query, names) in [
        (
            "group_by=key&top_keys=1000",
            ["three", tied[0], tied[1]].to_vec(),
        ),
        ("group_by=key&top_keys=2", vec!["three", tied[0]]),
        ("group_by=key&top_keys=1&from=1799996400", vec![tied[0]]),
        (
            "group_by=key,code&top_keys=1&code=rate_limited",
            vec!["one"],
        ),
        ("top_keys=1&bucket=day", vec!["three"]),
    ] {
        let answer = asked(&plane, query).await;
        let buckets = answer.at("/data/buckets").as_array().unwrap();
        let seen: Vec<_> = buckets
            .iter()
            .map(|bucket| bucket["key_name"].as_str().unwrap())
            .collect();
        assert_eq!(seen, names, "{query}");
    }
    // Each key has all its codes and times.
    let detailed = asked(&plane, "top_keys=2&from=1799996400").await;
    let buckets = detailed.at("/data/buckets").as_array().unwrap();
    let of = |name: &str| {
        buckets
            .iter()
            .filter(|bucket| bucket["key_name"] == name)
            .count()
    };
    assert_eq!((buckets.len(), of("one"), of("two")), (4, 2, 2));
    assert!(
        buckets[..2]
            .iter()
            .all(|bucket| bucket["key_name"] == tied[0]),
        "{detailed:?}"
    );
}

#[tokio::test]
async fn keys_are_counted_in_every_grouping() {
    let plane = Plane::start().await;
    let ids = used(&plane).await;
    for (query, keys) in [
        (String::new(), 3),
        ("group_by=time".to_owned(), 3),
        ("group_by=key&top_keys=1".to_owned(), 3),
        ("group_by=code&code=rate_limited".to_owned(), 1),
        ("group_by=code&from=1799996400".to_owned(), 2),
        (format!("group_by=code&key_id={}", ids[1]), 1),
        ("to=5".to_owned(), 0),
    ] {
        assert_eq!(
            asked(&plane, &query).await.number("/data/keys"),
            keys,
            "{query}"
        );
    }
}

#[tokio::test]
async fn buckets_use_the_keys_current_name() {
    let plane = Plane::start().await;
    let ids = used(&plane).await;
    plane
        .log_in()
        .await
        .patch(
            &format!("/v1/keys/{}?wait_ms=0", ids[0]),
            json!({"name": "uno"}),
        )
        .await;
    for query in ["", "group_by=key", "group_by=key&top_keys=9"] {
        let answer = asked(&plane, query).await;
        let buckets = answer.at("/data/buckets").as_array().unwrap();
        let text = |bucket: &Value, field: &str| bucket[field].as_str().unwrap().to_owned();
        let names: BTreeMap<_, _> = buckets
            .iter()
            .map(|bucket| (text(bucket, "key_id"), text(bucket, "key_name")))
            .collect();
        let expected = ids
            .iter()
            .cloned()
            .zip(["uno", "two", "three"].map(str::to_owned))
            .collect();
        assert_eq!(names, expected, "{query}");
    }
}

#[tokio::test]
async fn sums_match_the_full_response() {
    let plane = Plane::start().await;
    used(&plane).await;
    for bucket in ["hour", "day"] {
        let full = asked(&plane, &format!("bucket={bucket}")).await;
        let full = full.at("/data/buckets").as_array().unwrap().clone();
        for group in [
            "time",
            "key",
            "code",
            "time,key",
            "time,code",
            "key,code",
            "time,key,code",
        ] {
            let fields: Vec<_> = [
                ("time", "start"),
                ("key", "key_id"),
                ("key", "key_name"),
                ("code", "code"),
            ]
            .into_iter()
            .filter_map(|(name, field)| {
                group.split(',').any(|named| named == name).then_some(field)
            })
            .collect();
            let mut sums: BTreeMap<Vec<String>, u64> = BTreeMap::new();
            let place = |bucket: &Value| {
                fields
                    .iter()
                    .map(|field| bucket[field].to_string())
                    .collect::<Vec<_>>()
            };
            for bucket in &full {
                *sums.entry(place(bucket)).or_default() += bucket["requests"].as_u64().unwrap();
            }
            let grouped = asked(&plane, &format!("bucket={bucket}&group_by={group}")).await;
            let grouped = grouped.at("/data/buckets").as_array().unwrap();
            let seen = grouped
                .iter()
                .map(|bucket| (place(bucket), bucket["requests"].as_u64().unwrap()))
                .collect();
            assert_eq!(sums, seen, "{bucket} {group}");
            assert_eq!(grouped.len(), sums.len(), "{bucket} {group}");
            assert!(
                grouped
                    .iter()
                    .all(|bucket| bucket.as_object().unwrap().len() == fields.len() + 1),
                "{grouped:?}"
            );
        }
    }
}

#[tokio::test]
async fn impossible_grouping_is_refused() {
    let plane = Plane::start().await;
    for (query, field) in [
        ("group_by=", "group_by"),
        ("group_by=hour", "group_by"),
        ("group_by=time,,key", "group_by"),
        ("group_by=time, key", "group_by"),
        ("group_by=time&group_by=key", "group_by"),
        ("top_keys=0", "top_keys"),
        ("top_keys=1001", "top_keys"),
        ("top_keys=many", "top_keys"),
        ("group_by=time,code&top_keys=5", "top_keys"),
    ] {
        asked(&plane, query)
            .await
            .refused_by(400, "invalid_request", field);
    }
}

/// Limits the number of a bucket to what JSON represents exactly, without an overflow of sums.
#[tokio::test]
async fn sums_stop_at_exact_integers() {
    const MOST: u64 = (1 << 53) - 1;
    let plane = Plane::start().await;
    plane.create_keys("key", 1).await;
    let insert = "WITH numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2000) \
         INSERT INTO usage_buckets SELECT 1, ? / 3600 - n, 'allowed', ? FROM numbers";
    let insert = sqlx::query(insert).bind(START).bind(MOST.cast_signed());
    insert.execute(&plane.pool().await).await.unwrap();
    for query in [
        "from=0&group_by=code",
        "from=0&group_by=key&top_keys=1",
        "group_by=time",
        "bucket=day",
    ] {
        assert_eq!(
            asked(&plane, query)
                .await
                .number("/data/buckets/0/requests"),
            MOST,
            "{query}"
        );
    }
}

#[tokio::test]
async fn console_shows_usage_of_many_keys() {
    let plane = Plane::start().await;
    plane.create_keys("key", 2_000).await;
    // Keys with higher numbers have more requests. Exactly one key has refused requests.
    let insert = "WITH hours (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM hours WHERE n < 8) \
         INSERT INTO usage_buckets SELECT seq, ? / 3600 - n, iif(seq = 7 AND n = 3, 'ip_denied', 'allowed'), seq \
         FROM keys CROSS JOIN hours";
    sqlx::query(insert)
        .bind(START)
        .execute(&plane.pool().await)
        .await
        .unwrap();
    asked(&plane, "").await.refused(400, "invalid_request");
    let token = plane.log_in().await.token;
    let page = async |query: &str| {
        let request = plane.request(Method::GET, &format!("/console/usage{query}"));
        let response = request
            .header(COOKIE, format!("latchkey_session={token}"))
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    for query in [
        "",
        "?bucket=day",
        "?from=2027-01-14&to=2027-01-15&bucket=hour",
        "?from=2027-01-15",
    ] {
        let (status, page) = page(query).await;
        assert_eq!(status, 200, "{query}: {page}");
        // The number is in the chart, in the list by code, and in the total.
        for shown in [
            "18,008,993 allowed, 7 refused",
            ">18,008,993<",
            ">18,009,000<",
        ] {
            assert!(page.contains(shown), "{query}: no {shown} in {page}");
        }
        let first = page.find(">key-1999<").unwrap();
        assert!(first < page.find(">key-1950<").unwrap(), "{page}");
        assert!(
            page.contains(">18,000<") && !page.contains(">key-1949<"),
            "{page}"
        );
        assert!(page.contains("there are 1,950 more."), "{page}");
    }
    for (query, field) in [
        ("?from=2026-10-15", "bucket"),
        ("?from=2020-01-01&bucket=day", "from"),
        ("?from=2027-01-16", "from"),
        ("?from=2027-01-15&to=2027-01-14", "from"),
        ("?to=tomorrow", "to"),
    ] {
        let (status, page) = page(query).await;
        assert_eq!(status, 400, "{query}");
        let said = format!("aria-describedby=\"{field}-error\"");
        assert!(
            page.contains(&said) && page.contains(&format!("id=\"{field}-error\"")),
            "{query}: {page}"
        );
        assert!(!page.contains("<svg class=\"chart\""), "{query}: {page}");
    }
}

#[tokio::test]
async fn key_names_need_read_permission() {
    let plane = Plane::start().await;
    used(&plane).await;
    let permissions = json!({"permissions": ["account:usage:read"]});
    plane
        .log_in()
        .await
        .user("usage@example.com", permissions)
        .await;
    let answer = plane
        .client("usage@example.com")
        .await
        .get("/v1/usage?group_by=key")
        .await;
    let buckets = answer.at("/data/buckets").as_array().unwrap();
    assert_eq!(buckets.len(), 3);
    assert!(
        buckets
            .iter()
            .all(|bucket| bucket.get("key_name").is_none()),
        "{buckets:?}"
    );
}
