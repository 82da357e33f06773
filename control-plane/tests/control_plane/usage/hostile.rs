//! Tests reports that no node should send: they change nothing.

use super::{admitted, node, shown, used, windows};
use crate::harness::{NODE_TOKEN, Plane, START};
use crate::node::Stream;
use latchkey_protocol::{KeyUsage, Usage, WindowCount, from_node};
use serde_json::json;
use tonic::Code;

#[tokio::test]
async fn hostile_reports_end_the_stream_without_effect() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let key = node(&plane, 1).await.snapshot.key("CI").number;
    let good = admitted(key, 5);
    for keys in [
        vec![KeyUsage {
            requests: vec![1; 9],
            ..good.clone()
        }],
        vec![KeyUsage {
            requests: vec![u64::MAX],
            ..good.clone()
        }],
        vec![KeyUsage {
            windows: vec![WindowCount {
                kind: 5,
                number: 1,
                count: 1,
            }],
            ..good.clone()
        }],
        vec![KeyUsage {
            windows: [windows(START, 1), windows(START, 1)].concat(),
            ..good.clone()
        }],
        vec![KeyUsage {
            last_uses: used(1, i64::MIN, &[]),
            ..good.clone()
        }],
        vec![KeyUsage {
            last_uses: used(1, 0, &[1; 15]),
            ..good.clone()
        }],
        vec![KeyUsage {
            last_uses: used(0, 0, &[]),
            ..good.clone()
        }],
        vec![KeyUsage {
            last_uses: [1, 2, 3].map(|secret| used(secret, 0, &[])).concat(),
            ..good.clone()
        }],
        vec![KeyUsage::default(); 10_001],
    ] {
        let mut node = node(&plane, 1).await;
        let usage = Usage {
            sequence: 1,
            keys: [vec![good.clone()], keys].concat(),
        };
        node.stream.send(from_node::Message::Usage(usage)).await;
        assert_eq!(node.stream.end().await.code(), Code::InvalidArgument);
    }
    for sequences in [vec![0], vec![2, 2], vec![5, 4]] {
        let mut node = node(&plane, 1).await;
        for sequence in sequences {
            node.stream
                .send(from_node::Message::Usage(Usage {
                    sequence,
                    keys: Vec::new(),
                }))
                .await;
        }
        assert_eq!(node.stream.end().await.code(), Code::InvalidArgument);
    }
    // Reports before Hello are refused.
    let mut stream = Stream::open(&plane, Some(&format!("Bearer {NODE_TOKEN}")))
        .await
        .unwrap();
    stream
        .send(from_node::Message::Usage(Usage {
            sequence: 1,
            keys: vec![good],
        }))
        .await;
    assert_eq!(stream.end().await.code(), Code::InvalidArgument);
    assert_eq!(shown(&client, &id).await["usage"]["by_code"]["allowed"], 0);
}

#[tokio::test]
async fn unknown_reported_keys_are_ignored() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let mut node = node(&plane, 1).await;
    let key = node.snapshot.key("CI").number;
    let most = (1 << 53) - 1;
    let keys = vec![
        admitted(0, 5),
        admitted(key + 1, 5),
        admitted(u64::MAX, 5),
        KeyUsage {
            key,
            requests: vec![most],
            windows: windows(i64::MAX, u32::MAX),
            ..KeyUsage::default()
        },
    ];
    node.count(keys).await;
    // More requests than fit into a bucket.
    node.count(vec![KeyUsage {
        key,
        requests: vec![1],
        ..KeyUsage::default()
    }])
    .await;
    let usage = shown(&client, &id).await["usage"].clone();
    assert_eq!(
        (&usage["requests_today"], &usage["by_code"]["allowed"]),
        (&json!(0), &json!(most))
    );
    let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM node_usage")
        .fetch_one(&plane.pool().await)
        .await
        .unwrap();
    assert_eq!(rows, 1);
}
