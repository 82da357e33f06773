//! Tests the stream: which nodes are admitted, and that they are sent everything they need.

mod resume;

use crate::harness::{NODE_TOKEN, Plane};
use crate::node::{HeldKey, Node, Snapshot, Stream, complete, hello};
use latchkey_policy::key::{Environment, KeyDigest};
use latchkey_policy::record::FORMAT;
use latchkey_protocol::{Ack, Hello, from_node};
use latchkey_store::CHUNK_LEN;
use serde_json::json;
use tonic::Code;

#[tokio::test]
async fn stream_needs_the_node_token() {
    let plane = Plane::start().await;
    let session = plane.log_in().await.token;
    for authorization in [
        None,
        Some(""),
        Some("Bearer "),
        Some(NODE_TOKEN),
        Some("Bearer node-token-of-the-test"),
        Some("Bearer node-token-of-the-tests2"),
        Some(&format!("Bearer {session}")),
    ] {
        let mut stream = Stream::open(&plane, authorization).await.unwrap();
        stream
            .send(from_node::Message::Hello(complete(
                hello(),
                &Snapshot::default(),
            )))
            .await;
        let refused = stream.end().await;
        assert_eq!(refused.code(), Code::Unauthenticated, "{authorization:?}");
        assert!(!refused.message().contains(NODE_TOKEN));
    }
}

#[tokio::test]
async fn hello_comes_first_and_once() {
    let plane = Plane::start().await;
    let authorization = format!("Bearer {NODE_TOKEN}");
    let ack = from_node::Message::Ack(Ack {
        sequence: 0,
        revision: 0,
    });
    let greeting = from_node::Message::Hello(complete(hello(), &Snapshot::default()));
    let formatless = from_node::Message::Hello(complete(
        Hello {
            format: 0,
            ..hello()
        },
        &Snapshot::default(),
    ));
    for (messages, code) in [
        (vec![ack], Code::InvalidArgument),
        (vec![greeting.clone(), greeting], Code::InvalidArgument),
        (vec![formatless], Code::FailedPrecondition),
    ] {
        let mut stream = Stream::open(&plane, Some(&authorization)).await.unwrap();
        for message in messages {
            stream.send(message).await;
        }
        assert_eq!(stream.end().await.code(), code);
    }
}

#[tokio::test]
async fn a_stream_without_hello_ends() {
    let plane = Plane::start().await;
    let mut stream = Stream::open(&plane, Some(&format!("Bearer {NODE_TOKEN}")))
        .await
        .unwrap();
    assert_eq!(stream.end().await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn node_without_acknowledgements_is_disconnected() {
    let plane = Plane::start().await;
    let mut node = Node::connect(&plane, hello(), Snapshot::default()).await;
    assert_eq!(node.stream.end().await.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn overlong_message_ends_the_stream() {
    let plane = Plane::start().await;
    let mut stream = Stream::open(&plane, Some(&format!("Bearer {NODE_TOKEN}")))
        .await
        .unwrap();
    stream
        .send(from_node::Message::Hello(Hello {
            node_id: "x".repeat(1_100_000),
            ..hello()
        }))
        .await;
    assert_eq!(stream.end().await.code(), Code::OutOfRange);
}

#[tokio::test]
async fn unsent_batch_cannot_be_acknowledged() {
    let plane = Plane::start().await;
    let mut node = Node::ready(&plane).await;
    let next = node.sequence + 1;
    node.stream
        .send(from_node::Message::Ack(Ack {
            sequence: next,
            revision: 1,
        }))
        .await;
    assert_eq!(node.stream.end().await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn new_node_gets_every_live_key() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let expiring = json!({"name": "expiring", "environment": "test", "tier": "pro", "expires_at": 1_800_000_060});
    let expiring = client.generate(expiring).await;
    let plain = client.generate(json!({"name": "plain"})).await;
    let gone = client.key("gone").await;
    client.delete(&format!("/v1/keys/{gone}")).await;
    // Expired keys are sent: a node answers expired_key for them, and invalid_key for unknown ones.
    plane.clock.advance(120);

    let node = Node::ready(&plane).await;
    assert!(!node.welcome.resume);
    assert_eq!(
        (
            node.welcome.format,
            node.welcome.keys,
            node.welcome.heartbeat_millis
        ),
        (FORMAT, 2, 1_000)
    );
    assert_eq!(node.snapshot.epoch, plane.store().epoch());
    assert_eq!(node.snapshot.revision, plane.store().revision());
    assert_eq!(node.snapshot.names(), ["expiring", "plain"]);
    let (account, user) = plane.owner().await;
    for (answer, tier, environment, expires_at) in [
        (&expiring, "pro", Environment::Test, Some(1_800_000_060)),
        (&plain, "basic", Environment::Live, None),
    ] {
        let held = &node.snapshot.keys[&KeyDigest::of(answer.text("/data/api_key").as_bytes())];
        let (id, name) = (answer.text("/data/key_id"), answer.text("/data/name"));
        assert_eq!(
            held,
            &HeldKey {
                id,
                name,
                expires_at,
                disabled: false,
                ..held.clone()
            }
        );
        let policy = &node.snapshot.policies[&held.policy];
        assert_eq!(
            (policy.account.as_str(), policy.user.as_str()),
            (account.as_str(), user.as_str())
        );
        assert_eq!(
            (policy.tier.as_str(), policy.environment),
            (tier, environment)
        );
        assert!(!policy.owner_disabled && !policy.account_disabled);
    }
}

#[tokio::test]
async fn keys_with_equal_lists_share_a_policy() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let lists = |name: &str, enabled: bool| json!({"name": name, "allowed_ips": ["10.0.0.0/8", {"cidr": "192.0.2.0/24", "enabled": enabled}], "denied_ips": ["::1"]});
    let mut secrets = Vec::new();
    for asked in [
        lists("one", false),
        lists("two", false),
        lists("three", true),
        json!({"name": "four"}),
    ] {
        secrets.push(client.generate(asked).await.text("/data/api_key"));
    }
    let node = Node::ready(&plane).await;
    let policies: Vec<_> = secrets
        .iter()
        .map(|secret| node.snapshot.keys[&KeyDigest::of(secret.as_bytes())].policy)
        .collect();
    assert_eq!(policies[0], policies[1]);
    assert_eq!(node.snapshot.policies.len(), 3);
    let lists = |policy: u64| {
        let addresses = &node.snapshot.policies[&policy].addresses;
        [&addresses.allow, &addresses.deny]
            .map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    // With an allow list, the deny list has no effect and is not sent.
    assert_eq!(lists(policies[0]), [vec!["10.0.0.0/8".to_owned()], vec![]]);
    assert_eq!(
        lists(policies[2]),
        [
            vec!["10.0.0.0/8".to_owned(), "192.0.2.0/24".to_owned()],
            vec![]
        ]
    );
    assert_eq!(lists(policies[3]), [vec![], Vec::<String>::new()]);
}

#[tokio::test]
async fn policy_follows_its_last_and_next_key() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let lists = |name: &str| json!({"name": name, "denied_ips": ["10.0.0.0/8"]});
    let mut node = Node::ready(&plane).await;
    for round in 0..2 {
        let mut ids = Vec::new();
        for name in ["one", "two"] {
            ids.push(
                client
                    .generate(lists(&format!("{name} {round}")))
                    .await
                    .text("/data/key_id"),
            );
            node.publish().await;
        }
        assert_eq!(node.snapshot.policies.len(), 1);
        for (id, left) in ids.iter().zip([1, 0]) {
            client.delete(&format!("/v1/keys/{id}?wait_ms=0")).await;
            node.publish().await;
            assert_eq!(node.snapshot.policies.len(), left, "round {round}");
        }
    }
    // A new snapshot does not contain removed policies either.
    assert_eq!(Node::ready(&plane).await.snapshot.policies.len(), 0);
}

#[tokio::test]
async fn large_snapshot_comes_in_bounded_batches() {
    let plane = Plane::start().await;
    let made = plane.create_keys("large", 25_000).await;
    let mut node = Node::connect(&plane, hello(), Snapshot::default()).await;
    for _ in 0..4 {
        assert_eq!(node.take().await.revision, 0);
    }
    assert!(
        node.stream.is_silent().await,
        "a fifth batch came before the first was acknowledged"
    );
    node.acknowledge().await;
    let rest = node.publish().await;
    let bytes = |batch: &latchkey_protocol::Batch| {
        batch.policies.len() + batch.keys.len() + batch.removed_keys.len()
    };
    assert!(rest.len() > 4 && rest.iter().all(|batch| bytes(batch) <= CHUNK_LEN));
    assert_eq!(node.snapshot.keys.len(), 25_000);
    assert!(
        made.iter()
            .all(|(secret, id)| &node.snapshot.keys[&secret.digest()].id == id)
    );
}

#[tokio::test]
async fn snapshot_contains_changes_made_during_it() {
    let plane = Plane::start().await;
    let made = plane.create_keys("old", 20_000).await;
    let account = &plane.owner().await.0;
    let mut node = Node::connect(&plane, hello(), Snapshot::default()).await;
    for _ in 0..4 {
        node.take().await;
    }
    // Some of these keys are on pages that were sent already, and some are not.
    let ids: Vec<_> = made.iter().step_by(100).map(|(_, id)| id.clone()).collect();
    plane.store().revoke_keys(account, &ids, 0).await.unwrap();
    // No key had this tier when the policies were sent.
    let fresh = plane.create_keys_of("pro", "new", 200).await;
    node.acknowledge().await;
    node.catch_up(plane.store().revision()).await;
    assert_eq!(node.snapshot.keys.len(), 20_000);
    assert!(
        fresh
            .iter()
            .all(|(secret, _)| node.snapshot.keys.contains_key(&secret.digest()))
    );
    assert!(
        made.iter()
            .step_by(100)
            .all(|(secret, _)| !node.snapshot.keys.contains_key(&secret.digest()))
    );
}

#[tokio::test]
async fn change_reaches_every_node_at_once() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let mut nodes = Vec::new();
    for instance in 0..3 {
        let mut node = Node::connect(
            &plane,
            Hello {
                instance,
                ..hello()
            },
            Snapshot::default(),
        )
        .await;
        node.publish().await;
        nodes.push(node);
    }
    let id = client.generate(json!({"name": "CI"})).await;
    let revision = client
        .delete(&format!("/v1/keys/{}?wait_ms=0", id.text("/data/key_id")))
        .await;
    let revision = revision.number("/data/enforcement/revision");
    for node in &mut nodes {
        node.publish().await;
        assert_eq!(node.snapshot.names(), ["CI"]);
        node.catch_up(revision).await;
        assert_eq!(node.snapshot.names(), [""; 0]);
    }
}

#[tokio::test]
async fn lagging_node_catches_up_without_loss() {
    let plane = Plane::start().await;
    let mut node = Node::ready(&plane).await;
    // More changes than the control plane holds for a node that acknowledges none of them.
    for round in 0..60 {
        plane.create_keys(&format!("round-{round}"), 2).await;
    }
    node.catch_up(plane.store().revision()).await;
    assert_eq!(node.snapshot.keys.len(), 120);
    assert!(node.sequence < 60, "it was sent every single change");
}

#[tokio::test]
async fn a_silent_stream_has_a_heartbeat() {
    let plane = Plane::start().await;
    let mut node = Node::ready(&plane).await;
    assert_eq!(node.stream.heartbeat().await, 1);
    plane.create_keys("CI", 1).await;
    node.publish().await;
    assert_eq!(node.stream.heartbeat().await, 2);
}

#[tokio::test]
async fn streams_end_with_the_control_plane() {
    let mut plane = Plane::start().await;
    let mut node = Node::ready(&plane).await;
    plane.restart().await;
    assert_eq!(node.stream.end().await.code(), Code::Unavailable);
}
