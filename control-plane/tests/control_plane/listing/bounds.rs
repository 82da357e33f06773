//! Tests the bounds of a page and of a total.

use super::pages;
use crate::harness::Plane;
use serde_json::json;

#[tokio::test]
async fn large_ip_lists_end_a_page() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let addresses: Vec<_> = (0..5_000)
        .map(|n| format!("10.{}.{}.0/24", n / 250, n % 250))
        .collect();
    for n in 0..12 {
        client
            .generate(json!({"name": format!("key {n:02}"), "allowed_ips": addresses}))
            .await;
    }
    let whole = pages(&client, "sort=name&include=ip_lists", 100).await;
    assert!(
        whole.len() > 1 && whole.iter().all(|page| !page.is_empty() && page.len() < 8),
        "{whole:?}"
    );
    let summaries = pages(&client, "sort=name", 100).await;
    assert_eq!(summaries.len(), 1, "without the lists all fit");
    assert_eq!(whole.concat(), summaries.concat());
    assert_eq!(
        client
            .get("/v1/keys?include=ip_lists")
            .await
            .number("/data/total"),
        12
    );
}

/// Counts exactly up to ten thousand.
#[tokio::test]
async fn large_totals_are_lower_bounds() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client
        .generate(json!({"name": "first", "tier": "free"}))
        .await;
    let copies = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10050) \
         INSERT INTO keys (id, account_id, user_id, policy_id, digest, masked, name, environment, tier, allowed_ips, \
         denied_ips, created_at, updated_at, revision, slot) \
         SELECT 'copy' || n, account_id, user_id, policy_id, randomblob(32), masked, 'copy ' || n, environment, \
         iif(n <= 9999, 'pro', tier), '[]', '[]', created_at, updated_at, keys.revision, 1000 + n FROM keys, numbers";
    sqlx::query(copies)
        .execute(&plane.pool().await)
        .await
        .unwrap();
    for (query, total, is_estimate) in [
        ("", 10_051, true),
        ("tier=pro", 9_999, false),
        ("tier=free", 52, false),
        ("search=copy", 10_000, true),
        ("search=copy&sort=name&tier=pro", 9_999, false),
        ("environment=live&unused=true", 10_000, true),
        ("state=revoked", 0, false),
    ] {
        let answer = client.get(&format!("/v1/keys?limit=1&{query}")).await;
        assert_eq!(answer.number("/data/total"), total, "{query}");
        assert_eq!(
            answer.at("/data/total_is_estimate"),
            &json!(is_estimate),
            "{query}"
        );
    }
}
