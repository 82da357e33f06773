//! Tests changes by others while a file is being applied.

use super::Person;
use crate::harness::{Client, Plane, http_client};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Starts a proxy to the control plane that makes `change` just before the first request that
/// begins with `before`. Returns its URL.
async fn meddled(
    client: &Client<'_>,
    plane: &Plane,
    before: &'static str,
    change: (Method, String, Value),
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let upstream = plane.http_url().strip_prefix("http://").unwrap().to_owned();
    let (method, path, body) = change;
    let change = http_client()
        .request(method, format!("{}{path}", plane.http_url()))
        .bearer_auth(&client.token);
    let change = Arc::new(change.json(&body));
    let made = Arc::new(AtomicBool::new(false));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&upstream).await.unwrap();
            let (change, made) = (change.clone(), made.clone());
            tokio::spawn(async move {
                let (mut requests, mut answers) = ([0; 65_536], [0; 65_536]);
                loop {
                    tokio::select! {
                        read = client.read(&mut requests) => match read {
                            Ok(length @ 1..) => {
                                let request = &requests[..length];
                                if request.starts_with(before.as_bytes()) && !made.swap(true, Ordering::SeqCst) {
                                    let answer = change.try_clone().unwrap().send().await.unwrap();
                                    assert!(answer.status().is_success(), "{answer:?}");
                                }
                                server.write_all(request).await.unwrap();
                            }
                            _ => break,
                        },
                        read = server.read(&mut answers) => match read {
                            Ok(length @ 1..) => client.write_all(&answers[..length]).await.unwrap(),
                            _ => break,
                        },
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn apply_overwrites_no_concurrent_change() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let key = format!("/v1/keys/{}", client.key("CI").await);
    let user = client
        .user("zoe@localhost", json!({"roles": ["dns_manager"]}))
        .await;
    let tiers = |free: u32| {
        let tiers = [
            ("free", free),
            ("basic", 100),
            ("pro", 1_000),
            ("enterprise", 10_000),
        ];
        json!({"tiers": tiers.map(|(name, minute)| json!({"name": name, "limits": {"minute": minute}}))})
    };
    let routes = |path: &str| json!({"rules": [{"path": {"exact": path}, "public": true}]});
    for (before, path, method, theirs, ours) in [
        (
            "GET /v1/keys/key_",
            &key,
            Method::PATCH,
            json!({"description": "theirs"}),
            json!({"keys": [{"name": "CI", "description": "ours"}]}),
        ),
        (
            "PATCH /v1/keys/",
            &key,
            Method::PATCH,
            json!({"limits": {"minute": 7}}),
            json!({"keys": [{"name": "CI", "limits": {"minute": 8}}]}),
        ),
        (
            "PATCH /v1/users/",
            &user,
            Method::PATCH,
            json!({"disabled": true}),
            json!({"users": [{"email": "zoe@localhost", "roles": ["cache_purger"], "disabled": false}]}),
        ),
        (
            "PUT /v1/routes",
            &"/v1/routes".to_owned(),
            Method::PUT,
            routes("/theirs"),
            json!({"routes": routes("/ours")}),
        ),
        (
            "PUT /v1/tiers",
            &"/v1/tiers".to_owned(),
            Method::PUT,
            tiers(11),
            tiers(12),
        ),
    ] {
        let url = meddled(
            &client,
            &plane,
            before,
            (method, path.clone(), theirs.clone()),
        )
        .await;
        let person = Person::stranger(&url).with("LATCHKEY_TOKEN", &client.token);
        let file = person.file("latchkey.yaml", &ours.to_string());
        let output = person.run(&["apply", "-f", &file]).await;
        output.failed(8, "it was changed by somebody else since the plan was made");
        let shown = client.get(path).await;
        for (field, value) in theirs.as_object().unwrap() {
            let shown = &shown.body["data"][field];
            let same = if field == "rules" {
                shown[0]["path"] == value[0]["path"]
            } else {
                shown == value
            };
            assert!(same, "{before} {field}: {shown}");
        }
        // The next plan is made from the current state.
        person.run(&["apply", "-f", &file]).await.done();
    }
}

#[tokio::test]
async fn steps_before_a_conflict_are_reported() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let change = (
        Method::PATCH,
        format!("/v1/keys/{id}"),
        json!({"description": "theirs"}),
    );
    let url = meddled(&client, &plane, "PATCH /v1/keys/", change).await;
    let person = Person::stranger(&url).with("LATCHKEY_TOKEN", &client.token);
    let file = "{services: [{name: dns}], keys: [{name: CI, description: ours}]}";
    let file = person.file("latchkey.yaml", file);
    let output = person.run(&["apply", "-f", &file]).await;
    output.failed(
        8,
        "apply the file again\ndone:\n  + service dns\nnot done:\n  ~ key CI: description - → ours",
    );
}
