//! A rogue node with its own valid token cannot harm other nodes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use latchkey_policy::limit::Window;
use latchkey_policy::record::{FORMAT, KeyRecord, Kind, Records};
use latchkey_protocol::snapshots_client::SnapshotsClient;
use latchkey_protocol::{
    Ack, FromNode, Hello, KeyUsage, ToNode, Usage, WindowCount, from_node, to_node, window_count,
};
use latchkey_tests::{Gateway, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Streaming};

use crate::clock::time_in;
use crate::usage::used_today;

const SOON: Duration = Duration::from_secs(20);

/// The genuine Envoy's `node.id` in these tests.
const GENUINE: &str = "envoy";

/// A node that sends any messages on the stream.
struct Rogue {
    outbox: mpsc::Sender<FromNode>,
    inbox: Streaming<ToNode>,
    /// The number of the first key that it received.
    key: Option<u64>,
}

impl Rogue {
    async fn open(gateway: &Gateway, token: &str, node_id: &str, instance: u64) -> Result<Self> {
        let mut client =
            SnapshotsClient::connect(format!("http://{}", gateway.control_plane.stream())).await?;
        let (outbox, messages) = mpsc::channel(64);
        let mut request = Request::new(ReceiverStream::new(messages));
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {token}").parse()?);
        let inbox = client.sync(request).await?.into_inner();
        let rogue = Self {
            outbox,
            inbox,
            key: None,
        };
        let hello = Hello {
            node_id: node_id.to_owned(),
            instance,
            version: "rogue".to_owned(),
            format: FORMAT,
            snapshot_secret: vec![0x66; 16],
            meter_secret: vec![0x67; 16],
            protocol: 1,
            ..Hello::default()
        };
        rogue.send(from_node::Message::Hello(hello)).await?;
        Ok(rogue)
    }

    async fn send(&self, message: from_node::Message) -> Result<()> {
        Ok(self
            .outbox
            .send(FromNode {
                message: Some(message),
            })
            .await?)
    }

    /// Acknowledges the next batch at once, and notes the number of the first key in it.
    async fn acknowledge(&mut self) -> Result<()> {
        loop {
            let message = self
                .inbox
                .message()
                .await?
                .context("the stream has ended")?;
            if let Some(to_node::Message::Batch(batch)) = message.message {
                for record in Records::new(Kind::Key, &batch.keys) {
                    let (_, bytes) = record.map_err(|error| anyhow::anyhow!("{error:?}"))?;
                    let key =
                        KeyRecord::decode(bytes).map_err(|error| anyhow::anyhow!("{error:?}"))?;
                    self.key.get_or_insert(key.number);
                }
                let ack = Ack {
                    sequence: batch.sequence,
                    revision: batch.revision,
                };
                return self.send(from_node::Message::Ack(ack)).await;
            }
        }
    }

    /// Returns the status with which the stream ends.
    async fn end(&mut self) -> Code {
        loop {
            match self.inbox.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Code::Ok,
                Err(status) => return status.code(),
            }
        }
    }
}

async fn create_token(gateway: &Gateway, name: &str, node: &str) -> String {
    let body = json!({ "name": name, "node": node });
    let data = gateway
        .control_plane
        .call(Method::POST, "/v1/node-tokens", body)
        .await
        .unwrap();
    data["node_token"].as_str().unwrap().to_owned()
}

/// Returns the nodes with that `node.id`, as `/v1/nodes` shows them.
async fn nodes_called(gateway: &Gateway, node_id: &str) -> Result<Vec<Value>> {
    let nodes = gateway.control_plane.nodes().await?;
    Ok(nodes
        .into_iter()
        .filter(|node| node["node_id"] == node_id)
        .collect())
}

#[tokio::test]
async fn rogue_node_outside_its_pattern_is_refused() {
    let gateway = Gateway::start().await;
    let token = create_token(&gateway, "rogue", "rogue-*").await;
    let mut rogue = Rogue::open(&gateway, &token, GENUINE, 1).await.unwrap();
    assert_eq!(rogue.end().await, Code::PermissionDenied);
    let genuine = nodes_called(&gateway, GENUINE).await.unwrap();
    assert_eq!(
        genuine
            .iter()
            .filter(|node| node["connected"] == true)
            .count(),
        1,
        "it keeps its place: {genuine:?}"
    );
}

/// Checks also that it acknowledges nothing for the other node.
#[tokio::test]
async fn rogue_with_same_id_replaces_nobody() {
    let mut gateway = Gateway::start().await;
    let token = create_token(&gateway, "rogue", "*").await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "one" }))
        .await
        .unwrap();
    assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 200);
    let mut rogue = Rogue::open(&gateway, &token, GENUINE, 1).await.unwrap();
    rogue.acknowledge().await.unwrap();
    let both = eventually(SOON, async || {
        let nodes = nodes_called(&gateway, GENUINE).await?;
        ensure!(
            nodes
                .iter()
                .filter(|node| node["connected"] == true)
                .count()
                == 2,
            "{nodes:?}"
        );
        Ok(())
    });
    both.await.unwrap();

    // While the genuine one cannot answer, the rogue's acknowledgement does not complete a
    // revocation.
    gateway.envoy.process().pause().unwrap();
    let eager = tokio::spawn(async move { while rogue.acknowledge().await.is_ok() {} });
    let enforcement = gateway.control_plane.revoke(&key.key_id).await.unwrap();
    assert!(
        enforcement.acknowledged < enforcement.nodes,
        "{enforcement:?}"
    );
    gateway.envoy.process().resume().unwrap();
    let complete = eventually(SOON, async || {
        let enforcement = gateway.control_plane.revoke(&key.key_id).await?;
        ensure!(
            enforcement.acknowledged == enforcement.nodes,
            "{enforcement:?}"
        );
        Ok(())
    });
    complete.await.unwrap();
    assert_eq!(
        gateway.ask("/", Some(&key.api_key)).await.code(),
        "invalid_key"
    );
    eager.abort();
}

/// The report adds to the usage of the key.
#[tokio::test]
async fn rogue_report_changes_no_other_node() {
    time_in(Window::Day, 60).await;
    let gateway = Gateway::start().await;
    let token = create_token(&gateway, "rogue", "*").await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "one" }))
        .await
        .unwrap();
    for _ in 0..3 {
        assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 200);
    }
    used_today(&gateway, &key.key_id, 3).await;
    let mut rogue = Rogue::open(&gateway, &token, GENUINE, 1).await.unwrap();
    while rogue.key.is_none() {
        rogue.acknowledge().await.unwrap();
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        .cast_signed();
    let window = |kind: window_count::Kind, window: Window, count| WindowCount {
        kind: kind.into(),
        number: window.number(now),
        count,
    };
    let report = |requests: u32| KeyUsage {
        key: rogue.key.unwrap(),
        requests: vec![requests.into()],
        windows: vec![
            window(window_count::Kind::Day, Window::Day, requests),
            window(window_count::Kind::Month, Window::Month, requests),
        ],
        ..KeyUsage::default()
    };
    // The rogue reports less than the genuine node has reported, and then less than it has reported
    // itself.
    for (sequence, requests, expected) in [(1, 1, 4), (2, 0, 4)] {
        let usage = Usage {
            sequence,
            keys: vec![report(requests)],
        };
        rogue.send(from_node::Message::Usage(usage)).await.unwrap();
        used_today(&gateway, &key.key_id, expected).await;
    }
    assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 200);
    used_today(&gateway, &key.key_id, 5).await;
}
