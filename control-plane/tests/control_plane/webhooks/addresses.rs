//! Tests that webhooks are not sent to forbidden addresses.

use super::{delivery, webhook};
use crate::harness::Plane;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{self, Duration};

#[tokio::test]
async fn private_webhook_address_is_refused() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (path, _) = webhook(&client, "https://receiver.example/", json!({})).await;
    for address in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "10.0.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "[::1]",
        "[::ffff:7f00:1]",
    ] {
        let url = json!({"url": format!("https://{address}/latest/meta-data")});
        client
            .send(Method::POST, "/v1/webhooks", url.clone())
            .await
            .refused_by(400, "invalid_request", "url");
        client
            .patch(&path, url)
            .await
            .refused_by(400, "invalid_request", "url");
    }
}

#[tokio::test]
async fn name_of_private_address_is_refused() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (path, _) = webhook(&client, &format!("https://localhost:{port}/"), json!({})).await;
    client.key("CI").await;
    let failed = delivery(&client, &path, "pending", 1).await;
    assert_eq!(failed["last_error"], "the host has no public address");
    assert!(
        time::timeout(Duration::from_millis(1), listener.accept())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn formerly_allowed_address_is_refused() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let (path, _) = webhook(&client, "https://receiver.example/", json!({})).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    sqlx::query("UPDATE webhooks SET url = ?")
        .bind(url)
        .execute(&plane.pool().await)
        .await
        .unwrap();
    client.key("CI").await;
    let failed = delivery(&client, &path, "pending", 1).await;
    assert_eq!(
        failed["last_error"],
        "the URL must not be a private or reserved address"
    );
    assert!(
        time::timeout(Duration::from_millis(1), listener.accept())
            .await
            .is_err()
    );
}
