//! The route rules: edited, tried, and explained with a key.

use latchkey_tests::Gateway;
use serde_json::{Value, json};

use super::start;

async fn rules(gateway: &Gateway) -> Value {
    gateway.control_plane.get("/v1/routes").await.unwrap()["rules"].take()
}

fn public(path: &str) -> Value {
    json!({ "rules": [{ "path": { "exact": path }, "public": true }] })
}

/// Rules with errors stay in the form beside their errors.
#[tokio::test]
async fn edited_rules_hold_at_envoy() {
    let (gateway, browser) = start().await;
    let status = async |path: &str| gateway.ask(path, None).await.status;
    browser.press("Routes").await;
    browser.sees("There are no rules yet.").await;
    browser.press("All rules, as JSON").await;
    browser
        .fill("Document", &public("/status").to_string())
        .await;
    assert_eq!(status("/status").await, 401);
    browser.press("Save the rules").await;
    browser
        .sees("The rules are saved. In force on 1 of 1 node")
        .await;
    browser.sees("/status").await;
    assert_eq!(
        (status("/status").await, status("/health").await),
        (200, 401)
    );

    let saved = rules(&gateway).await;
    for (broken, reported) in [
        (r#"{ "rules": ["#, "This is not valid JSON"),
        (
            r#"{ "rules": [{ "path": { "exact": "status" }, "public": true }] }"#,
            "path",
        ),
        (
            r#"{ "rules": [{ "path": { "exact": "/status" }, "public": "yes" }] }"#,
            "public",
        ),
    ] {
        browser.unfold().await;
        browser.fill("Document", broken).await;
        browser.sends("Save the rules").await;
        let said = browser.texts("#document-error").await;
        assert!(
            said.len() == 1 && said[0].contains(reported),
            "{broken}: {said:?}"
        );
        assert_eq!(browser.value("Document").await, broken);
        assert_eq!(rules(&gateway).await, saved);
    }
    browser
        .fill("Document", &public("/health").to_string())
        .await;
    browser.press("Save the rules").await;
    browser.sees("The rules are saved.").await;
    assert_eq!(
        (status("/status").await, status("/health").await),
        (401, 200)
    );
}

#[tokio::test]
async fn concurrently_saved_rules_are_kept() {
    let (gateway, browser) = start().await;
    browser.press("Routes").await;
    browser.press("All rules, as JSON").await;
    let mine = public("/mine");
    browser.fill("Document", &mine.to_string()).await;
    gateway
        .control_plane
        .put_routes(public("/theirs"))
        .await
        .unwrap();
    let theirs = rules(&gateway).await;
    browser.press("Save the rules").await;
    browser
        .sees("Somebody else has changed the rules meanwhile.")
        .await;
    browser.sees("/theirs").await;
    assert_eq!(rules(&gateway).await, theirs);
    assert_eq!(browser.value("Document").await, mine.to_string());
    // The user has seen the message now, so the rules are saved.
    browser.press("Save the rules").await;
    browser.sees("The rules are saved.").await;
    assert_eq!(gateway.ask("/mine", None).await.status, 200);
}

#[tokio::test]
async fn tried_request_is_explained() {
    let (gateway, browser) = start().await;
    let rule =
        json!({ "path": { "prefix": "/zones" }, "service": "dns", "permission": "dns:read" });
    let keys = ["without", "with"].map(|name| {
        let permissions = if name == "with" {
            json!(["dns:read"])
        } else {
            json!([])
        };
        json!({ "name": name, "scope": ["dns"], "permissions": permissions })
    });
    gateway
        .control_plane
        .put_routes(json!({ "rules": [rule] }))
        .await
        .unwrap();
    browser.press("Routes").await;
    browser.fill("Host", "api.example.com").await;
    for (path, reported) in [
        ("/zones/example.com", "Rule 1 applies: a key is needed."),
        ("/", "No rule applies."),
    ] {
        browser.fill("Path", path).await;
        browser.press("Try").await;
        browser.sees(reported).await;
        assert_eq!(browser.value("Path").await, path);
    }

    let [without, with] = keys;
    let key = gateway.control_plane.create_key(without).await.unwrap();
    browser.open(&format!("/console/keys/{}", key.key_id)).await;
    browser
        .open(&format!("/console/explain?key_id={}", key.key_id))
        .await;
    assert_eq!(browser.value("Key id").await, key.key_id);
    browser.fill("Host", "api.example.com").await;
    browser.fill("Path", "/zones/example.com").await;
    browser.press_in("Source address", "Explain").await;
    browser
        .sees("The request is refused missing_permission")
        .await;
    let steps = browser.texts("#verdict tbody tr").await;
    let step = |name: &str| {
        steps
            .iter()
            .find(|step| step.contains(name))
            .unwrap_or_else(|| panic!("{steps:?}"))
    };
    assert!(step("out_of_scope").contains("passed"), "{steps:?}");
    assert!(
        step("missing_permission").contains("refused")
            && step("missing_permission").contains("dns:read")
    );
    assert_eq!(
        gateway
            .ask("/zones/example.com", Some(&key.api_key))
            .await
            .code(),
        "missing_permission"
    );

    let key = gateway.control_plane.create_key(with).await.unwrap();
    browser.fill("Key id", "").await;
    browser
        .fill("Headers", &format!("x-api-key: {}", key.api_key))
        .await;
    browser.press_in("Source address", "Explain").await;
    browser.sees("The request passes").await;
    browser.press(&key.key_id).await;
    browser
        .arrives_at(&format!("/console/keys/{}", key.key_id))
        .await;
    assert_eq!(
        gateway
            .ask("/zones/example.com", Some(&key.api_key))
            .await
            .status,
        200
    );

    browser
        .open("/console/explain?key_id=key_000000000000")
        .await;
    browser.fill("Host", "api.example.com").await;
    browser.press_in("Source address", "Explain").await;
    browser.sees("no API key with this id").await;
    let wrong = browser
        .run(
            r#"return document.querySelector("[aria-invalid=true]").name"#,
            vec![],
        )
        .await
        .unwrap();
    assert_eq!(wrong, "key_id");
}
