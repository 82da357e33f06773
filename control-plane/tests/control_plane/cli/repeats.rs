//! Tests commands whose response is lost, and repeated calls.

use super::Person;
use crate::harness::{Plane, imported};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// Starts a proxy to the control plane that drops the response of the first connection. Returns its
/// URL.
async fn lossy(plane: &Plane) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let upstream = plane.http_url().strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        let mut lost = false;
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&upstream).await.unwrap();
            if lost {
                tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
                continue;
            }
            lost = true;
            let (mut requests, mut answers) = ([0; 8_192], [0; 8_192]);
            loop {
                tokio::select! {
                    read = client.read(&mut requests) => match read {
                        Ok(length @ 1..) => server.write_all(&requests[..length]).await.unwrap(),
                        _ => break,
                    },
                    _ = server.read(&mut answers) => break,
                }
            }
        }
    });
    url
}

#[tokio::test]
async fn lost_response_creates_nothing_twice() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let person =
        || async { Person::stranger(&lossy(&plane).await).with("LATCHKEY_TOKEN", &client.token) };
    let output = person()
        .await
        .run(&["key", "create", "CI", "--quiet"])
        .await;
    output.failed(
        1,
        "was created by an earlier call, and its secret is not shown again: create a new one with \
         latchkey key regenerate key_",
    );
    assert_eq!((output.stdout.as_str(), client.total().await), ("", 1));

    let person_of_import = person().await;
    let rows = person_of_import.file(
        "keys.json",
        &json!([imported("old", "made elsewhere")]).to_string(),
    );
    let output = person_of_import
        .run(&["key", "import", "--entropy-confirmed", "-f", &rows])
        .await
        .done();
    assert!(output.starts_with("1 key imported"), "{output}");
    assert_eq!(client.total().await, 2);

    // A lost secret is replaced, and the current one stays valid.
    let id = client.key("rotated").await;
    let output = person()
        .await
        .run(&["key", "regenerate", &id, "--overlap", "1h", "--quiet"])
        .await
        .done();
    let shown = client.get(&format!("/v1/keys/{id}")).await;
    assert!(
        output.starts_with(&shown.text("/data/key_prefix")[..12]),
        "{output}"
    );
    assert_eq!(
        shown.text("/data/secrets/1/ends_at"),
        "2027-01-15T09:00:00Z"
    );
}

#[tokio::test]
async fn repeated_command_names_the_existing_result() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    let create = [
        "key",
        "create",
        "CI",
        "--quiet",
        "--idempotency-key",
        "job-1",
    ];
    assert!(person.run(&create).await.done().starts_with("lk_live_"));
    person
        .run(&create)
        .await
        .failed(1, "was created by an earlier call");
    person
        .run(&["key", "create", "CD", "--idempotency-key", "job-1"])
        .await
        .failed(8, "409");
    person
        .run(&["key", "create", "CD", "--idempotency-key", "job 1"])
        .await
        .failed(2, "visible ASCII");
    let token = [
        "node-token",
        "create",
        "edge",
        "--node",
        "*",
        "--quiet",
        "--idempotency-key",
        "job-1",
    ];
    person.run(&token).await.done();
    person
        .run(&token)
        .await
        .failed(1, "was created by an earlier call");
    let webhook = [
        "webhook",
        "create",
        "https://a.example/b",
        "--event",
        "key.created",
        "--quiet",
        "--idempotency-key",
        "job-1",
    ];
    person.run(&webhook).await.done();
    person
        .run(&webhook)
        .await
        .failed(1, "was created by an earlier call");
}

#[tokio::test]
async fn expired_key_is_regenerated() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let made = client
        .generate(json!({"name": "CI", "expires_at": crate::harness::START + 60}))
        .await;
    let id = made.text("/data/key_id");
    plane.clock.advance(60);
    let person = Person::admin(&plane);
    person
        .run(&["key", "regenerate", &id])
        .await
        .failed(8, "has expired");
    let output = person
        .run(&["key", "regenerate", &id, "--no-expiry", "--quiet", "--yes"])
        .await
        .done();
    assert!(output.starts_with("lk_live_"));
}
