//! Tests the operation of the binary: its settings, its log, its metrics, its end, and its backups.

mod stop;

use crate::binary::{NODE_TOKEN, Process};
use crate::documentation::workspace;
use crate::harness::{Plane, http_client};
use crate::node::Node;
use clap::CommandFactory as _;
use latchkey_control_plane::Config;
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const PASSWORD: &str = "a password of the file";

fn write_settings(directory: &Path, text: &str) {
    let path = directory.join("latchkey.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
}

fn with_password(directory: &Path) -> Process {
    write_settings(
        directory,
        &format!("admin-password = \"{PASSWORD}\"\nlog-format = \"json\"\n"),
    );
    Process::start(directory, &["--config=latchkey.toml"])
}

async fn token(http: &str) -> String {
    let body = json!({"email": "admin@localhost", "password": PASSWORD});
    let answer = http_client()
        .post(format!("{http}/v1/sessions"))
        .json(&body)
        .send()
        .await
        .unwrap();
    let answer: Value = answer.json().await.unwrap();
    answer["data"]["token"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

fn latchkey(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_latchkey"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .output()
        .unwrap()
}

/// Waits until a metric is zero.
async fn until_none(metric: impl AsyncFn() -> f64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while metric().await > 0.0 {
        assert!(Instant::now() < deadline, "it stays above zero");
    }
}

fn log(directory: &Path) -> Vec<Value> {
    let log = fs::read_to_string(directory.join("log")).unwrap();
    log.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect()
}

#[tokio::test]
async fn flags_precede_environment_and_file() {
    let directory = tempfile::tempdir().unwrap();
    let settings = format!(
        "admin-password = \"{PASSWORD}\"\nkey-prefix = \"vg\"\nnode-token = \"not what the environment says\"\n\
         log-format = \"json\"\nlog-level = \"error\"\nhttp-listen = \"192.0.2.1:1\"\n"
    );
    write_settings(directory.path(), &settings);
    // The flags set the addresses, and the environment sets the token and the log's level.
    let process = Process::start(directory.path(), &["--config=latchkey.toml"]);
    let http = process.http(directory.path());
    let key = http_client()
        .post(format!("{http}/v1/keys/generate"))
        .bearer_auth(token(&http).await);
    let key: Value = key
        .json(&json!({"name": "CI"}))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(
        key["data"]["api_key"]
            .as_str()
            .unwrap()
            .starts_with("vg_live_"),
        "{key}"
    );
    let authorization = format!("Bearer {NODE_TOKEN}");
    let stream = crate::node::Stream::open_at(
        process.address(directory.path(), "stream"),
        Some(&authorization),
    )
    .await;
    assert!(stream.is_ok());
    drop(stream);
    assert_eq!(
        process.stop(Signal::SIGTERM),
        "",
        "the password is the file's"
    );
    assert!(
        log(directory.path())
            .iter()
            .any(|line| line["level"] == "TRACE")
    );
}

#[test]
fn unusable_config_file_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    write_settings(
        directory.path(),
        "node-token = \"a-secret-of-the-file\"\nhttp-listn = \"127.0.0.1:0\"\n",
    );
    let refused = latchkey(directory.path(), &["serve", "--config", "latchkey.toml"]);
    assert_eq!(refused.status.code(), Some(1));
    let reported = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(
        reported,
        "latchkey: latchkey.toml: unknown setting `http-listn`\n"
    );
    // Both with and without a file, the error of clap is printed.
    write_settings(directory.path(), "log-level = \"warn\"\n");
    for arguments in [
        &["serve", "--none"][..],
        &["serve", "--none", "--config", "latchkey.toml"],
    ] {
        let refused = latchkey(directory.path(), arguments);
        assert_eq!(refused.status.code(), Some(2));
        assert!(
            String::from_utf8(refused.stderr)
                .unwrap()
                .contains("--none")
        );
    }
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        1,
        "it makes nothing"
    );
}

/// Compares the table of settings with the flags, variables and defaults.
#[test]
fn configuration_page_names_every_setting() {
    let page = workspace().join("docs/operations/configuration.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page
        .split_once("<!-- settings -->")
        .expect("the table begins");
    let (table, _) = rest
        .split_once("<!-- /settings -->")
        .expect("the table ends");
    let mut rows = 0;
    for setting in Config::command().get_arguments() {
        let (flag, variable) = (
            setting.get_long().unwrap(),
            setting.get_env().unwrap().to_str().unwrap(),
        );
        let row = format!("| `{flag}` | `{variable}` | ");
        let row = table.lines().find_map(|line| line.strip_prefix(&row));
        let row = row.unwrap_or_else(|| panic!("no row of {flag} and {variable} in {table}"));
        let [default] = setting.get_default_values() else {
            assert!(!row.starts_with('`'), "{flag} has no default: {row}");
            rows += 1;
            continue;
        };
        let default = format!("`{}` |", default.to_str().unwrap());
        assert!(row.starts_with(&default), "{flag}: {default} and not {row}");
        rows += 1;
    }
    assert_eq!(
        table.lines().filter(|line| line.starts_with("| `")).count(),
        rows,
        "there are rows of no setting"
    );
}

#[tokio::test]
async fn request_logs_have_its_id() {
    const ID: &str = "of-this-request-1";
    let directory = tempfile::tempdir().unwrap();
    let process = with_password(directory.path());
    let http = process.http(directory.path());
    let token = token(&http).await;
    let others = log(directory.path()).len();
    let request = http_client()
        .post(format!("{http}/v1/keys/generate"))
        .header("x-request-id", ID);
    let answer = request
        .bearer_auth(token)
        .json(&json!({"name": "CI"}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["x-request-id"], ID);
    process.stop(Signal::SIGTERM);

    let lines = log(directory.path());
    let has_id = |line: &&Value| line["span"]["id"] == ID;
    for message in ["key generated", "answered"] {
        let line = lines
            .iter()
            .find(|line| line["fields"]["message"] == message && has_id(line));
        let line = line.unwrap_or_else(|| panic!("no `{message}` with the id"));
        assert_eq!(
            (&line["span"]["method"], &line["span"]["route"]),
            (&json!("POST"), &json!("/v1/keys/generate"))
        );
    }
    // The request's database statements, which other tasks run, are logged with it too.
    let statements = lines[others..]
        .iter()
        .filter(|line| line["target"] == "sqlx::query");
    let written = |line: &&Value| {
        line["fields"]["summary"]
            .as_str()
            .unwrap_or_default()
            .starts_with("INSERT INTO keys")
    };
    let inserts: Vec<_> = statements.filter(written).collect();
    assert!(!inserts.is_empty(), "no statement is logged");
    assert!(inserts.iter().all(has_id), "{inserts:?}");
}

#[tokio::test]
async fn metrics_report_time_and_backlog() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client.key("one").await;
    client.get("/v1/keys/one").await;
    client.get("/v1/keys/two").await;
    let labels = r#"{route="/v1/keys/{key_id}",method="GET"}"#;
    let metric = async |name: &str| plane.metric(&format!("latchkey_{name}")).await;
    assert_eq!(
        metric(&format!("http_request_seconds_count{labels}")).await,
        2.0
    );
    assert!(metric(&format!("http_request_seconds_sum{labels}")).await > 0.0);
    assert_eq!(
        metric("store_write_seconds_count").await,
        1.0,
        "one change was made"
    );
    let files = ["", "-wal"].map(|end| {
        fs::metadata(format!("{}{end}", plane.database().display()))
            .unwrap()
            .len()
    });
    assert_eq!(
        metric("store_bytes").await,
        f64::from(u32::try_from(files.iter().sum::<u64>()).unwrap())
    );
    until_none(async || metric("store_readers_busy").await).await;

    assert_eq!(
        metric("nodes_lag_revisions_max").await,
        0.0,
        "there is no node"
    );
    let mut node = Node::ready(&plane).await;
    client
        .request(Method::GET, "/v1/nodes")
        .send()
        .await
        .unwrap();
    for lag in [1.0, 2.0] {
        plane.create_keys(&lag.to_string(), 1).await;
        assert_eq!(metric("nodes_lag_revisions_max").await, lag);
    }
    node.catch_up(plane.store().revision()).await;
    until_none(async || metric("nodes_lag_revisions_max").await).await;
}

#[tokio::test]
async fn the_commands_back_up_and_restore() {
    let directory = tempfile::tempdir().unwrap();
    let process = with_password(directory.path());
    let http = process.http(directory.path());
    let token = token(&http).await;
    let make = async |name: &str| {
        let request = http_client()
            .post(format!("{http}/v1/keys/generate"))
            .bearer_auth(&token);
        assert_eq!(
            request
                .json(&json!({"name": name}))
                .send()
                .await
                .unwrap()
                .status(),
            201
        );
    };
    make("one").await;
    let made = latchkey(directory.path(), &["backup", "copy.db"]);
    let reported = String::from_utf8(made.stdout).unwrap();
    assert!(
        reported.starts_with("Copied latchkey.db at revision 2 to copy.db: ")
            && reported.ends_with("verified.\n"),
        "{reported}"
    );
    make("two").await;
    for (arguments, expected) in [
        (
            &["backup", "copy.db"][..],
            "latchkey: copy.db exists already\n",
        ),
        (
            &["restore", "copy.db", "--force"],
            "latchkey: latchkey.db is in use by another control plane\n",
        ),
    ] {
        let refused = latchkey(directory.path(), arguments);
        assert_eq!(
            (
                refused.status.code(),
                String::from_utf8(refused.stderr).unwrap().as_str()
            ),
            (Some(1), expected)
        );
    }
    process.stop(Signal::SIGTERM);
    let refused = latchkey(directory.path(), &["restore", "copy.db"]);
    assert_eq!(
        String::from_utf8(refused.stderr).unwrap(),
        "latchkey: latchkey.db exists already\n"
    );
    let restored = latchkey(directory.path(), &["restore", "copy.db", "--force"]);
    assert_eq!(restored.status.code(), Some(0));
    let reported = String::from_utf8(restored.stdout).unwrap();
    assert!(reported.starts_with(
        "Restored latchkey.db from copy.db at revision 2, with 1 live keys.\nThe previous \
         database is "
    ));
}
