//! The documents from which Latchkey's rules are taken: their examples run against Latchkey, with
//! only host, token and id changed. They are in `tests/seeds`, with the line breaks that the
//! documents had lost.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use latchkey_tests::{Gateway, schemathesis, workspace};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

const EXAMPLE: Duration = Duration::from_secs(30);

/// Runs an example, and returns its output.
async fn run(gateway: &Gateway, file: &str, key_id: &str) -> Result<String> {
    let text = fs::read_to_string(workspace().join("tests/seeds/veriglob").join(file))?;
    let token = gateway.control_plane.login().await?;
    let text = text
        .replace("https://api.veriglob.com", &gateway.control_plane.url(""))
        .replace("your-session-token", &token)
        .replace("key_abc123def456", key_id);
    let mut command = if file.ends_with(".py") {
        // The examples need `requests`, which is installed with Schemathesis.
        let library = schemathesis()?.with_file_name("lib");
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", library).arg("-c").arg(text);
        python
    } else {
        let mut shell = Command::new("sh");
        // The progress that curl prints is not part of the example.
        shell
            .arg("-c")
            .arg(text.replacen("curl ", "curl --silent --show-error ", 1));
        shell
    };
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(EXAMPLE, output)
        .await
        .context("it takes too long")??;
    ensure!(
        output.status.success(),
        "{file}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

async fn answer(gateway: &Gateway, file: &str, key_id: &str) -> Value {
    let printed = run(gateway, file, key_id).await.unwrap();
    let answer: Value =
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{file}: {error}: {printed}"));
    assert_eq!(answer["status"], "success", "{file}: {answer}");
    answer["data"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_examples_get_the_promised_fields() {
    let gateway = Gateway::start().await;
    let made = answer(&gateway, "generate.sh", "").await;
    let id = made["key_id"].as_str().unwrap();
    assert_eq!(
        (&made["name"], &made["tier"], &made["rate_limit"]),
        (&json!("Production API Key"), &json!("basic"), &json!(100))
    );
    assert_eq!(made["last_used_at"], Value::Null);
    let secret = made["api_key"].as_str().unwrap();
    assert!(
        secret.starts_with("lk_live_") && secret.len() == "lk_live_".len() + 32,
        "{made}"
    );
    assert_eq!(gateway.ask("/", Some(secret)).await.status, 200);

    let listed = answer(&gateway, "list.sh", "").await;
    assert_eq!(listed["total"], 1);
    assert_eq!(
        (&listed["keys"][0]["key_id"], &listed["keys"][0]["active"]),
        (&json!(id), &json!(true))
    );
    let prefix = listed["keys"][0]["key_prefix"].as_str().unwrap();
    assert!(
        prefix.starts_with(&secret[..12])
            && prefix.contains("...")
            && prefix.ends_with(&secret[36..]),
        "{prefix}"
    );

    let shown = answer(&gateway, "details.sh", id).await;
    assert!(
        shown["usage"]["requests_today"].is_u64() && shown["usage"]["requests_this_month"].is_u64(),
        "{shown}"
    );
    let updated = answer(&gateway, "update.sh", id).await;
    assert_eq!(updated["name"], "Renamed Production Key");
    assert!(updated["updated_at"].is_string(), "{updated}");
    let revoked = answer(&gateway, "revoke.sh", id).await;
    assert_eq!(revoked["key_id"], id);
    assert!(revoked["revoked_at"].is_string(), "{revoked}");
    assert_eq!(gateway.ask("/", Some(secret)).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_examples_print_what_they_read() {
    let gateway = Gateway::start().await;
    let printed = run(&gateway, "generate.py", "").await.unwrap();
    let lines: Vec<_> = printed.lines().collect();
    let secret = lines[0]
        .strip_prefix("API Key: ")
        .unwrap_or_else(|| panic!("{printed}"));
    assert_eq!(gateway.ask("/", Some(secret)).await.status, 200);
    assert_eq!(lines[1], "Rate Limit: 100 requests/min");

    let printed = run(&gateway, "list.py", "").await.unwrap();
    assert!(
        printed.starts_with("Total keys: 1\n- Production API Key (basic): lk_live_"),
        "{printed}"
    );
    let listed = gateway
        .control_plane
        .call(Method::GET, "/v1/keys", Value::Null)
        .await
        .unwrap();
    let id = listed["keys"][0]["key_id"].as_str().unwrap().to_owned();

    let printed = run(&gateway, "details.py", &id).await.unwrap();
    assert!(
        printed.starts_with("Key name: Production API Key\nUsage today: "),
        "{printed}"
    );
    let printed = run(&gateway, "update.py", &id).await.unwrap();
    assert!(
        printed.starts_with("Updated at: 20") && printed.trim_end().ends_with('Z'),
        "{printed}"
    );
    let printed = run(&gateway, "revoke.py", &id).await.unwrap();
    assert!(
        printed.starts_with("Revoked at: 20") && printed.trim_end().ends_with('Z'),
        "{printed}"
    );
    assert_eq!(gateway.ask("/", Some(secret)).await.status, 401);
}

/// Sends the fields of `POST /v4/account/api-keys` from that document's table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scoped_account_keys_create_body_works() {
    let gateway = Gateway::start().await;
    let subaccount = gateway
        .control_plane
        .create_subaccount("team")
        .await
        .unwrap();
    let body = json!({
        "name": "CI pipeline",
        "permissions": ["datacenter_shared:read", "account:apikeys:read"],
        "allowed_subaccounts": [subaccount],
        "allowed_ips": ["203.0.113.7", "127.0.0.0/8"],
        "expires_at": 1_893_456_000,
    });
    let made = gateway
        .control_plane
        .call(Method::POST, "/v1/keys/generate", body.clone())
        .await
        .unwrap();
    for field in ["name", "permissions", "allowed_subaccounts"] {
        assert_eq!(made[field], body[field], "{made}");
    }
    assert_eq!(made["expires_at"], "2030-01-01T00:00:00Z");
    assert_eq!(
        gateway
            .ask("/", Some(made["api_key"].as_str().unwrap()))
            .await
            .status,
        200
    );
    let body = json!({"name": "Backend service", "permissions": [], "allowed_subaccounts": [], "expires_at": null});
    gateway
        .control_plane
        .call(Method::POST, "/v1/keys/generate", body)
        .await
        .unwrap();
}
