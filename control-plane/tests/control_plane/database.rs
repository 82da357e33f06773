//! Tests a missing database, and an open database that is no longer the file at its path.

use crate::harness::Plane;
use crate::node::Node;
use latchkey_store::{OpenMode, Store};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn latchkey(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_latchkey"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn missing_database_is_created_on_request() {
    let directory = tempfile::tempdir().unwrap();
    let serve = [
        "serve",
        "--http-listen=127.0.0.1:0",
        "--stream-listen=127.0.0.1:0",
        "--log-level=error",
    ];
    for content in [None, Some("")] {
        if let Some(content) = content {
            fs::write(directory.path().join("latchkey.db"), content).unwrap();
        }
        let refused = latchkey(directory.path(), &serve);
        assert_eq!(refused.status.code(), Some(1));
        let reported = String::from_utf8(refused.stderr).unwrap();
        assert!(
            reported.contains("no database exists at latchkey.db"),
            "{reported}"
        );
        assert!(
            reported.contains("latchkey init") && reported.contains("--create-database"),
            "{reported}"
        );
        assert!(
            reported.contains("Envoys do not accept an empty database"),
            "{reported}"
        );
    }
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        1,
        "it makes nothing"
    );

    let created = latchkey(directory.path(), &["init"]);
    assert!(created.status.success(), "{created:?}");
    let again = latchkey(directory.path(), &["init"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        String::from_utf8(again.stderr)
            .unwrap()
            .contains("the database latchkey.db exists already")
    );
}

#[tokio::test]
async fn only_initialized_databases_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("latchkey.db");
    let epoch = Store::open(&path, OpenMode::Create).await.unwrap().epoch();
    // The lock is released with the last handle.
    let began = Instant::now();
    let store = loop {
        match Store::open(&path, OpenMode::Existing).await {
            Ok(store) => break store,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(20), "{error}"),
        }
    };
    assert_eq!(store.epoch(), epoch);
    let other = directory.path().join("other.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}?mode=rwc", other.display()))
        .await
        .unwrap();
    sqlx::query("CREATE TABLE other (a)")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let refused = Store::open(&other, OpenMode::Existing)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(refused.contains("no database exists at"), "{refused}");
}

#[tokio::test]
async fn changes_to_a_removed_file_are_refused() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let mut node = Node::ready(&plane).await;
    let key = admin.key("before").await;
    node.publish().await;
    let (path, aside) = (plane.database(), plane.database().with_file_name("aside"));
    fs::rename(&path, &aside).unwrap();
    let refused = admin.generate(json!({"name": "lost"})).await;
    refused.refused(503, "unavailable");
    admin
        .delete(&format!("/v1/keys/{key}?wait_ms=0"))
        .await
        .refused(503, "unavailable");
    let readiness = plane.request(Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(readiness.status(), StatusCode::SERVICE_UNAVAILABLE);
    let reported = readiness.text().await.unwrap();
    assert!(reported.contains("latchkey.db was removed"), "{reported}");
    assert_eq!(
        plane
            .request(Method::GET, "/readyz/stream")
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::OK
    );

    fs::copy(&aside, &path).unwrap();
    let reported = plane
        .request(Method::GET, "/readyz")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        reported.contains("latchkey.db was replaced by another file"),
        "{reported}"
    );
    admin
        .generate(json!({"name": "lost"}))
        .await
        .refused(503, "unavailable");
    fs::rename(&aside, &path).unwrap();
    assert_eq!(
        admin.generate(json!({"name": "kept"})).await.status,
        StatusCode::CREATED
    );
    let began = Instant::now();
    while plane
        .request(Method::GET, "/readyz")
        .send()
        .await
        .unwrap()
        .status()
        != StatusCode::OK
    {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "it is not ready again"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn waiting_for_a_lost_node_keeps_readiness() {
    let plane = Plane::start().await;
    drop(Node::ready(&plane).await);
    for path in ["/readyz", "/readyz/stream"] {
        assert_eq!(
            plane
                .request(Method::GET, path)
                .send()
                .await
                .unwrap()
                .status(),
            StatusCode::OK,
            "{path}"
        );
    }
}
