//! The other sections of the console: their actions and pages, and the effects of the actions.

use std::time::Duration;

use anyhow::ensure;
use latchkey_policy::limit::Window;
use latchkey_tests::{Browser, ControlPlane, Gateway, day_in, eventually, http_client};
use serde_json::{Value, json};

use crate::clock::time_in;

use super::{SESSION, Session, browser_of, log_in, start};

const PASSWORD: &str = "a password of theirs";

/// Returns the status of the API's response to a login.
async fn login_status(control_plane: &ControlPlane, email: &str, password: &str) -> u16 {
    let login = json!({ "email": email, "password": password });
    http_client()
        .post(control_plane.url("/v1/sessions"))
        .json(&login)
        .send()
        .await
        .unwrap()
        .status()
        .as_u16()
}

/// Returns true if an error message is next to the field.
async fn has_error_beside(browser: &Browser, field: &str) -> bool {
    let script = r#"
        const field = document.querySelector("[aria-invalid=true]");
        const messages = (field?.getAttribute("aria-describedby") ?? "").split(" ").map((id) => document.getElementById(id));
        return field?.name === arguments[0] && messages.some((one) => one?.matches(".error") && one.innerText.trim() !== "")"#;
    browser.run(script, vec![json!(field)]).await.unwrap() == json!(true)
}

#[tokio::test]
async fn user_is_added_edited_and_deleted() {
    let (gateway, browser) = start().await;
    let (control_plane, email) = (&gateway.control_plane, "ada@example.com");
    browser.press("Users").await;
    browser.press("Add a user").await;
    browser.fill("Email address", email).await;
    browser.fill("Password", PASSWORD).await;
    browser.tick("read_only_admin").await;
    browser.press("Add the user").await;
    browser.sees("The user is added.").await;
    let call = format!(
        "/v1/users/{}",
        browser.path().await.rsplit('/').next().unwrap()
    );
    assert_eq!(
        control_plane.get(&call).await.unwrap()["roles"],
        json!(["read_only_admin"])
    );
    let theirs = browser_of(control_plane, (email, PASSWORD)).await;
    assert!(!theirs.offers("Create a key").await);

    browser.untick("read_only_admin").await;
    browser.tick("admin").await;
    browser.press("Save").await;
    browser
        .sees("The changes are saved. In force on 1 of 1 node")
        .await;
    assert_eq!(
        control_plane.get(&call).await.unwrap()["roles"],
        json!(["admin"])
    );
    theirs.reload().await;
    theirs.press("Create a key").await;

    let session = theirs.cookie(SESSION).await.unwrap();
    let made = http_client()
        .post(control_plane.url("/v1/keys/generate"))
        .bearer_auth(session);
    let made: Value = made
        .json(&json!({ "name": "Ada's" }))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let key = made["data"]["api_key"]
        .as_str()
        .unwrap_or_else(|| panic!("{made}"));
    assert_eq!(gateway.ask("/", Some(key)).await.status, 200);
    browser.withholds("Disable the user").await;
    let (unsure, session) = (
        [("disabled".to_owned(), "true".to_owned())],
        Session::in_browser(&browser).await,
    );
    let path = format!("{}/disabled", browser.path().await);
    let answer = session
        .post(control_plane, &path, Some(&session.csrf), &unsure)
        .await;
    assert_eq!(
        (
            answer.status().as_u16(),
            &control_plane.get(&call).await.unwrap()["disabled"]
        ),
        (400, &json!(false))
    );
    browser
        .tick("Refuse all of their API keys from now on")
        .await;
    browser.press("Disable the user").await;
    browser
        .sees("The user and all of their API keys are disabled. In force on 1 of 1 node")
        .await;
    assert_eq!(gateway.ask("/", Some(key)).await.code(), "disabled_key");
    assert_eq!(login_status(control_plane, email, PASSWORD).await, 401);
    theirs.reload().await;
    theirs.sees("Your session has ended.").await;
    browser.press("Enable the user").await;
    browser.sees("The user is enabled.").await;
    assert_eq!(gateway.ask("/", Some(key)).await.status, 200);

    let confirm = format!("Type {email} to confirm");
    browser.withholds("Delete the user").await;
    browser.fill(&confirm, "ada@example.co").await;
    browser.withholds("Delete the user").await;
    browser.fill(&confirm, email).await;
    browser.press("Delete the user").await;
    browser.arrives_at("/console/users").await;
    browser
        .sees("The user is deleted, and their API keys are revoked. In force on 1 of 1 node")
        .await;
    assert_eq!(gateway.ask("/", Some(key)).await.code(), "invalid_key");
    assert!(control_plane.get(&call).await.is_err());
}

#[tokio::test]
async fn changed_password_replaces_the_former_one() {
    let gateway = Gateway::start().await;
    let control_plane = &gateway.control_plane;
    let user = json!({ "email": "ada@example.com", "roles": ["read_only_admin"] });
    let user = control_plane.create_user(user).await.unwrap();
    let (email, old) = user.credentials();
    let (browser, other) = (
        browser_of(control_plane, (email, old)).await,
        browser_of(control_plane, (email, old)).await,
    );
    browser.press(email).await;
    for (present, again, wrong) in [
        ("not it", PASSWORD, "current_password"),
        (old, "another", "again"),
    ] {
        browser.fill("Current password", present).await;
        browser.fill("New password", PASSWORD).await;
        browser.fill("New password again", again).await;
        browser.sends("Change my password").await;
        assert!(has_error_beside(&browser, wrong).await, "{wrong}");
        assert_eq!(login_status(control_plane, email, old).await, 200);
    }
    browser.fill("Current password", old).await;
    browser.fill("New password", PASSWORD).await;
    browser.fill("New password again", PASSWORD).await;
    browser.press("Change my password").await;
    browser
        .sees("Your password is changed. All of your other sessions have ended.")
        .await;
    assert_eq!(login_status(control_plane, email, old).await, 401);
    other.reload().await;
    other.sees("Your session has ended.").await;
    log_in(&other, (email, PASSWORD)).await;
    other.arrives_at("/console/keys").await;
    browser.open("/console/keys").await;
    browser.arrives_at("/console/keys").await;
}

#[tokio::test]
async fn the_audit_is_filtered() {
    let (gateway, browser) = start().await;
    let control_plane = &gateway.control_plane;
    for name in ["CI", "CD"] {
        let key = control_plane
            .create_key(json!({ "name": name }))
            .await
            .unwrap();
        control_plane.revoke(&key.key_id).await.unwrap();
    }
    let actions = async || browser.texts("tbody td:nth-child(3)").await;
    let both = ["key.revoke", "key.create"];
    browser.sends("Audit").await;
    assert!(actions().await.len() > 4, "the log-ins are there as well");
    browser.fill("Action", "key.revoke").await;
    browser.sends("Filter").await;
    assert_eq!(actions().await, ["key.revoke", "key.revoke"]);
    browser.fill("Target", "CD").await;
    browser.fill("Action", "all of key").await;
    browser.sends("Filter").await;
    assert_eq!(actions().await, both);
    browser.fill("Actor", "nobody@example.com").await;
    browser.sends("Filter").await;
    browser.sees("No changes match.").await;
    browser.fill("Actor", control_plane.credentials().0).await;
    browser.sends("Filter").await;
    assert_eq!(actions().await, both);
    for (field, day, found) in [
        ("Until (UTC)", -1, 0),
        ("Until (UTC)", 1, 2),
        ("Since (UTC)", 1, 0),
        ("Since (UTC)", -1, 2),
    ] {
        browser.fill(field, &format!("{}T00:00", day_in(day))).await;
        browser.sends("Filter").await;
        assert_eq!(actions().await, both[..found], "{field} in {day} days");
    }
    assert!(browser.complaints().await.unwrap().is_empty());
}

#[tokio::test]
async fn requests_through_envoy_appear_in_usage() {
    let (gateway, browser) = start().await;
    let key = json!({ "name": "CI", "limits": { "day": 3 } });
    let key = gateway.control_plane.create_key(key).await.unwrap();
    browser.press("Usage").await;
    browser.sees("No requests in this period.").await;
    time_in(Window::Day, 60).await;
    for status in [200, 200, 200, 429, 429] {
        assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, status);
    }
    let reported = eventually(crate::usage::REPORTED_WITHIN, async || {
        let usage = gateway.control_plane.key(&key.key_id).await?["usage"].take();
        let counted = (
            &usage["by_code"]["allowed"],
            &usage["by_code"]["rate_limited"],
        );
        ensure!(counted == (&json!(3), &json!(2)), "{usage}");
        Ok(())
    });
    reported.await.unwrap();
    let row = format!("CI {} 3 2 rate_limited 2", key.key_id);
    browser.reload().await;
    browser.sees(&row).await;
    browser.press("Last 7 days").await;
    browser.sees("Requests by day").await;
    browser.sees(&row).await;
    browser.press("CI").await;
    browser
        .arrives_at(&format!("/console/keys/{}", key.key_id))
        .await;
    browser.sees("rate_limited").await;
}

/// The page shows it without a reload.
#[tokio::test]
async fn envoy_is_listed_live_while_connected() {
    let gateway = Gateway::builder()
        .control_plane(|options| options.node_grace = Some(Duration::from_millis(500)))
        .start()
        .await;
    let browser = browser_of(&gateway.control_plane, gateway.control_plane.credentials()).await;
    browser.press("Nodes").await;
    browser.sees("on 1 of 1 node").await;
    browser
        .run("window.isSameDocument = true", vec![])
        .await
        .unwrap();
    let second = gateway.another_envoy("edge-2").await.unwrap();
    browser.sees("edge-2 connected").await;
    browser.sees("on 2 of 2 nodes").await;
    drop(second);
    browser.no_longer_sees("edge-2 connected").await;
    browser.sees("envoy connected").await;
    assert_eq!(
        browser
            .run("return window.isSameDocument", vec![])
            .await
            .unwrap(),
        true
    );
}

#[tokio::test]
async fn lost_node_is_forgotten_on_the_page() {
    let gateway = Gateway::start().await;
    let browser = browser_of(&gateway.control_plane, gateway.control_plane.credentials()).await;
    let mut second = gateway.another_envoy("edge-2").await.unwrap();
    browser.press("Nodes").await;
    browser.sees("edge-2 connected").await;
    second.kill();
    browser.sees("edge-2 lost").await;
    browser.press("Forget edge-2").await;
    browser.sees("Forgotten").await;
    browser.no_longer_sees("edge-2 lost").await;
    let nodes = gateway.control_plane.nodes().await.unwrap();
    assert!(
        nodes.iter().all(|node| node["node_id"] != "edge-2"),
        "{nodes:?}"
    );
}

#[tokio::test]
async fn envoys_of_another_database_are_accepted() {
    let mut gateway = Gateway::start().await;
    let kept = gateway
        .control_plane
        .create_key(json!({ "name": "kept" }))
        .await
        .unwrap();
    assert_eq!(gateway.ask("/", Some(&kept.api_key)).await.status, 200);
    gateway.control_plane.kill();
    gateway.control_plane.options().database = gateway.dir().join("other.db");
    gateway.control_plane.start().await.unwrap();
    gateway.control_plane.forget_session();
    let browser = browser_of(&gateway.control_plane, gateway.control_plane.credentials()).await;
    browser.press("Nodes").await;
    browser
        .sees("1 node holds a snapshot of another database")
        .await;
    assert_eq!(
        gateway.ask("/", Some(&kept.api_key)).await.status,
        200,
        "it serves while it waits"
    );
    browser.press("Accept the database of envoy").await;
    browser.sees("Accepted").await;
    browser.sees("envoy connected").await;
    let refused = eventually(Duration::from_secs(20), async || {
        let answer = gateway.ask("/", Some(&kept.api_key)).await;
        ensure!(answer.code() == "invalid_key", "{}", answer.body);
        Ok(())
    });
    refused.await.unwrap();
}
