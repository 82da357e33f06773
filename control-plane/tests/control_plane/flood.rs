//! Tests floods of requests without a credential: their memory, and the delays of other callers.
//! The processes are real.

use crate::binary::Process;
use reqwest::{Client, StatusCode};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time;

const EMAIL: &str = "admin@localhost";
const PASSWORD: &str = "correct horse battery staple";

/// The maximum resident memory after any number of log-ins, in MB.
const MOST_MEMORY: u64 = 120;

struct Target {
    _directory: tempfile::TempDir,
    process: Process,
    url: String,
    http: Client,
}

impl Target {
    fn start(flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let password = format!("--admin-password={PASSWORD}");
        let flags: Vec<_> = flags
            .iter()
            .copied()
            .chain([password.as_str(), "--log-level=info"])
            .collect();
        let process = Process::start(directory.path(), &flags);
        let url = process.http(directory.path());
        Self {
            _directory: directory,
            process,
            url,
            http: crate::harness::http_client(),
        }
    }

    fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    async fn is_healthy_within(&self, patience: Duration) {
        let began = Instant::now();
        // Each call uses a new connection, like probes.
        let answer = crate::harness::http_client()
            .get(format!("{}/healthz", self.url))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(began.elapsed() < patience, "{:?}", began.elapsed());
    }
}

async fn log_in(
    http: &Client,
    url: &str,
    address: &str,
    email: &str,
    password: &str,
) -> StatusCode {
    let request = http
        .post(format!("{url}/v1/sessions"))
        .header("x-forwarded-for", address);
    request
        .json(&json!({"email": email, "password": password}))
        .send()
        .await
        .unwrap()
        .status()
}

/// Sends `count` wrong passwords, `concurrency` at a time. `of` returns the address and the email.
async fn flood(
    target: &Target,
    count: usize,
    concurrency: usize,
    of: fn(usize) -> (String, String),
) -> JoinSet<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..concurrency {
        let (next, http, url) = (next.clone(), target.http.clone(), target.url.clone());
        tasks.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return;
                }
                let (address, email) = of(n);
                let status = log_in(&http, &url, &address, &email, "wrong").await;
                assert!([401, 429].contains(&status.as_u16()), "{status}");
            }
        });
    }
    tasks
}

/// Returns addresses, a single one or many, and emails, of one user or of no user.
fn mixed(n: usize) -> (String, String) {
    let address = match n % 4 {
        0 => "192.0.2.1".to_owned(),
        1 => format!("2001:db8::{n:x}"),
        _ => format!("10.1.{}.{}", n / 250, n % 250),
    };
    let email = if n.is_multiple_of(2) {
        EMAIL.to_owned()
    } else {
        format!("user-{n}@localhost")
    };
    (address, email)
}

#[tokio::test]
async fn wrong_passwords_cost_bounded_memory() {
    for concurrency in [4, 56, 300, 1_000] {
        let target = Target::start(&["--trusted-hops=1"]);
        let known = "198.51.100.7";
        assert_eq!(
            log_in(&target.http, &target.url, known, EMAIL, PASSWORD).await,
            StatusCode::OK
        );
        let mut tasks = flood(&target, 1_000, concurrency, mixed).await;
        let mut accepted = 0;
        while !tasks.is_empty() {
            let began = Instant::now();
            assert_eq!(
                log_in(&target.http, &target.url, known, EMAIL, PASSWORD).await,
                StatusCode::OK
            );
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "{:?}",
                began.elapsed()
            );
            accepted += 1;
            while let Some(ended) = tasks.try_join_next() {
                ended.unwrap();
            }
        }
        let memory = target.process.memory("VmHWM");
        println!(
            "{concurrency} at once: {memory} MB, {accepted} right passwords accepted meanwhile"
        );
        assert!(
            memory <= MOST_MEMORY,
            "{memory} MB with {concurrency} at once"
        );
    }
}

#[tokio::test]
async fn right_password_is_accepted_during_a_flood() {
    let target = Target::start(&["--trusted-hops=1"]);
    // No limit refuses any of these: they compete for turns.
    let many = |n: usize| {
        (
            format!("10.2.{}.{}", n / 250, n % 250),
            format!("user-{n}@localhost"),
        )
    };
    let mut tasks = flood(&target, 600, 200, many).await;
    for n in 0..3 {
        let status = log_in(
            &target.http,
            &target.url,
            &format!("203.0.113.{n}"),
            EMAIL,
            PASSWORD,
        )
        .await;
        assert_eq!(status, StatusCode::OK);
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// Begins `count` requests of each kind without finishing them.
async fn begin(target: &Target, count: usize, requests: &[String]) -> Vec<TcpStream> {
    let mut begun = Vec::new();
    for _ in 0..count {
        for request in requests {
            let mut stream = TcpStream::connect(target.address()).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            begun.push(stream);
        }
    }
    begun
}

#[tokio::test]
async fn half_sent_headers_hold_no_slots() {
    let target = Target::start(&["--http-connections=64"]);
    let half = "GET /v1/keys HTTP/1.1\r\nhost: x\r\nx-half: ".to_owned();
    for _ in 0..3 {
        let _begun = begin(&target, 300, std::slice::from_ref(&half)).await;
        target.is_healthy_within(Duration::from_secs(5)).await;
    }
    // Long headers are not buffered at length either.
    let before = target.process.memory("VmRSS");
    let long = half + &"x".repeat(300_000);
    let mut begun = Vec::new();
    for _ in 0..60 {
        let mut stream = TcpStream::connect(target.address()).await.unwrap();
        // The connection may be closed during the write.
        let _ = time::timeout(
            Duration::from_millis(200),
            stream.write_all(long.as_bytes()),
        )
        .await;
        begun.push(stream);
    }
    let after = target.process.memory("VmRSS");
    assert!(after < before + 12, "{before} MB, then {after} MB");
}

#[tokio::test]
async fn unfinished_login_bodies_end_soon() {
    let target = Target::start(&[]);
    let before = target.process.memory("VmRSS");
    let head = |path: &str, kind: &str, len: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {len}\r\n\r\n"
        )
    };
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    let unfinished = [
        head("/v1/sessions", json, 4_000) + &"x".repeat(3_000),
        head("/console/login", form, 4_000) + &"x".repeat(3_000),
    ];
    let mut begun = begin(&target, 100, &unfinished).await;
    let after = target.process.memory("VmRSS");
    assert!(after < before + 25, "{before} MB, then {after} MB");
    target.is_healthy_within(Duration::from_secs(5)).await;
    // Long bodies are refused by their `Content-Length`, and others once they are too long.
    let endless = format!(
        "POST /v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: {json}\r\ntransfer-encoding: chunked\r\n\r\n1400\r\n{}\r\n",
        "x".repeat(0x1400)
    );
    for (request, status) in [
        (head("/v1/sessions", json, 1 << 20), "413"),
        (endless, "413"),
        (head("/console/login", form, 1 << 20), "400"),
    ] {
        let mut stream = begin(&target, 1, &[request]).await.remove(0);
        assert!(
            answer(&mut stream)
                .await
                .starts_with(&format!("HTTP/1.1 {status} "))
        );
    }
    for (stream, status) in begun.iter_mut().zip(["408", "400"].into_iter().cycle()) {
        let answer = time::timeout(Duration::from_secs(20), answer(stream))
            .await
            .expect("it ends");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4_096];
    let len = stream.read(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

#[tokio::test]
async fn authenticated_upload_survives_strangers() {
    let target = Target::start(&["--http-connections=8"]);
    let login = target.http.post(format!("{}/v1/sessions", target.url));
    let session = login
        .json(&json!({"email": EMAIL, "password": PASSWORD}))
        .send()
        .await
        .unwrap();
    let session: serde_json::Value = session.json().await.unwrap();
    let token = session["data"]["token"].as_str().unwrap();
    let body = json!({"name": "uploaded slowly"}).to_string();
    let head = format!(
        "POST /v1/keys/generate HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let mut upload = begin(&target, 1, &[head]).await.remove(0);
    upload.write_all(&body.as_bytes()[..5]).await.unwrap();
    for _ in 0..4 {
        let _strangers = begin(&target, 20, &["GET / HTTP/1.1\r\n".to_owned()]).await;
        target.is_healthy_within(Duration::from_secs(5)).await;
    }
    upload.write_all(&body.as_bytes()[5..]).await.unwrap();
    let answer = answer(&mut upload).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}
