//! Tests nodes that are unknown after a start: when a start assumes them, and how long they count,
//! if time passes while the control plane is stopped or its clock is changed.

use crate::harness::Plane;
use crate::harness::{NODE_TOKEN, START};
use crate::lost::{DAY, becomes, create, enforcement, is_lost, ready, total};
use crate::node::{INSTANCE, Node, PATIENCE, Snapshot, Stream, complete, handle, hello};
use latchkey_protocol::{Hello, from_node, to_node};
use latchkey_store::backup::{backup, restore};
use serde_json::json;
use std::fs;
use std::time::{Duration, Instant};
use tokio::time;

async fn noted_at(plane: &Plane) -> i64 {
    sqlx::query_scalar("SELECT noted_at FROM meta")
        .fetch_one(&plane.pool().await)
        .await
        .unwrap()
}

/// Waits until it is recorded that the control plane runs at `expected`.
pub(crate) async fn is_noted(plane: &Plane, expected: i64) {
    let began = Instant::now();
    while noted_at(plane).await != expected {
        assert!(began.elapsed() < PATIENCE, "it is not noted");
        time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn note_is_written_each_second() {
    let mut plane = Plane::start().await;
    plane.clock.advance(60);
    is_noted(&plane, START + 60).await;
    plane.crash().await;
    assert_eq!(
        enforcement(&create(&plane.log_in().await, "one", 0).await),
        json!([0, 0, 0, true])
    );
}

/// The note of the time is written once every node is saved.
#[tokio::test]
async fn note_waits_for_unsaved_nodes() {
    let mut plane = Plane::start().await;
    let pool = plane.pool().await;
    let trigger =
        "CREATE TRIGGER fails BEFORE INSERT ON nodes BEGIN SELECT RAISE(FAIL, 'full'); END";
    sqlx::query(trigger).execute(&pool).await.unwrap();
    let node = Node::connect(&plane, hello(), Snapshot::default()).await;
    plane.clock.advance(10);
    time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(noted_at(&plane).await, START);
    plane.crash().await;
    sqlx::query("DROP TRIGGER fails")
        .execute(&pool)
        .await
        .unwrap();
    let client = plane.log_in().await;
    assert_eq!(
        enforcement(&create(&client, "one", 0).await),
        json!([1, 0, 1, false])
    );
    assert!(
        client
            .get("/v1/nodes")
            .await
            .at("/data/unknown")
            .is_object()
    );
    drop(node);
}

#[tokio::test]
async fn unknown_nodes_count_for_longest_limit() {
    let mut plane = Plane::start_with(&["--node-grace-ms=50"]).await;
    let client = plane.log_in().await;
    for (instance, staleness_seconds) in [(1, 3_600), (2, 60)] {
        drop(
            ready(
                &plane,
                Hello {
                    instance,
                    staleness_seconds,
                    ..hello()
                },
            )
            .await,
        );
        is_lost(&client, &handle(instance)).await;
        client
            .delete(&format!("/v1/nodes/{}", handle(instance)))
            .await;
    }
    becomes(&client, 0).await;
    plane.take().shutdown().await;
    plane.clock.advance(6);
    plane.run().await;
    let client = plane.log_in().await;
    assert_eq!(
        enforcement(&create(&client, "one", 0).await),
        json!([1, 0, 1, false])
    );
    let left = client
        .get("/v1/nodes")
        .await
        .number("/data/unknown/expires_in_seconds");
    assert!((3_590..=3_600).contains(&left), "{left}");
    // Forgetting these nodes declares that none of them serves.
    client.delete("/v1/nodes/unknown").await;
    plane.take().shutdown().await;
    plane.clock.advance(6);
    plane.run().await;
    let left = plane.log_in().await.get("/v1/nodes").await;
    let left = left
        .body
        .pointer("/data/unknown/expires_in_seconds")
        .map(|left| left.as_u64().unwrap());
    assert!(left.is_none_or(|left| left <= 1), "{left:?}");
}

#[tokio::test]
async fn unknown_nodes_count_forever_without_a_limit() {
    let mut plane = Plane::start_with(&["--node-grace-ms=50"]).await;
    let client = plane.log_in().await;
    drop(
        ready(
            &plane,
            Hello {
                staleness_seconds: 0,
                ..hello()
            },
        )
        .await,
    );
    is_lost(&client, &handle(INSTANCE)).await;
    client
        .delete(&format!("/v1/nodes/{}", handle(INSTANCE)))
        .await;
    plane.take().shutdown().await;
    plane.clock.advance(6);
    plane.run().await;
    let client = plane.log_in().await;
    assert_eq!(
        client.get("/v1/nodes").await.at("/data/unknown"),
        &json!({})
    );
    assert_eq!(
        enforcement(&create(&client, "one", 0).await),
        json!([1, 0, 1, false])
    );
}

#[tokio::test]
async fn clock_change_expires_no_lost_node() {
    let plane = Plane::start_with(&["--node-grace-ms=50"]).await;
    let client = plane.log_in().await;
    let node = ready(
        &plane,
        Hello {
            staleness_seconds: 3,
            ..hello()
        },
    )
    .await;
    let lost = Instant::now();
    drop(node);
    is_lost(&client, &handle(INSTANCE)).await;
    for seconds in [86_400, -2 * 86_400] {
        plane.clock.advance(seconds);
        time::sleep(Duration::from_millis(500)).await;
        // Sessions end by the clock, so a new one is needed.
        let counted = total(&plane.log_in().await).await;
        assert!(
            counted == 1 || lost.elapsed() >= Duration::from_secs(3),
            "{seconds}"
        );
    }
    becomes(&plane.log_in().await, 0).await;
    assert!(
        lost.elapsed() >= Duration::from_secs(3),
        "{:?}",
        lost.elapsed()
    );
}

#[tokio::test]
async fn lost_time_adds_up_across_restarts() {
    let mut plane = Plane::start_with(&["--node-grace-ms=50"]).await;
    let node = ready(
        &plane,
        Hello {
            staleness_seconds: 6,
            ..hello()
        },
    )
    .await;
    let lost = Instant::now();
    drop(node);
    is_lost(&plane.log_in().await, &handle(INSTANCE)).await;
    for _ in 0..3 {
        time::sleep(Duration::from_millis(2_500)).await;
        plane.restart().await;
        let counted = total(&plane.log_in().await).await;
        assert!(
            counted == 1 || lost.elapsed() >= Duration::from_secs(6),
            "it expired early"
        );
    }
    // Up to a second of each process is not recorded.
    let restarted = Instant::now();
    becomes(&plane.log_in().await, 0).await;
    assert!(
        restarted.elapsed() < Duration::from_secs(5),
        "{:?}",
        restarted.elapsed()
    );
}

#[tokio::test]
async fn longer_limit_is_saved_before_welcome() {
    let plane = Plane::start().await;
    let held = ready(
        &plane,
        Hello {
            staleness_seconds: 60,
            ..hello()
        },
    )
    .await
    .snapshot;
    let writer = plane
        .pool()
        .await
        .begin_with("BEGIN IMMEDIATE")
        .await
        .unwrap();
    let mut stream = Stream::open(&plane, Some(&format!("Bearer {NODE_TOKEN}")))
        .await
        .unwrap();
    let longer = complete(
        Hello {
            staleness_seconds: DAY,
            ..hello()
        },
        &held,
    );
    stream.send(from_node::Message::Hello(longer)).await;
    assert!(
        stream.is_silent().await,
        "it is served before it is written down"
    );
    writer.rollback().await.unwrap();
    assert!(matches!(
        stream.next().await,
        Ok(to_node::Message::Welcome(_))
    ));
    let pool = plane.pool().await;
    let written: i64 = sqlx::query_scalar("SELECT staleness FROM nodes")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(written.unsigned_abs(), DAY);
}

/// The restore replaces a database that cannot be read.
#[tokio::test]
async fn unreadable_database_has_unknown_nodes() {
    for former in [None, Some("no database")] {
        let mut plane = Plane::start().await;
        plane.create_keys("kept", 1).await;
        let held = ready(
            &plane,
            Hello {
                staleness_seconds: DAY,
                ..hello()
            },
        )
        .await
        .snapshot;
        let file = plane.database().with_extension("backup");
        backup(&plane.database(), &file).await.unwrap();
        plane.take().shutdown().await;
        fs::remove_file(plane.database()).unwrap();
        if let Some(content) = former {
            fs::write(plane.database(), content).unwrap();
        }
        restore(&file, &plane.database(), true, 5).await.unwrap();
        plane.run().await;
        let client = plane.log_in().await;
        assert_eq!(
            enforcement(&create(&client, "new", 0).await),
            json!([2, 0, 2, false]),
            "{former:?}"
        );
        let nodes = client.get("/v1/nodes").await;
        assert_eq!(nodes.text("/data/nodes/0/handle"), handle(INSTANCE));
        let left = nodes.number("/data/unknown/expires_in_seconds");
        assert!((DAY - 60..=DAY).contains(&left), "{left}");
        // The epoch after a restore needs no confirmation.
        let mut node = Node::connect(
            &plane,
            Hello {
                staleness_seconds: DAY,
                ..hello()
            },
            held,
        )
        .await;
        assert!(!node.welcome.resume);
        node.publish().await;
        assert_eq!(node.snapshot.names(), ["kept-0", "new"]);
    }
}
