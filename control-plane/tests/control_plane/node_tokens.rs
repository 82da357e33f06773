//! Tests node tokens: who may create them, which nodes they admit, and that revoking one closes its
//! streams.

use crate::harness::{Client, NODE_TOKEN, Plane};
use crate::node::{Node, Snapshot, Stream, complete, hello};
use latchkey_protocol::{Hello, from_node, to_node};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status};

async fn create(client: &Client<'_>, name: &str, node: &str) -> String {
    let answer = client
        .send(
            Method::POST,
            "/v1/node-tokens",
            json!({"name": name, "node": node}),
        )
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.text("/data/node_token")
}

/// Sends Hello with a token, and returns the stream once it is welcomed.
pub(crate) async fn connect(
    plane: &Plane,
    token: &str,
    node_id: &str,
    instance: u64,
) -> Result<Stream, Status> {
    let mut stream = Stream::open(plane, Some(&format!("Bearer {token}"))).await?;
    let hello = complete(
        Hello {
            node_id: node_id.to_owned(),
            instance,
            ..hello()
        },
        &Snapshot::default(),
    );
    stream.send(from_node::Message::Hello(hello)).await;
    match stream.next().await? {
        to_node::Message::Welcome(_) => Ok(stream),
        other => panic!("no Welcome but {other:?}"),
    }
}

#[tokio::test]
async fn node_token_matches_its_pattern_only() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let token = create(&admin, "edge", "edge-*").await;
    assert!(token.starts_with("lkn_") && token.len() == 47, "{token}");
    connect(&plane, &token, "edge-1", 1).await.unwrap();
    for node_id in ["core-1", ""] {
        let refused = connect(&plane, &token, node_id, 2).await.err().unwrap();
        assert_eq!(refused.code(), Code::PermissionDenied, "{node_id}");
        assert!(!refused.message().contains(&token));
    }
    connect(&plane, &create(&admin, "all", "*").await, "", 3)
        .await
        .unwrap();
    assert_eq!(
        plane
            .metric("latchkey_node_token_refusals_total{reason=\"node_id\"}")
            .await,
        2.0
    );
    assert_eq!(
        plane
            .metric("latchkey_node_token_refusals_total{reason=\"token\"}")
            .await,
        0.0
    );
}

#[tokio::test]
async fn revoked_node_token_ends_only_its_streams() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let (first, second) = (
        create(&admin, "first", "edge-*").await,
        create(&admin, "second", "edge-*").await,
    );
    let mut ended = connect(&plane, &first, "edge-1", 1).await.unwrap();
    let mut kept = connect(&plane, &second, "edge-2", 2).await.unwrap();
    assert_eq!(
        plane
            .metric("latchkey_node_streams{credential=\"token\"}")
            .await,
        2.0
    );
    let revoked = admin.delete("/v1/node-tokens/first").await;
    assert_eq!(
        (revoked.status, revoked.at("/data/name")),
        (StatusCode::OK, &json!("first"))
    );
    assert_eq!(ended.end().await.code(), Code::Unauthenticated);
    assert_eq!(
        connect(&plane, &first, "edge-1", 1)
            .await
            .err()
            .unwrap()
            .code(),
        Code::Unauthenticated
    );
    let nodes = admin.get("/v1/nodes").await;
    let connected: Vec<_> = nodes
        .at("/data/nodes")
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (&node["node_id"], &node["connected"]))
        .collect();
    assert_eq!(
        connected,
        [
            (&json!("edge-1"), &json!(false)),
            (&json!("edge-2"), &json!(true))
        ]
    );
    assert!(!matches!(kept.next().await, Err(status) if status.code() == Code::Unauthenticated));
    admin
        .delete("/v1/node-tokens/first")
        .await
        .refused(404, "node_token_not_found");

    let listed = admin.get("/v1/node-tokens").await;
    let states = listed.at("/data/node_tokens").as_array().unwrap().iter();
    let states: Vec<_> = states
        .map(|token| (&token["name"], token["revoked_at"].is_null()))
        .collect();
    assert_eq!(states, [(&json!("first"), false), (&json!("second"), true)]);
    assert!(!listed.body.to_string().contains("lkn_"));
}

/// No token is accepted twice.
#[tokio::test]
async fn supplied_node_token_is_hashed() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let token = "a token of a Secret";
    let body =
        |name| json!({"name": name, "node": "*", "sha256": hex::encode(Sha256::digest(token))});
    let created = admin
        .send(Method::POST, "/v1/node-tokens", body("secret"))
        .await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert!(
        created.body.pointer("/data/node_token").is_none(),
        "{created:?}"
    );
    connect(&plane, token, "edge-1", 1).await.unwrap();
    let again = admin
        .send(Method::POST, "/v1/node-tokens", body("again"))
        .await;
    again.refused_by(409, "token_taken", "sha256");
    admin
        .send(
            Method::POST,
            "/v1/node-tokens",
            json!({"name": "secret", "node": "*"}),
        )
        .await
        .refused_by(409, "name_taken", "name");
    admin.delete("/v1/node-tokens/secret").await;
    admin
        .send(Method::POST, "/v1/node-tokens", body("again"))
        .await
        .refused_by(409, "token_taken", "sha256");
    create(&admin, "secret", "*").await;
    for (field, body) in [
        ("name", json!({"name": "Edge 1", "node": "*"})),
        ("node", json!({"name": "edge", "node": ""})),
        (
            "sha256",
            json!({"name": "edge", "node": "*", "sha256": "00"}),
        ),
    ] {
        admin
            .send(Method::POST, "/v1/node-tokens", body)
            .await
            .refused_by(400, "invalid_request", field);
    }
}

#[tokio::test]
async fn node_tokens_are_audited() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let (_, other) = admin.account("other", json!({})).await;
    other
        .get("/v1/node-tokens")
        .await
        .refused(403, "missing_permission");
    create(&admin, "edge", "edge-*").await;
    admin.delete("/v1/node-tokens/edge").await;
    let audit = admin.get("/v1/audit?target=edge").await;
    let entries = audit.at("/data/entries").as_array().unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["node_token.delete", "node_token.create"]);
    assert_eq!(
        entries[1]["after"],
        json!({"name": "edge", "node": "edge-*"})
    );
}

#[tokio::test]
async fn shared_node_token_is_counted() {
    let plane = Plane::start().await;
    let _node = Node::ready(&plane).await;
    assert_eq!(
        plane
            .metric("latchkey_node_streams{credential=\"shared_token\"}")
            .await,
        1.0
    );
    connect(&plane, NODE_TOKEN, "", 9).await.unwrap();
}
