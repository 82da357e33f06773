//! Tests the binary: its output, and how it ends.

mod process;

pub(crate) use self::process::Process;
use crate::harness::http_client;
use crate::node::{Snapshot, Stream, complete, former_hello, hello};
use latchkey_protocol::{Hello, from_node, to_node};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const NODE_TOKEN: &str = "node-token-of-the-binary";

async fn log_in(http: &str, password: &str) -> reqwest::Response {
    let body = json!({"email": "admin@localhost", "password": password});
    http_client()
        .post(format!("{http}/v1/sessions"))
        .json(&body)
        .send()
        .await
        .unwrap()
}

fn password(stdout: &str) -> String {
    let line = stdout
        .strip_prefix("Password of admin@localhost, shown only once: ")
        .unwrap();
    line.trim_end().to_owned()
}

#[tokio::test]
async fn first_password_is_printed_once() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), &[]);
    process.http(directory.path());
    let password = password(&process.stop(Signal::SIGINT));
    assert_eq!(password.len(), 24);

    let process = Process::start(directory.path(), &[]);
    let http = process.http(directory.path());
    let session: Value = log_in(&http, &password).await.json().await.unwrap();
    let token = session["data"]["token"].as_str().unwrap().to_owned();
    let client = http_client();
    let request = client
        .post(format!("{http}/v1/keys/generate"))
        .bearer_auth(&token)
        .json(&json!({"name": "CI"}));
    let made: Value = request.send().await.unwrap().json().await.unwrap();
    let key = made["data"]["api_key"].as_str().unwrap().to_owned();
    // A secret in an unexpected place is not logged either.
    for path in ["/v1/keys/", "/", "/v1/keys?limit="] {
        let request = client.get(format!("{http}{path}{key}")).bearer_auth(&token);
        assert!(request.send().await.unwrap().status().is_client_error());
    }
    for secret in [&key, &token] {
        let answer = client
            .get(format!("{http}/v1/keys"))
            .header("x-request-id", secret)
            .send()
            .await
            .unwrap();
        assert_ne!(answer.headers()["x-request-id"], secret.as_str());
    }
    assert!(!log_in(&http, &key).await.status().is_success());
    let authorization = format!("Bearer {NODE_TOKEN}");
    let url = process.address(directory.path(), "stream");
    let mut stream = Stream::open_at(url, Some(&authorization)).await.unwrap();
    let (snapshot_secret, meter_secret) =
        (b"distinct-snap-01".to_vec(), b"distinct-metr-02".to_vec());
    let secrets = Hello {
        snapshot_secret: snapshot_secret.clone(),
        meter_secret: meter_secret.clone(),
        ..hello()
    };
    stream
        .send(from_node::Message::Hello(complete(
            secrets,
            &Snapshot::default(),
        )))
        .await;
    assert!(matches!(
        stream.next().await,
        Ok(to_node::Message::Welcome(_))
    ));
    let mut answers = String::new();
    for path in ["/v1/nodes", "/metrics", "/v1/audit"] {
        let answer = client
            .get(format!("{http}{path}"))
            .bearer_auth(&token)
            .send()
            .await
            .unwrap();
        answers += &answer.text().await.unwrap();
    }
    assert!(answers.contains("edge-1"), "{answers}");
    fs::write(directory.path().join("answers"), answers).unwrap();
    assert_eq!(
        process.stop(Signal::SIGTERM),
        "",
        "the password is printed once"
    );
    let as_list = |secret: &[u8]| format!("{secret:?}").trim_matches(['[', ']']).to_owned();
    let of_node = [snapshot_secret, meter_secret].map(|secret| {
        let text = String::from_utf8(secret.clone()).unwrap();
        [
            text,
            hex::encode(&secret),
            hex::encode_upper(&secret),
            as_list(&secret),
        ]
    });

    let mut places = 0;
    for entry in fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let content = fs::read(&path).unwrap();
        let secrets = [key.as_str(), token.as_str(), password.as_str(), NODE_TOKEN];
        for secret in secrets
            .into_iter()
            .chain(of_node.iter().flatten().map(String::as_str))
        {
            let found = content
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "a secret is in {}", path.display());
        }
        places += 1;
    }
    assert!(
        places >= 3,
        "there should be a database, its lock and a log"
    );
    let log = fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(
        log.contains("key generated") && log.contains("node connected") && log.contains("TRACE"),
        "the log is not what was searched"
    );
}

/// Waits until the log contains this text.
fn logs(directory: &Path, text: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !fs::read_to_string(directory.join("log"))
        .unwrap()
        .contains(text)
    {
        assert!(Instant::now() < deadline, "`{text}` is not logged");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn expired_node_0_1_is_logged() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), &["--node-grace-ms=100"]);
    let url = process.address(directory.path(), "stream");
    let mut stream = Stream::open_at(url, Some(&format!("Bearer {NODE_TOKEN}")))
        .await
        .unwrap();
    stream.send(from_node::Message::Hello(former_hello())).await;
    assert!(matches!(
        stream.next().await,
        Ok(to_node::Message::Welcome(_))
    ));
    let warning = "a lost node of version 0.1 is no longer counted, but may still serve";
    assert!(
        !fs::read_to_string(directory.path().join("log"))
            .unwrap()
            .contains(warning)
    );
    drop(stream);
    logs(directory.path(), warning);
}

#[tokio::test]
async fn shared_token_is_deprecated() {
    let deprecated = "is one token for all Envoys and is deprecated";
    for (environment, accepted) in [
        (&[("LATCHKEY_NODE_TOKEN", NODE_TOKEN)][..], true),
        (&[], false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let process = Process::start_with(directory.path(), &[], environment);
        let url = process.address(directory.path(), "stream");
        let mut stream = Stream::open_at(url, Some(&format!("Bearer {NODE_TOKEN}")))
            .await
            .unwrap();
        stream
            .send(from_node::Message::Hello(complete(
                hello(),
                &Snapshot::default(),
            )))
            .await;
        let welcomed = matches!(stream.next().await, Ok(to_node::Message::Welcome(_)));
        let http = process.http(directory.path());
        let metrics = http_client()
            .get(format!("{http}/metrics"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let refused = format!(
            "latchkey_node_token_refusals_total{{reason=\"token\"}} {}\n",
            u8::from(!accepted)
        );
        assert!(metrics.contains(&refused), "{metrics}");
        process.stop(Signal::SIGTERM);
        let log = fs::read_to_string(directory.path().join("log")).unwrap();
        assert_eq!((welcomed, log.contains(deprecated)), (accepted, accepted));
    }
}

/// The command makes no database.
#[test]
fn occupied_port_is_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for flag in ["--http-listen", "--stream-listen"] {
        let directory = tempfile::tempdir().unwrap();
        let flags = [format!("{flag}={address}"), "--log-level=warn".to_owned()];
        let command = Command::new(env!("CARGO_BIN_EXE_latchkey"))
            .args(["serve", "--node-token", NODE_TOKEN])
            .arg(if flag == "--http-listen" {
                "--stream-listen=127.0.0.1:0"
            } else {
                "--http-listen=127.0.0.1:0"
            })
            .args(flags)
            .current_dir(directory.path())
            .env_clear()
            .output()
            .unwrap();
        assert_eq!(command.status.code(), Some(1));
        let expected =
            format!("latchkey: cannot listen on {address} ({flag}): address already in use\n");
        assert_eq!(String::from_utf8(command.stderr).unwrap(), expected);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

/// Starts with an output that nobody can read.
#[test]
fn lost_first_password_is_not_stored() {
    let directory = tempfile::tempdir().unwrap();
    let (reader, unread) = std::io::pipe().unwrap();
    drop(reader);
    let command = Command::new(env!("CARGO_BIN_EXE_latchkey"))
        .args([
            "serve",
            "--http-listen=127.0.0.1:0",
            "--stream-listen=127.0.0.1:0",
            "--node-token",
            NODE_TOKEN,
        ])
        .args(["--log-level=warn", "--create-database"])
        .current_dir(directory.path())
        .env_clear()
        .stdout(unread)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = Process(Some(command)).output();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.starts_with("latchkey: cannot show the first user's password on stdout: "),
        "{error}"
    );

    let process = Process::start(directory.path(), &[]);
    process.http(directory.path());
    assert_eq!(password(&process.stop(Signal::SIGTERM)).len(), 24);
}

#[test]
fn short_setting_is_named_without_its_value() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), &["--admin-password=hunter2"]);
    assert_eq!(process.output().status.code(), Some(1));
    let log = fs::read_to_string(directory.path().join("log")).unwrap();
    let expected =
        "latchkey: --admin-password (LATCHKEY_ADMIN_PASSWORD) must have at least 12 characters\n";
    assert_eq!(log, expected);
}

#[tokio::test]
async fn the_log_can_be_json() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), &["--log-format=json", "--log-level=info"]);
    process.http(directory.path());
    process.stop(Signal::SIGTERM);
    let log = fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(log.lines().count() >= 2);
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["fields"]["message"].is_string(), "{line}");
    }
    assert!(
        !directory.path().join("ready.json").exists(),
        "nobody should find an address that is gone"
    );
}
