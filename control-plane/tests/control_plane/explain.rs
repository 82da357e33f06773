//! Tests `/v1/explain`, and `latchkey explain`.

use crate::harness::{Answer, Client, EMAIL, PASSWORD, Plane, plain_key};
use latchkey_policy::key::{Environment, PlainKey};
use latchkey_store::NewKey;
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Output};

const RULES: &str = r#"{"rules":[
    {"path":{"exact":"/health"},"public":true},
    {"path":{"prefix":"/zones"},"service":"dns","permission":"dns:read"}]}"#;

async fn ruled() -> Plane {
    let plane = Plane::start().await;
    let rules = serde_json::from_str(RULES).unwrap();
    let answer = plane
        .log_in()
        .await
        .send(Method::PUT, "/v1/routes", rules)
        .await;
    assert!(answer.status.is_success(), "{}", answer.body);
    plane
}

async fn explained(client: &Client<'_>, key_id: &str, path: &str) -> Answer {
    let question =
        json!({"key_id": key_id, "request": {"path": path, "source_address": "192.0.2.7"}});
    let answer = client.send(Method::POST, "/v1/explain", question).await;
    assert!(answer.status.is_success(), "{}", answer.body);
    answer
}

/// Returns the last step: its check, its outcome, and the compared values.
fn last(answer: &Answer) -> [String; 3] {
    let steps = answer.at("/data/steps").as_array().unwrap();
    let last = steps.last().unwrap();
    ["check", "outcome", "compared"].map(|field| last[field].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn explain_stops_at_the_deciding_step() {
    let plane = ruled().await;
    let client = plane.log_in().await;
    client.service("dns").await;
    let narrow = client
        .generate(json!({"name": "narrow", "roles": ["cache_purger"], "scope": ["dns"]}))
        .await;
    let narrow = narrow.text("/data/key_id");
    let answer = explained(&client, &narrow, "/zones/7").await;
    assert_eq!(
        (answer.text("/data/code"), answer.at("/data/passes")),
        ("missing_permission".into(), &json!(false))
    );
    assert_eq!(
        (answer.text("/data/key_id"), answer.number("/data/rule")),
        (narrow.clone(), 2)
    );
    assert_eq!(answer.number("/data/refusal/status"), 403);
    assert_eq!(
        answer.text("/data/refusal/error/code"),
        "missing_permission"
    );
    let reason = "the key lacks dns:read, its owner has it";
    assert_eq!(last(&answer), ["missing_permission", "refused", reason]);
    let checks: Vec<_> = answer
        .at("/data/steps")
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["check"].clone())
        .collect();
    let expected = [
        "public",
        "not_ready",
        "invalid_key",
        "disabled_key",
        "expired_key",
        "ip_denied",
        "out_of_scope",
        "missing_permission",
    ];
    assert_eq!(checks, expected);

    let answer = explained(&client, &narrow, "/health?probe").await;
    assert_eq!(
        last(&answer),
        [
            "public",
            "applies",
            "rule 1 is public: the request needs no key"
        ]
    );
    let answer = explained(&client, &narrow, "/other").await;
    assert_eq!(
        (answer.text("/data/code"), answer.at("/data/passes")),
        ("allowed".into(), &json!(true))
    );
    assert!(answer.at("/data").get("refusal").is_none());
    assert_eq!(last(&answer)[0], "rate_limited");
    client.delete(&format!("/v1/keys/{narrow}")).await;
    assert_eq!(
        explained(&client, &narrow, "/other")
            .await
            .text("/data/code"),
        "invalid_key"
    );
}

#[tokio::test]
async fn explain_finds_keys_as_the_filter_does() {
    let plane = ruled().await;
    let client = plane.log_in().await;
    let made = client.generate(json!({"name": "CI"})).await;
    let (id, secret) = (made.text("/data/key_id"), made.text("/data/api_key"));
    for (headers, code) in [
        (json!({}), "missing_key"),
        (json!({"X-API-Key": secret}), "allowed"),
        (
            json!({"authorization": format!("bearer {secret}")}),
            "allowed",
        ),
        (json!({"x-api-key": format!("{secret}, other")}), "allowed"),
        (
            json!({"x-api-key": secret, "authorization": "Bearer eyJhbGciOi.e30.sig"}),
            "allowed",
        ),
        (
            json!({"x-api-key": format!("{secret}, lk_live_other")}),
            "ambiguous_key",
        ),
        (
            json!({"x-api-key": "undefined", "authorization": "Bearer null"}),
            "malformed_key",
        ),
        (
            json!({"x-api-key": format!("Bearer {secret}")}),
            "malformed_key",
        ),
        (json!({"x-api-key": &secret[1..]}), "malformed_key"),
    ] {
        let question = json!({"request": {"headers": headers}});
        let answer = client.send(Method::POST, "/v1/explain", question).await;
        assert_eq!(answer.text("/data/code"), code, "{headers}");
        assert_eq!(answer.at("/data/key_id") == &json!(id), code == "allowed");
        assert!(
            !answer.body.to_string().contains(&secret),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn foreign_key_is_explained_as_unknown() {
    let plane = ruled().await;
    let client = plane.log_in().await;
    let pool = plane.pool().await;
    for statement in [
        "INSERT INTO accounts (id, name, tier, created_at) VALUES ('acc_other', 'other', 'pro', 2000000000)",
        "INSERT INTO users (id, account_id, email, password_hash, created_at) \
         VALUES ('usr_other', 'acc_other', 'other@localhost', '', 2000000000)",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let [theirs, unknown] = [plain_key(), plain_key()];
    let key = NewKey::new(
        "acc_other",
        "usr_other",
        "theirs",
        &theirs,
        "pro",
        Environment::Live,
    );
    plane.store().create_keys(&[key], 0).await.unwrap();
    let asked = async |secret: &PlainKey| {
        let question =
            json!({"request": {"path": "/zones", "headers": {"x-api-key": secret.expose()}}});
        client
            .send(Method::POST, "/v1/explain", question)
            .await
            .body
    };
    let answer = asked(&theirs).await;
    assert_eq!(
        (&answer["data"]["code"], &answer["data"]["key_id"]),
        (&json!("invalid_key"), &Value::Null)
    );
    assert_eq!(answer, asked(&unknown).await);
}

#[tokio::test]
async fn imported_key_is_explained() {
    let plane = ruled().await;
    let client = plane.log_in().await;
    let key = "sk-proj-0123456789";
    let asked = async |key: &str| {
        let question = json!({"request": {"path": "/other", "headers": {"x-api-key": key}}});
        let answer = client.send(Method::POST, "/v1/explain", question).await;
        assert!(
            answer.status.is_success() && !answer.body.to_string().contains(key),
            "{answer:?}"
        );
        answer
    };
    assert_eq!(asked(key).await.text("/data/code"), "malformed_key");
    let id = client.import("foreign", key).await;
    let answer = asked(key).await;
    assert_eq!(
        (answer.text("/data/code"), answer.text("/data/key_id")),
        ("allowed".to_owned(), id.clone())
    );
    assert_eq!(
        asked("sk-proj-0123456780").await.text("/data/code"),
        "malformed_key"
    );
    assert_eq!(
        explained(&client, &id, "/other").await.text("/data/code"),
        "allowed"
    );
    // A key id is explained with the newest secret, and a secret with itself.
    let secret = client.regenerate(&id, 60).await;
    assert_eq!(asked(key).await.text("/data/code"), "allowed");
    assert_eq!(asked(&secret).await.text("/data/code"), "allowed");
    plane.clock.advance(60);
    assert_eq!(asked(key).await.text("/data/code"), "expired_key");
    assert_eq!(
        explained(&client, &id, "/other").await.text("/data/code"),
        "allowed"
    );
    client.delete(&format!("/v1/keys/{id}")).await;
    assert_eq!(asked(key).await.text("/data/code"), "malformed_key");
    assert_eq!(asked(&secret).await.text("/data/code"), "invalid_key");
}

#[tokio::test]
async fn meaningless_explain_request_is_refused() {
    let plane = ruled().await;
    let client = plane.log_in().await;
    for (question, field) in [
        (json!({}), "request"),
        (json!({"request": {"verb": "GET"}}), "request.verb"),
        (
            json!({"request": {"source_address": "here"}}),
            "request.source_address",
        ),
        (json!({"request": {"path": "/\r\nx"}}), "request.path"),
        (
            json!({"request": {"headers": {"A": "1", "a": "2"}}}),
            "request.headers.a",
        ),
    ] {
        let answer = client
            .send(Method::POST, "/v1/explain", question.clone())
            .await;
        answer.refused(400, "invalid_request");
        assert_eq!(answer.text("/field"), field, "{question}");
    }
    let unknown = json!({"key_id": "key_000000000000", "request": {}});
    assert_eq!(
        client
            .send(Method::POST, "/v1/explain", unknown)
            .await
            .status,
        404
    );
}

/// Runs the command while the control plane, which is in this process, goes on.
async fn command(plane: &Plane, arguments: &[&str], password: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
    command.arg("explain").args(arguments).env_clear();
    command
        .env("LATCHKEY_URL", plane.http_url())
        .env("LATCHKEY_EMAIL", EMAIL)
        .env("LATCHKEY_PASSWORD", password);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// The command prints the same verdict as the API.
#[tokio::test]
async fn explain_command_has_exit_codes() {
    let plane = ruled().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    let refused = command(
        &plane,
        &["--key-id", &id, "GET", "https://api.example.com/zones/7"],
        PASSWORD,
    )
    .await;
    let reported = String::from_utf8(refused.stdout).unwrap();
    assert_eq!(refused.status.code(), Some(3), "{reported}");
    assert!(
        reported.starts_with("missing_permission (403): "),
        "{reported}"
    );
    assert!(
        reported.ends_with(
            "missing_permission  refused         the key lacks dns:read, its owner has it\n"
        ),
        "{reported}"
    );

    let passed = command(
        &plane,
        &["--json", "--key-id", &id, "GET", "/other"],
        PASSWORD,
    )
    .await;
    assert_eq!(passed.status.code(), Some(0));
    assert_eq!(
        serde_json::from_slice::<Value>(&passed.stdout).unwrap()["code"],
        "allowed"
    );

    let failed = command(&plane, &["GET", "/other"], "wrong password").await;
    assert_eq!((failed.status.code(), failed.stdout.len()), (Some(1), 0));
    let reported = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(
        reported,
        "latchkey: 401: Email address or password is wrong.\n"
    );
    let secret = "lk_live_not-in-an-argument";
    let file = plane.database().with_file_name("headers");
    fs::write(&file, format!("Host: a\n\nx-api-key {secret}\n")).unwrap();
    let file = format!("@{}", file.display());
    for (header, reason) in [
        ("no colon", "--header: must be a name"),
        (file.as_str(), "headers, line 3: must be a name"),
        ("@/nowhere/at/all", "/nowhere/at/all cannot be read"),
    ] {
        let misused = command(&plane, &["-H", header, "GET", "/other"], PASSWORD).await;
        assert_eq!(misused.status.code(), Some(2));
        let reported = String::from_utf8(misused.stderr).unwrap();
        assert!(
            reported.contains(reason) && !reported.contains(secret),
            "{reported}"
        );
    }
    let argument = command(&plane, &["--token", "lks_0", "GET", "/other"], PASSWORD).await;
    assert_eq!(argument.status.code(), Some(2), "a token is no argument");
}

/// Secrets come from the environment or a file.
#[tokio::test]
async fn explain_command_reads_secrets() {
    let plane = ruled().await;
    let client = plane.log_in().await;
    let secret = client
        .generate(json!({"name": "CI"}))
        .await
        .text("/data/api_key");
    let file = plane.database().with_file_name("headers");
    fs::write(&file, format!("X-API-Key: {secret}\n\nX-Subaccount: dev\n")).unwrap();
    let from_file = format!("@{}", file.display());
    let ask = async |arguments: &[&str], key: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command
            .args(["explain", "--json"])
            .args(arguments)
            .args(["GET", "/other"])
            .env_clear();
        command
            .env("LATCHKEY_URL", plane.http_url())
            .env("LATCHKEY_TOKEN", &client.token);
        command.envs(key.map(|key| ("LATCHKEY_KEY", key)));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["code"].clone()
    };
    assert_eq!(ask(&[], None).await, "missing_key");
    assert_eq!(ask(&[], Some(&secret)).await, "allowed");
    assert_eq!(ask(&["-H", &from_file], None).await, "allowed");
    assert_eq!(ask(&["-H", &from_file], Some("other")).await, "allowed");
    assert_eq!(
        ask(&["-H", &from_file], Some("lk_live_other")).await,
        "ambiguous_key"
    );
}
