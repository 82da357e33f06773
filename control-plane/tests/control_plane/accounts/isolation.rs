//! Tests that an account sees and changes nothing of another account.

use super::id;
use crate::harness::Plane;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn accounts_are_isolated() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (first_path, first) = operator.account("first", json!({})).await;
    let (_, second) = operator.account("second", json!({})).await;
    let key = format!("/v1/keys/{}", first.key("CI").await);
    let user = first.user("zoe@first", json!({})).await;
    let sub = first.subaccount("dev").await;
    let sub_path = format!("/v1/subaccounts/{sub}");
    first.service("dns").await;
    let revision = plane.store().revision();
    for stranger in [&second, &operator] {
        for (path, code) in [
            (key.as_str(), "key_not_found"),
            (&user, "user_not_found"),
            (&sub_path, "subaccount_not_found"),
            ("/v1/services/dns", "service_not_found"),
        ] {
            stranger.get(path).await.refused(404, code);
            let change = if code == "service_not_found" {
                json!({"description": "x"})
            } else {
                json!({})
            };
            stranger.patch(path, change).await.refused(404, code);
            stranger.delete(path).await.refused(404, code);
        }
        let question = json!({"key_id": key.strip_prefix("/v1/keys/"), "request": {}});
        stranger
            .send(Method::POST, "/v1/explain", question)
            .await
            .refused(404, "key_not_found");
        stranger
            .get(&format!("/v1/usage?key_id={}", id(&key)))
            .await
            .refused(404, "key_not_found");
        for path in [
            "/v1/keys?state=all",
            "/v1/keys?search=CI",
            "/v1/subaccounts",
            "/v1/services",
        ] {
            assert_eq!(stranger.get(path).await.number("/data/total"), 0, "{path}");
        }
        assert_eq!(
            stranger
                .get("/v1/keys?owner=zoe@first")
                .await
                .number("/data/total"),
            0
        );
        assert_eq!(stranger.get("/v1/users").await.number("/data/total"), 1);
        let theirs = json!({"name": "x", "allowed_subaccounts": [sub]});
        stranger.generate(theirs).await.refused_by(
            400,
            "invalid_request",
            "allowed_subaccounts[0]",
        );
        stranger
            .generate(json!({"name": "x", "scope": ["dns"]}))
            .await
            .refused_by(400, "invalid_request", "scope[0]");
    }
    second
        .get(&first_path)
        .await
        .refused(403, "missing_permission");
    assert_eq!(plane.store().revision(), revision);
    // Unique names are unique only within an account.
    second.key("CI").await;
    second.service("dns").await;
    second.subaccount("dev").await;
}
