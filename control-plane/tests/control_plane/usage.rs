//! Tests usage: reports of nodes count once, other nodes receive what they need, and users can read
//! it.

mod elsewhere;
mod grouping;
mod history;
mod hostile;
mod retention;
mod sums;

use crate::harness::{Client, Plane, START};
use crate::node::{Node, Snapshot, former_hello, hello};
use latchkey_model::clock::Clock as _;
use latchkey_policy::limit::Window;
use latchkey_protocol::window_count::Kind;
use latchkey_protocol::{Hello, KeyUsage, LastUse, WindowCount};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const KINDS: [(Window, Kind); 4] = [
    (Window::Minute, Kind::Minute),
    (Window::Hour, Kind::Hour),
    (Window::Day, Kind::Day),
    (Window::Month, Kind::Month),
];

/// Returns the counts of all four windows at a time, with the same count in each.
fn windows(at: i64, count: u32) -> Vec<WindowCount> {
    let window = |(window, kind): (Window, Kind)| WindowCount {
        kind: kind.into(),
        number: window.number(at),
        count,
    };
    KINDS.into_iter().map(window).collect()
}

/// Returns usage of a key with `count` admitted requests, all at the start.
fn admitted(key: u64, count: u32) -> KeyUsage {
    let windows = windows(START, count);
    KeyUsage {
        key,
        requests: vec![count.into()],
        windows,
        last_uses: used(1, START, &[]),
    }
}

/// Returns the last use of one secret.
fn used(secret: u32, at: i64, ip: &[u8]) -> Vec<LastUse> {
    vec![LastUse {
        secret,
        at,
        ip: ip.to_vec(),
    }]
}

/// Connects another node, and receives the current snapshot.
async fn node(plane: &Plane, instance: u64) -> Node {
    let mut node = Node::connect(
        plane,
        Hello {
            instance,
            ..hello()
        },
        Snapshot::default(),
    )
    .await;
    node.publish().await;
    node
}

/// Reads a key.
async fn shown(client: &Client<'_>, id: &str) -> Value {
    client
        .get(&format!("/v1/keys/{id}"))
        .await
        .at("/data")
        .clone()
}

/// The start of a bucket, the key, the code, and the number of requests.
type Bucket = (String, String, String, u64);

async fn buckets(client: &Client<'_>, query: &str) -> Vec<Bucket> {
    let answer = client.get(&format!("/v1/usage{query}")).await;
    let text = |bucket: &Value, field: &str| bucket[field].as_str().unwrap().to_owned();
    let bucket = |bucket: &Value| {
        let requests = bucket["requests"].as_u64().unwrap();
        (
            text(bucket, "start"),
            text(bucket, "key_id"),
            text(bucket, "code"),
            requests,
        )
    };
    answer
        .at("/data/buckets")
        .as_array()
        .unwrap()
        .iter()
        .map(bucket)
        .collect()
}

#[tokio::test]
async fn reported_usage_is_shown_with_the_key() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let nothing = json!({"allowed": 0, "disabled_key": 0, "expired_key": 0, "ip_denied": 0, "out_of_scope": 0,
        "missing_permission": 0, "subaccount_denied": 0, "rate_limited": 0});
    let unused = shown(&client, &id).await;
    assert_eq!(
        unused["usage"],
        json!({"requests_today": 0, "requests_this_month": 0, "by_code": nothing})
    );
    assert_eq!(
        (&unused["last_used_at"], &unused["last_used_ip"]),
        (&Value::Null, &Value::Null)
    );

    let mut node = node(&plane, 1).await;
    let key = node.snapshot.key("CI").number;
    let last_uses = used(1, START, &[192, 0, 2, 7]);
    node.count(vec![KeyUsage {
        requests: vec![3, 0, 0, 2, 0, 0, 0, 1],
        last_uses,
        ..admitted(key, 3)
    }])
    .await;
    let used = shown(&client, &id).await;
    let mut by_code = nothing;
    (
        by_code["allowed"],
        by_code["ip_denied"],
        by_code["rate_limited"],
    ) = (json!(3), json!(2), json!(1));
    assert_eq!(
        used["usage"],
        json!({"requests_today": 3, "requests_this_month": 3, "by_code": by_code})
    );
    assert_eq!(
        (&used["last_used_at"], &used["last_used_ip"]),
        (&json!("2027-01-15T08:00:00Z"), &json!("192.0.2.7"))
    );
    let listed = client.get("/v1/keys").await;
    assert_eq!(
        listed.at("/data/keys/0/last_used_at"),
        "2027-01-15T08:00:00Z"
    );
    assert_eq!(listed.at("/data/keys/0/last_used_ip"), "192.0.2.7");
    for (metric, value) in [
        ("reports_total", 1.0),
        ("keys_total", 1.0),
        ("commit_seconds_count", 1.0),
    ] {
        let metric = plane.metric(&format!("latchkey_usage_{metric}")).await;
        assert!((metric - value).abs() < f64::EPSILON, "{metric}");
    }
    assert_eq!(
        plane.store().revision(),
        node.snapshot.revision,
        "usage is no revision"
    );
}

#[tokio::test]
async fn days_and_months_begin_on_the_calendar() {
    let plane = Plane::start().await;
    let id = plane.log_in().await.key("CI").await;
    let mut node = node(&plane, 1).await;
    let key = node.snapshot.key("CI").number;
    node.count(vec![admitted(key, 5)]).await;
    for (seconds, today, month) in [
        (16 * 3_600 - 1, 5, 5),
        (1, 0, 5),
        (16 * 86_400 - 1, 0, 5),
        (1, 0, 0),
    ] {
        plane.clock.advance(seconds);
        let usage = shown(&plane.log_in().await, &id).await["usage"].clone();
        let seen = (
            usage["requests_today"].as_u64(),
            usage["requests_this_month"].as_u64(),
        );
        assert_eq!(seen, (Some(today), Some(month)));
        assert_eq!(usage["by_code"]["allowed"], month, "after {seconds}");
    }
}

/// Checks also that it is never in the future.
#[tokio::test]
async fn last_use_is_the_latest() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let (mut one, mut two) = (node(&plane, 1).await, node(&plane, 2).await);
    let key = one.snapshot.key("CI").number;
    let used = |count: u64, at: i64, ip: &[u8]| KeyUsage {
        key,
        requests: vec![count],
        last_uses: used(1, at, ip),
        ..KeyUsage::default()
    };
    one.count(vec![used(1, START - 10, &[192, 0, 2, 1])]).await;
    two.count(vec![used(1, START - 20, &[192, 0, 2, 2])]).await;
    let last = shown(&client, &id).await;
    assert_eq!(
        (&last["last_used_at"], &last["last_used_ip"]),
        (&json!("2027-01-15T07:59:50Z"), &json!("192.0.2.1"))
    );
    // The clock of this node is ahead.
    two.count(vec![used(
        2,
        START + 500,
        &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
    )])
    .await;
    let last = shown(&client, &id).await;
    assert_eq!(
        (&last["last_used_at"], &last["last_used_ip"]),
        (&json!("2027-01-15T08:00:00Z"), &json!("2001:db8::2"))
    );
    plane.clock.advance(5);
    one.count(vec![used(2, START + 4, &[])]).await;
    let last = shown(&client, &id).await;
    assert_eq!(
        (&last["last_used_at"], &last["last_used_ip"]),
        (&json!("2027-01-15T08:00:04Z"), &Value::Null)
    );
}

#[tokio::test]
async fn repeated_total_counts_once() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let mut node = node(&plane, 1).await;
    let key = node.snapshot.key("CI").number;
    for count in [5, 5, 7] {
        node.count(vec![admitted(key, count)]).await;
    }
    // Several reports in one transaction, and one key twice in a report.
    node.report(vec![admitted(key, 8)]).await;
    node.report(vec![admitted(key, 8), admitted(key, 9)]).await;
    node.report(vec![admitted(key, 9)]).await;
    node.all_stored().await;
    let usage = shown(&client, &id).await["usage"].clone();
    assert_eq!(
        (&usage["requests_today"], &usage["by_code"]["allowed"]),
        (&json!(9), &json!(9))
    );
}

/// A node of version 0.1 is the exception.
#[tokio::test]
async fn decreased_total_counts_nothing() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let mut newer = node(&plane, 1).await;
    let mut node = Node::connect(&plane, former_hello(), Snapshot::default()).await;
    node.publish().await;
    let key = node.snapshot.key("CI").number;
    let total = |allowed: u64, limited: u64| {
        let requests = vec![allowed, 0, 0, 0, 0, 0, 0, limited];
        vec![KeyUsage {
            key,
            requests,
            ..KeyUsage::default()
        }]
    };
    for (allowed, limited) in [(100, 20), (40, 20), (50, 30)] {
        newer.count(total(allowed, limited)).await;
    }
    let by_code = shown(&client, &id).await["usage"]["by_code"].clone();
    assert_eq!(
        (&by_code["allowed"], &by_code["rate_limited"]),
        (&json!(100), &json!(30))
    );
    node.count(total(10, 2)).await;
    node.count(total(4, 2)).await;
    node.count(total(5, 3)).await;
    let by_code = shown(&client, &id).await["usage"]["by_code"].clone();
    assert_eq!(
        (&by_code["allowed"], &by_code["rate_limited"]),
        (&json!(115), &json!(35))
    );
}

#[tokio::test]
async fn report_with_lost_acknowledgement_counts_once() {
    let mut plane = Plane::start().await;
    let id = plane.log_in().await.key("CI").await;
    let mut node = node(&plane, 1).await;
    let key = node.snapshot.key("CI").number;
    node.report(vec![admitted(key, 5)]).await;
    let pool = plane.pool().await;
    let stored = "SELECT COUNT(*) FROM node_usage";
    let started = Instant::now();
    while sqlx::query_scalar::<_, i64>(stored)
        .fetch_one(&pool)
        .await
        .unwrap()
        == 0
    {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "it was never stored"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    plane.restart().await;
    let mut node = Node::connect(
        &plane,
        Hello {
            instance: 1,
            ..hello()
        },
        node.snapshot,
    )
    .await;
    node.publish().await;
    node.count(vec![admitted(key, 5)]).await;
    let client = plane.log_in().await;
    let usage = shown(&client, &id).await["usage"].clone();
    assert_eq!(
        (&usage["requests_today"], &usage["by_code"]["allowed"]),
        (&json!(5), &json!(5))
    );
    assert_eq!(buckets(&client, "").await.len(), 1);
}

/// Other nodes get no message about it.
#[tokio::test]
async fn revoked_key_is_still_counted() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let (mut one, mut two) = (node(&plane, 1).await, node(&plane, 2).await);
    let key = one.snapshot.key("CI").number;
    client.delete(&format!("/v1/keys/{id}?wait_ms=0")).await;
    for node in [&mut one, &mut two] {
        node.publish().await;
        node.count(vec![admitted(key, 5)]).await;
    }
    assert_eq!(shown(&client, &id).await["usage"]["by_code"]["allowed"], 10);
    for node in [&mut one, &mut two] {
        assert_eq!(node.elsewhere, []);
        assert!(node.stream.is_silent().await);
    }
}

#[tokio::test]
async fn streams_outlast_failing_usage_writes() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let mut node = node(&plane, 1).await;
    let key = node.snapshot.key("CI").number;
    let pool = plane.pool().await;
    let mut blocked = pool.acquire().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut *blocked)
        .await
        .unwrap();
    // More reports than are accepted without an acknowledgement.
    for count in 1..=6 {
        node.report(vec![admitted(key, count)]).await;
    }
    assert_eq!(node.stream.heartbeat().await, plane.store().revision());
    sqlx::query("ROLLBACK")
        .execute(&mut *blocked)
        .await
        .unwrap();
    node.all_stored().await;
    assert_eq!(shown(&client, &id).await["usage"]["by_code"]["allowed"], 6);
}
