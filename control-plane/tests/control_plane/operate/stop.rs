//! Tests requests that are running when the control plane stops.

use super::{token, with_password};
use crate::harness::http_client;
use nix::sys::signal::Signal;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Returns the bytes of a request before its `body`.
fn head(http: &str, token: &str, body: &str) -> String {
    let host = http.strip_prefix("http://").unwrap();
    format!(
        "POST /v1/keys/generate HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
}

fn connect(http: &str) -> std::io::Result<TcpStream> {
    TcpStream::connect(http.strip_prefix("http://").unwrap())
}

fn wait_until_refused(http: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while connect(http).is_ok() {
        assert!(Instant::now() < deadline, "new connections are still taken");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn running_request_is_answered_on_stop() {
    const BODY: &str = r#"{"name": "the last one"}"#;
    let directory = tempfile::tempdir().unwrap();
    let process = with_password(directory.path());
    let http = process.http(directory.path());
    let mut under_way = connect(&http).unwrap();
    let head = head(&http, &token(&http).await, BODY);
    under_way.write_all(head.as_bytes()).unwrap();
    // Later requests are answered, so this one was accepted.
    assert!(
        http_client()
            .get(format!("{http}/healthz"))
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );

    process.signal(Signal::SIGTERM);
    wait_until_refused(&http);
    under_way.write_all(BODY.as_bytes()).unwrap();
    let mut answer = String::new();
    under_way.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(process.output().status.code(), Some(0));
}

#[tokio::test]
async fn endless_request_does_not_delay_the_stop() {
    const BODY: &str = r#"{"name": "never"}"#;
    let directory = tempfile::tempdir().unwrap();
    let process = with_password(directory.path());
    let http = process.http(directory.path());
    let mut stuck = connect(&http).unwrap();
    let head = head(&http, &token(&http).await, BODY);
    stuck.write_all(head.as_bytes()).unwrap();
    assert!(
        http_client()
            .get(format!("{http}/healthz"))
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    let started = Instant::now();
    process.signal(Signal::SIGTERM);
    assert_eq!(process.output().status.code(), Some(0));
    assert!(
        started.elapsed() < Duration::from_secs(9),
        "it took {:?}",
        started.elapsed()
    );
}
