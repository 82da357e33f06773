//! Changes to a key in the console take effect at Envoy.

use latchkey_tests::{Browser, CreatedKey, Gateway};
use serde_json::json;

use super::start;

async fn key(gateway: &Gateway, browser: &Browser) -> CreatedKey {
    let key = json!({ "name": "CI pipeline", "description": "Purges the cache" });
    let key = gateway.control_plane.create_key(key).await.unwrap();
    assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 200);
    browser.reload().await;
    browser.press("CI pipeline").await;
    browser
        .arrives_at(&format!("/console/keys/{}", key.key_id))
        .await;
    key
}

#[tokio::test]
async fn edited_ip_lists_hold_at_envoy() {
    let (gateway, browser) = start().await;
    let key = key(&gateway, &browser).await;
    let code = async || gateway.ask("/", Some(&key.api_key)).await.code().to_owned();

    browser.press("Edit the IP lists").await;
    browser.press_in("Deny list", "Add an address").await;
    browser
        .fill_in("Deny list", "Address or range", "10.0.0.1/8")
        .await;
    browser.sees("10.0.0.0/8").await;
    browser
        .fill_in("Deny list", "Address or range", "127.0.0.0/8")
        .await;
    browser.press("Save the lists").await;
    browser.sees("In force on 1 of 1 node").await;
    browser.sees("everywhere except the denied addresses").await;
    assert_eq!(code().await, "ip_denied");

    browser.press("Edit the IP lists").await;
    browser.untick("Enabled").await;
    browser.press("Save the lists").await;
    // The form contains these words, too.
    browser.sees("In force on 1 of 1 node").await;
    browser.sees("127.0.0.0/8 disabled").await;
    assert_eq!(code().await, "");

    browser.press("Edit the IP lists").await;
    browser.press_in("Allow list", "Add an address").await;
    browser
        .fill_in("Allow list", "Address or range", "192.0.2.0/24")
        .await;
    browser.press("Save the lists").await;
    browser.sees("only from the allowed addresses").await;
    assert_eq!(code().await, "ip_denied");

    browser.press("Edit the IP lists").await;
    browser.press_in("192.0.2.0/24", "Remove").await;
    browser.press("Save the lists").await;
    browser.no_longer_sees("192.0.2.0/24").await;
    assert_eq!(code().await, "");
    assert!(browser.complaints().await.unwrap().is_empty());
}

#[tokio::test]
async fn key_revoked_by_name_is_refused() {
    let (gateway, browser) = start().await;
    let key = key(&gateway, &browser).await;
    let confirm = "Type the key's name to confirm: CI pipeline";
    browser.withholds("Revoke this key").await;
    browser.fill(confirm, "CI pipelin").await;
    browser.withholds("Revoke this key").await;
    browser.fill(confirm, "CI pipeline").await;
    browser.press("Revoke this key").await;
    browser.sees("Revoked. In force on 1 of 1 node").await;
    let answer = gateway.ask("/", Some(&key.api_key)).await;
    assert_eq!((answer.status, answer.code()), (401, "invalid_key"));
    assert!(!browser.offers("Revoke this key").await && !browser.offers("Edit").await);
    browser.open("/console/keys").await;
    browser.sees("There are no API keys yet.").await;
}

/// Revocation is protected by the server, and not only by the script that disables the button.
#[tokio::test]
async fn mistyped_name_revokes_nothing() {
    let (gateway, browser) = start().await;
    let key = key(&gateway, &browser).await;
    let session = super::Session::in_browser(&browser).await;
    let path = format!("/console/keys/{}/revoke", key.key_id);
    let fields = [("name".to_owned(), "CI pipelin".to_owned())];
    let answer = session
        .post(&gateway.control_plane, &path, Some(&session.csrf), &fields)
        .await;
    assert!(answer.status().is_client_error(), "{}", answer.status());
    assert!(
        answer
            .text()
            .await
            .unwrap()
            .contains("This is not the name of the key.")
    );
    assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 200);
}

#[tokio::test]
async fn regenerated_key_ends_its_old_secret() {
    let (gateway, browser) = start().await;
    let key = key(&gateway, &browser).await;
    browser.press("Regenerate the secret").await;
    browser.sees("I have stored the key").await;
    let second = browser.texts("#secret").await.remove(0);
    for secret in [&key.api_key, &second] {
        assert_eq!(
            gateway.ask("/", Some(secret)).await.status,
            200,
            "both are good for a day"
        );
    }
    browser.tick("I have stored the key").await;
    browser.press("Done").await;
    browser
        .fill(
            "The current secret stays valid for",
            "None: every older secret ends at once",
        )
        .await;
    browser.press("Regenerate the secret").await;
    browser.sees("Type the key's name here").await;
    assert_eq!(
        gateway.ask("/", Some(&second)).await.status,
        200,
        "nobody has confirmed it"
    );
    browser
        .fill(
            "The current secret stays valid for",
            "None: every older secret ends at once",
        )
        .await;
    browser
        .fill(
            "Key's name, to end every older secret at once",
            "CI pipeline",
        )
        .await;
    browser.press("Regenerate the secret").await;
    browser.sees("I have stored the key").await;
    let third = browser.texts("#secret").await.remove(0);
    for (secret, code) in [
        (&key.api_key, "invalid_key"),
        (&second, "invalid_key"),
        (&third, ""),
    ] {
        assert_eq!(gateway.ask("/", Some(secret)).await.code(), code);
    }
}

#[tokio::test]
async fn edited_key_attributes_hold_at_envoy() {
    let (gateway, browser) = start().await;
    let key = key(&gateway, &browser).await;
    browser.press("Edit").await;
    browser.fill("Name", "Deployment").await;
    browser.fill("Description", "").await;
    browser.fill("Per minute", "many").await;
    browser.sends("Save").await;
    let invalid = browser
        .run(
            r#"return document.querySelector("[aria-invalid=true]").name"#,
            vec![],
        )
        .await
        .unwrap();
    assert_eq!(invalid, "limits.minute");
    assert_eq!(browser.value("Name").await, "Deployment");
    browser.fill("Per minute", "77").await;
    browser.untick("Enabled").await;
    browser.press("Save").await;
    browser.sees("Tick the box to disable the key").await;
    assert_eq!(
        gateway.ask("/", Some(&key.api_key)).await.status,
        200,
        "nobody has confirmed it"
    );
    browser
        .tick("Refuse all requests with this key from now on")
        .await;
    browser.press("Save").await;
    browser.sees("In force on 1 of 1 node").await;
    browser.sees("disabled").await;
    assert_eq!(
        gateway.ask("/", Some(&key.api_key)).await.code(),
        "disabled_key"
    );
    browser.press("Edit").await;
    browser.tick("Enabled").await;
    browser.press("Save").await;
    browser.sees("active").await;
    assert_eq!(
        gateway.ask("/", Some(&key.api_key)).await.headers["x-ratelimit-limit"],
        "77"
    );
    assert_eq!(browser.texts("h1").await, ["Deployment"]);
}

/// No address of a page can make one up.
#[tokio::test]
async fn confirmation_is_shown_once() {
    let (gateway, browser) = start().await;
    let key = key(&gateway, &browser).await;
    let page = browser.path().await;
    browser.press("Edit").await;
    browser.fill("Name", "Deployment").await;
    browser.press("Save").await;
    browser.sees("In force on 1 of 1 node").await;
    browser.arrives_at(&page).await;
    browser.reload().await;
    browser.sees(&key.key_id).await;
    let says = async || browser.text().await.unwrap().contains("In force on");
    assert!(!says().await, "it is said again");
    for made_up in [
        "done=saved&nodes=9&acknowledged=9&elapsed_ms=1",
        "done=saved.9.9.1",
        "latchkey_done=saved.9.9.1",
    ] {
        browser.open(&format!("{page}?{made_up}")).await;
        browser.sees(&key.key_id).await;
        assert!(!says().await, "{made_up}");
    }
}
