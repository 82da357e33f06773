//! Two people change the same resource: the second one sees a conflict, and undoes no change of the
//! first one.

use latchkey_tests::{Browser, Gateway};
use serde_json::json;

use super::{browser_of, start};

/// The beginning of the conflict message.
const CONFLICT: &str = "Somebody else has changed";

/// Starts a gateway, and two browsers whose administrator is at the list of keys.
async fn two() -> (Gateway, Browser, Browser) {
    let (gateway, first) = start().await;
    let second = browser_of(&gateway.control_plane, gateway.control_plane.credentials()).await;
    (gateway, first, second)
}

#[tokio::test]
async fn concurrent_key_edits_are_kept() {
    let (gateway, first, second) = two().await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI", "description": "Deploys" }))
        .await
        .unwrap();
    let (page, call) = (
        format!("/console/keys/{}/edit", key.key_id),
        format!("/v1/keys/{}", key.key_id),
    );
    for browser in [&first, &second] {
        browser.open(&page).await;
    }
    first.fill("Name", "Deployment").await;
    first.fill("Per minute", "77").await;
    first.press("Save").await;
    first.sees("In force on 1 of 1 node").await;
    let saved = gateway.control_plane.get(&call).await.unwrap();
    second.fill("Description", "Deploys the shop").await;
    second.press("Save").await;
    second.sees(CONFLICT).await;
    assert_eq!(second.status().await, 409);
    assert_eq!(gateway.control_plane.get(&call).await.unwrap(), saved);
    assert_eq!(
        second.value("Description").await,
        "Deploys the shop",
        "nothing of what was typed is lost"
    );
}

#[tokio::test]
async fn concurrent_ip_list_edits_are_kept() {
    let (gateway, first, second) = two().await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI", "denied_ips": ["10.0.0.0/8"] }))
        .await
        .unwrap();
    let (page, call) = (
        format!("/console/keys/{}/ip-lists", key.key_id),
        format!("/v1/keys/{}", key.key_id),
    );
    for (browser, address) in [(&first, "127.0.0.0/8"), (&second, "192.0.2.0/24")] {
        browser.open(&page).await;
        browser.press_in("Deny list", "Add an address").await;
        browser.types(address).await;
    }
    first.press("Save the lists").await;
    first.sees("In force on 1 of 1 node").await;
    let saved = gateway.control_plane.get(&call).await.unwrap();
    second.press("Save the lists").await;
    second.sees(CONFLICT).await;
    assert_eq!(second.status().await, 409);
    assert_eq!(gateway.control_plane.get(&call).await.unwrap(), saved);
    assert_eq!(
        gateway.ask("/", Some(&key.api_key)).await.code(),
        "ip_denied"
    );
    second.shows_fields("Address or range", 2).await;
    assert!(
        second.fields_hold("192.0.2.0/24").await,
        "nothing of what was typed is lost"
    );
}

#[tokio::test]
async fn concurrent_user_changes_are_kept() {
    let (gateway, first, second) = two().await;
    let user = json!({ "email": "ada@example.com", "roles": ["dns_manager"] });
    let user = gateway.control_plane.create_user(user).await.unwrap();
    let (page, call) = (
        format!("/console/users/{}", user.user_id),
        format!("/v1/users/{}", user.user_id),
    );
    for browser in [&first, &second] {
        browser.open(&page).await;
    }
    first.untick("dns_manager").await;
    first.press("Save").await;
    first
        .sees("The changes are saved. In force on 1 of 1 node")
        .await;
    let saved = gateway.control_plane.get(&call).await.unwrap();
    second.tick("cache_purger").await;
    second.press("Save").await;
    second.sees(CONFLICT).await;
    assert_eq!(second.status().await, 409);
    assert_eq!(
        gateway.control_plane.get(&call).await.unwrap(),
        saved,
        "the role is taken back from them"
    );
}
