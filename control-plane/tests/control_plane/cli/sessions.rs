//! Tests logging in and out, and commands without permission.

use super::{Person, mode};
use crate::harness::{EMAIL, PASSWORD, Plane};
use serde_json::{Value, json};
use std::fs;

const SAVED: &str = ".config/latchkey/session.json";

#[tokio::test]
async fn saved_session_serves_later_commands() {
    let plane = Plane::start().await;
    let person = Person::stranger(&plane.http_url());
    person
        .run(&["key", "list"])
        .await
        .failed(2, "log in with `latchkey login`, or set LATCHKEY_TOKEN");
    let output = person
        .run_with(
            &["login", "--email", EMAIL, "--password-stdin"],
            &format!("{PASSWORD}\n"),
        )
        .await
        .done();
    assert!(
        output.starts_with("Logged in as admin@localhost at http://127.0.0.1:"),
        "{output}"
    );
    let saved: Value =
        serde_json::from_str(&fs::read_to_string(person.path(SAVED)).unwrap()).unwrap();
    assert_eq!(saved["expires_at"], "2027-01-15T08:30:00Z");
    assert_eq!(
        (
            mode(&person.path(SAVED)),
            mode(&person.path(".config/latchkey"))
        ),
        (0o600, 0o700)
    );
    let token = saved["token"].as_str().unwrap();
    assert!(token.starts_with("lks_") && !output.contains(token));

    person.run(&["key", "create", "CI", "--quiet"]).await.done();
    let list = person.json(&["key", "list"]).await;
    assert_eq!(list["keys"][0]["name"], "CI");
    assert_eq!(plane.client(EMAIL).await.total().await, 1);

    let output = person.run(&["logout"]).await.done();
    assert!(
        output.starts_with("Logged out at http://127.0.0.1:"),
        "{output}"
    );
    assert!(!person.path(SAVED).exists());
    let session = plane
        .request(reqwest::Method::GET, "/v1/keys")
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    assert_eq!(session.status(), 401, "the session has ended");
    assert_eq!(
        person.run(&["logout"]).await.done(),
        "No session is saved.\n"
    );
}

#[tokio::test]
async fn saved_session_serves_its_address_only() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    person.run(&["login"]).await.done();
    let other = Plane::start().await;
    let stranger = Person {
        environment: Vec::new(),
        ..person
    };
    for url in [
        other.http_url(),
        plane.http_url().replace("127.0.0.1", "localhost"),
    ] {
        stranger
            .run(&["--url", &url, "key", "list"])
            .await
            .failed(2, "unexpected argument");
        stranger
            .run(&["key", "list", "--url", &url])
            .await
            .failed(2, "log in with `latchkey login`");
    }
    stranger
        .run(&["key", "--url", &plane.http_url(), "list"])
        .await
        .done();
}

#[tokio::test]
async fn saved_session_serves_its_user_only() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    person.run(&["login"]).await.done();
    let person = Person {
        environment: Vec::new(),
        ..person
    }
    .with("LATCHKEY_URL", &plane.http_url());
    person
        .run(&["key", "list", "--email", "Admin@Localhost"])
        .await
        .done();
    person
        .run(&["key", "list", "--email", "ops@b.c"])
        .await
        .failed(2, "log in with `latchkey login`");
    let other = person.with("LATCHKEY_EMAIL", "ops@b.c");
    other
        .run(&["key", "list"])
        .await
        .failed(2, "log in with `latchkey login`");
}

#[tokio::test]
async fn ended_session_asks_for_login() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    person.run(&["login"]).await.done();
    let person = Person {
        environment: Vec::new(),
        ..person
    }
    .with("LATCHKEY_URL", &plane.http_url());
    person.run(&["key", "list"]).await.done();
    plane.clock.advance(60 * 60);
    person
        .run(&["key", "list"])
        .await
        .failed(6, "log in again: latchkey login");
    person.run(&["logout"]).await.done();
    assert!(!person.path(SAVED).exists());
}

#[tokio::test]
async fn each_failure_has_its_exit_code() {
    let plane = Plane::start().await;
    let admin = Person::admin(&plane);
    let client = plane.log_in().await;
    client
        .user("reader@localhost", json!({"roles": ["read_only_admin"]}))
        .await;
    client.key("CI").await;
    let reader = Person::admin(&plane).with("LATCHKEY_EMAIL", "reader@localhost");
    reader.run(&["key", "create", "x"]).await.failed(
        6,
        "403: This requires the permission `account:apikeys:create`.",
    );
    admin
        .run(&["key", "show", "key_000000000000"])
        .await
        .failed(7, "404: ");
    admin
        .run(&["key", "create", "CI"])
        .await
        .failed(8, "409: Field `name` is the name of another API key");
    admin
        .run(&["key", "create", ""])
        .await
        .failed(2, "400: Field `name` must have 1 to 100 characters.");
    admin
        .run(&["key", "show", ".."])
        .await
        .failed(7, "no key is named ..");
    admin
        .run(&["key", "revoke", ".."])
        .await
        .failed(2, "\"..\" is neither a name nor an id");
    let wrong = Person::admin(&plane).with("LATCHKEY_PASSWORD", "wrong password");
    for _ in 0..10 {
        wrong
            .run(&["key", "list"])
            .await
            .failed(6, "401: Email address or password is wrong.");
    }
    wrong
        .run(&["key", "list"])
        .await
        .failed(9, "429: Too many login attempts");
    let nowhere = Person::admin(&plane).with("LATCHKEY_URL", "http://127.0.0.1:1");
    nowhere
        .run(&["key", "list"])
        .await
        .failed(1, "cannot reach http://127.0.0.1:1/v1/sessions: ");
    let secret = Person::admin(&plane).with("LATCHKEY_URL", "http://a:hunter2@b");
    let output = secret.run(&["key", "list"]).await;
    output.failed(2, "--url: must not have a user");
    assert!(!output.stderr.contains("hunter2"));
    let session = Person::stranger(&plane.http_url()).with("LATCHKEY_TOKEN", "lks_unknown");
    session.run(&["key", "list"]).await.failed(6, "401: ");
}
